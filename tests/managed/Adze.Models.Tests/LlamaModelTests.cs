using System.Runtime.InteropServices;
using System.Text.Json.Nodes;
using Adze.Native;

namespace Adze.Models.Tests;

public sealed class LlamaModelTests : IDisposable
{
    private static readonly int[] Ids = [1, 30, 7, 7, 0, 31, 12, 5, 9, 22, 17];

    private readonly TestFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData("{}")]
    [InlineData("{\"attention_bias\":true}")]
    [InlineData("{\"mlp_bias\":true}")]
    [InlineData("{\"tie_word_embeddings\":true}")]
    [InlineData("{\"partial_rotary_factor\":0.5}")]
    [InlineData("{\"rope_scaling\":{\"type\":\"linear\",\"factor\":3}}")]
    [InlineData("{\"rope_theta\":50}")]
    [InlineData("{\"rms_norm_eps\":0.5}")]
    [InlineData("{\"num_key_value_heads\":2}")]
    [InlineData("{\"head_dim\":24,\"num_hidden_layers\":1}")]
    [InlineData("{\"architectures\":[\"MistralForCausalLM\"],\"sliding_window\":1}")]
    [InlineData("{\"architectures\":[\"MistralForCausalLM\"],\"sliding_window\":4}")]
    [InlineData("{\"architectures\":[\"MistralForCausalLM\"],\"sliding_window\":null}")]
    public void EveryVariantMatchesTheNaiveForwardPass(string changes)
    {
        TestCheckpoint made = new();
        foreach ((string key, JsonNode? value) in (JsonObject)JsonNode.Parse(changes)!)
            made.With(key, value?.DeepClone());
        made.AddTensors(_folder).Write(_folder);
        using Checkpoint checkpoint = Checkpoint.Open(_folder.Path);
        using ModelRunner runner = new(_folder.Path, pageSize: 4);
        (double relative, _) = Reference.Errors([.. runner.Run(true, (new(), Ids)).SelectMany(row => row)],
            [.. new NaiveLlama(checkpoint).Run(Ids).SelectMany(row => row)]);
        Assert.InRange(relative, 0, 1e-6);
    }

    [Theory]
    [InlineData("F32")]
    [InlineData("BF16")]
    [InlineData("F16")]
    public void TensorsMayBeginAtAnyByte(string dtype)
    {
        TestCheckpoint made = new TestCheckpoint().AddTensors(_folder, dtype);
        float[][]? expected = null;
        for (int padding = 0; padding < 4; padding++)
        {
            WriteWith(padding);
            using ModelRunner runner = new(_folder.Path);
            float[][] logits = runner.Run(true, (new(), Ids));
            expected ??= logits;
            Assert.Equal(expected, logits);
        }

        void WriteWith(int padding) => _folder.Write("model.safetensors", Safetensors.File(made.Tensors, padding));
    }

    [Fact]
    public void LargeTensorsArriveWhole()
    {
        // The table of 9 MiB is copied in two parts, and so is the head where it begins at an odd byte.
        int[] ids = [0, 1, 32_767, 32_768, 35_999];
        TestCheckpoint made = new TestCheckpoint().With("vocab_size", 36_000).With("hidden_size", 64)
            .With("tie_word_embeddings", true).With("num_hidden_layers", 1).AddTensors(_folder);
        float[][]? expected = null;
        for (int padding = 0; padding < 4; padding++)
        {
            _folder.Write("model.safetensors", Safetensors.File(made.Tensors, padding));
            using ModelRunner runner = new(_folder.Path);
            HiddenRecorder recorder = new(runner.Stream);
            float[][] logits = runner.Run(true, recorder, (new(), ids));
            ReadOnlySpan<float> table = MemoryMarshal.Cast<byte, float>(made.Tensors[0].Data);
            for (int i = 0; i < ids.Length; i++)
                Assert.Equal(table.Slice(64 * ids[i], 64), recorder.Hidden[0].AsSpan(64 * i, 64));
            Assert.Equal(expected ??= logits, logits);
        }
    }

    [Fact]
    public void CacheMayBeNarrowerThanTheActivations()
    {
        new TestCheckpoint().AddTensors(_folder).Write(_folder);
        using Checkpoint checkpoint = Checkpoint.Open(_folder.Path);
        using ModelRunner runner = new(_folder.Path, cacheDType: DType.BF16);
        Assert.Equal((DType.F32, DType.BF16), (runner.Model.Options.DType, runner.Cache.DType));
        (double relative, _) = Reference.Errors([.. runner.Run(true, (new(), Ids)).SelectMany(row => row)],
            [.. new NaiveLlama(checkpoint).Run(Ids).SelectMany(row => row)]);
        Assert.InRange(relative, 1e-5, 1e-2);
    }

    [Fact]
    public void AnObserverIsShownWhatLogitsAreMadeOf()
    {
        new TestCheckpoint().AddTensors(_folder).Write(_folder);
        using Checkpoint checkpoint = Checkpoint.Open(_folder.Path);
        using ModelRunner runner = new(_folder.Path);
        AttentionRecorder recorder = new(runner.Stream);
        runner.Run(true, recorder, (new(), Ids));
        NaiveLlama naive = new(checkpoint);
        naive.Run(Ids);
        Assert.Equal(naive.Rotated.Count, recorder.Seen.Count);
        foreach (((float[] q, float[] k), (double[][] expectedQ, double[][] expectedK)) in recorder.Seen.Zip(naive.Rotated))
        {
            ExpectClose(expectedQ, q);
            ExpectClose(expectedK, k);
        }

        static void ExpectClose(double[][] expected, float[] actual) => Assert.InRange(Reference.Errors(
            actual, [.. expected.SelectMany(row => row).Select(value => (float)value)]).Relative, 0, 1e-6);
    }

    [Theory]
    [InlineData(DType.BF16, 16, 0)]
    [InlineData(DType.F8E4M3, 8, 4)]
    [InlineData(DType.I8, 8, 4)]
    [InlineData(DType.I4, 16, 4)] // of 8 elements, padded to 32
    public void CacheLaysOutVectorsAndScales(DType dtype, int vectorBytes, int scaleBytes)
    {
        ModelConfig config = WriteConfig(new TestCheckpoint().With("num_attention_heads", 6).With("num_key_value_heads", 3)
            .With("head_dim", 8));
        using AdzeContext context = new(new ContextOptions { Backend = Backend.Cpu, NumThreads = 1 });
        using PagedKvCache cache = new(context, config, dtype, numPages: 5, pageSize: 4);
        const int Vectors = 3 * 4; // of a page of a block
        Assert.Equal((ulong)(2 * 2 * Vectors * (vectorBytes + scaleBytes)), PagedKvCache.BytesPerPage(config, dtype, 4));
        Assert.Equal(5 * PagedKvCache.BytesPerPage(config, dtype, 4), cache.Bytes);
        KvCacheView values = cache.Values(1); // the last of four blocks
        int stride = vectorBytes * 8 / dtype.Bits();
        Assert.Equal((ulong)(3 * 5 * Vectors * vectorBytes), values.OffsetBytes);
        Assert.Equal((Vectors * stride, 3 * stride, stride), (values.PageStride, values.TokenStride, values.HeadStride));
        Assert.Equal(scaleBytes == 0, values.Scales.IsAbsent);
        if (scaleBytes == 0)
            return;
        Assert.Equal((ulong)(3 * 5 * Vectors * scaleBytes), values.Scales.OffsetBytes);
        Assert.Equal((Vectors, 1, 4), (values.ScalePageStride, values.ScaleTokenStride, values.ScaleHeadStride));
    }

    [Theory]
    [InlineData(DType.F16)]
    [InlineData(DType.I4)]
    public void CopyingAPageTakesItsScalesAlong(DType dtype)
    {
        const int Pages = 5, Blocks = 4, Source = 1, Destination = 3;
        ModelConfig config = WriteConfig(new TestCheckpoint());
        using AdzeContext context = new(new ContextOptions { Backend = Backend.Cpu, NumThreads = 1 });
        using AdzeStream stream = new(context);
        using PagedKvCache cache = new(context, config, dtype, Pages, pageSize: 4);
        KvCacheView keys = cache.Keys(0);
        DeviceBuffer?[] buffers = [keys.Buffer, keys.Scales.Buffer];
        byte[][] before = [.. buffers.Select(Fill)];
        cache.CopyPage(Source, Destination, stream);
        foreach ((DeviceBuffer? buffer, byte[] expected) in buffers.Zip(before))
        {
            int page = expected.Length / Blocks / Pages;
            for (int block = 0; block < Blocks; block++)
                expected.AsSpan((block * Pages + Source) * page, page).CopyTo(expected.AsSpan((block * Pages + Destination) * page));
            byte[] after = new byte[expected.Length];
            buffer?.Read<byte>(after, stream);
            Assert.Equal(expected, after);
        }

        byte[] Fill(DeviceBuffer? buffer)
        {
            byte[] bytes = new byte[buffer?.Bytes ?? 0];
            new Random(3).NextBytes(bytes);
            buffer?.Write<byte>(bytes, stream);
            return bytes;
        }
    }

    private ModelConfig WriteConfig(TestCheckpoint made)
    {
        made.AddTensors(_folder).Write(_folder);
        return ModelConfig.Load(_folder.Path);
    }

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    public void FileThatShrinksBeforeLoadingIsRefused(int headerPadding)
    {
        TestCheckpoint made = new TestCheckpoint().AddTensors(_folder);
        _folder.Write("model.safetensors", Safetensors.File(made.Tensors, headerPadding));
        using AdzeContext context = new(new ContextOptions { Backend = Backend.Cpu, NumThreads = 1 });
        using AdzeStream stream = new(context);
        using Checkpoint checkpoint = Checkpoint.Open(_folder.Path);
        using (FileStream writer = new(
            _folder.File("model.safetensors"), FileMode.Open, FileAccess.Write, FileShare.ReadWrite))
            writer.SetLength(writer.Length / 2);
        Assert.Contains("shortened to", Refused.By(() => new LlamaModel(context, stream, checkpoint).Dispose()));
    }

    [Fact]
    public void LoadingReportsProgressToTheEnd()
    {
        new TestCheckpoint().With("tie_word_embeddings", true).AddTensors(_folder).Write(_folder);
        using AdzeContext context = new(new ContextOptions { Backend = Backend.Cpu, NumThreads = 1 });
        using AdzeStream stream = new(context);
        using Checkpoint checkpoint = Checkpoint.Open(_folder.Path);
        Progress progress = new();
        using LlamaModel model = new(context, stream, checkpoint, progress: progress);
        Assert.Equal(progress.Shares.Order(), progress.Shares);
        Assert.Equal(1, progress.Shares[^1]);
        Assert.All(progress.Shares.SkipLast(3), share => Assert.InRange(share, 0, 0.999));
        Assert.True(model.WeightBytes > 0 && model.ActivationBytes > 0);
    }

    [Fact]
    public void ForwardAllocatesNothing()
    {
        new TestCheckpoint().AddTensors(_folder).Write(_folder);
        using ModelRunner runner = new(_folder.Path);
        List<DeviceBuffer> inputs = [];
        ForwardBatch batch = runner.Prepare(true, [(new(), Ids), (new(), [3])], inputs);
        for (int i = 0; i < 100; i++)
            runner.Model.Forward(runner.Stream, batch);
        long before = GC.GetAllocatedBytesForCurrentThread();
        for (int i = 0; i < 100; i++)
            runner.Model.Forward(runner.Stream, batch);
        Assert.Equal(0, GC.GetAllocatedBytesForCurrentThread() - before);
        inputs.ForEach(input => input.Dispose());
    }

    [Fact]
    public void LogitsAreComputedForTheRowsThatWantThem()
    {
        new TestCheckpoint().AddTensors(_folder).Write(_folder);
        using ModelRunner runner = new(_folder.Path);
        float[][] all = runner.Run(true, (new(), Ids), (new(), [4, 5]));
        float[][] last = runner.Run(false, (new(), Ids), (new(), [4, 5]));
        Assert.Equal([all[Ids.Length - 1], all[Ids.Length + 1]], last);
        List<DeviceBuffer> inputs = [];
        ForwardBatch batch = runner.Prepare(true, [(new(), Ids)], inputs);
        Assert.True(runner.Model.Forward(runner.Stream, batch with { LogitRows = default }).IsAbsent);
        inputs.ForEach(input => input.Dispose());
    }

    [Theory]
    [InlineData(DType.F32)]
    [InlineData(DType.F16)]
    public void CopiedPagesServeAsWellAsTheirOriginals(DType dtype)
    {
        new TestCheckpoint().AddTensors(_folder).Write(_folder);
        using ModelRunner runner = new(_folder.Path, pageSize: 4, cacheDType: dtype);
        ModelRunner.Sequence sequence = new(), copy = new() { Length = Ids.Length };
        runner.Run(true, (sequence, Ids));
        foreach (int page in sequence.Pages)
        {
            copy.Pages.Add(runner.TakePage());
            runner.Cache.CopyPage(page, copy.Pages[^1], runner.Stream);
        }
        Assert.Equal(runner.Run(true, (sequence, [3])), runner.Run(true, (copy, [3])));
        Assert.Throws<ArgumentOutOfRangeException>(() => runner.Cache.CopyPage(-1, 0, runner.Stream));
        Assert.Throws<ArgumentOutOfRangeException>(() => runner.Cache.CopyPage(0, 600, runner.Stream));
        Assert.Throws<ArgumentOutOfRangeException>(() => runner.Cache.Keys(2));
    }

    [Fact]
    public void BatchesThatDoNotFitAreRefused()
    {
        new TestCheckpoint().AddTensors(_folder).Write(_folder);
        using ModelRunner runner = new(_folder.Path);
        Assert.ThrowsAny<Exception>(() => runner.Run(true, (new(), new int[513])));
        List<DeviceBuffer> inputs = [];
        ForwardBatch batch = runner.Prepare(true, [(new(), Ids)], inputs);
        runner.Model.Forward(runner.Stream, batch);
        using AdzeContext context = new(new ContextOptions { Backend = Backend.Cpu, NumThreads = 1 });
        DeviceTensor many = DeviceTensor.Create(context, DType.I32, 1, 513);
        Assert.Contains("513 tokens; at most 512 fit", Throws(batch with { Ids = many }));
        Assert.Contains("logits of 513 rows; at most 512 fit", Throws(batch with { LogitRows = many }));
        using PagedKvCache cache = new(context, runner.Model.Config with { NumLayers = 1 }, DType.F32, 1, 1);
        Assert.Contains("the cache has 1 layers; the model has 2", Throws(batch with { Cache = cache }));
        many.Buffer!.Dispose();
        inputs.ForEach(input => input.Dispose());

        string Throws(ForwardBatch wrong) =>
            Assert.Throws<ArgumentException>(() => runner.Model.Forward(runner.Stream, wrong)).Message;
    }

    [Fact]
    public void DisposingTwiceIsHarmless()
    {
        new TestCheckpoint().AddTensors(_folder).Write(_folder);
        ModelRunner runner = new(_folder.Path);
        runner.Dispose();
        runner.Dispose();
    }

    private sealed class Progress : IProgress<double>
    {
        public List<double> Shares { get; } = [];

        public void Report(double value) => Shares.Add(value);
    }
}
