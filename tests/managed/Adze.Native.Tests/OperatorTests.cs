namespace Adze.Native.Tests;

/// <summary>Each operator once against numbers worked out by hand: that operands arrive where they belong.</summary>
public sealed class OperatorTests
{
    [Fact]
    public void Linear_multiplies_by_the_transpose_and_adds_the_bias()
    {
        using Bench bench = new();
        DeviceTensor y = bench.Floats(2, 3);
        Linear.Run(
            bench.Stream,
            y,
            bench.Tensor<float>(2, 2, 1, 2, 3, 4),
            bench.Weight(3, 2, 1, 0, 0, 1, 1, 1),
            bench.Tensor<float>(1, 3, 10, 20, 30),
            bench.Workspace);
        Assert.Equal([11, 22, 33, 13, 24, 37], bench.Read<float>(y));
    }

    [Fact]
    public void Embedding_gathers_rows()
    {
        using Bench bench = new();
        DeviceTensor y = bench.Floats(2, 2);
        Glue.Embedding(bench.Stream, y, bench.Tensor<int>(1, 2, 2, 0), bench.Tensor<float>(3, 2, 1, 2, 3, 4, 5, 6));
        Assert.Equal([5, 6, 1, 2], bench.Read<float>(y));
    }

    [Fact]
    public void RmsNorm_adds_the_residual_and_scales()
    {
        using Bench bench = new();
        DeviceTensor y = bench.Floats(1, 2), residual = bench.Tensor<float>(1, 2, 2, 3);
        Glue.RmsNorm(
            bench.Stream, y, bench.Tensor<float>(1, 2, 1, 1), bench.Tensor<float>(1, 2, 1, 10), 0, residual);
        Assert.Equal([3, 4], bench.Read<float>(residual));
        AssertClose([3 / Math.Sqrt(12.5), 40 / Math.Sqrt(12.5)], bench.Read<float>(y));
    }

    [Fact]
    public void Rope_turns_halves_of_a_head()
    {
        using Bench bench = new();
        DeviceTensor x = bench.Tensor<float>(2, 4, 1, 2, 3, 4, 1, 2, 3, 4);
        Glue.Rope(
            bench.Stream, x, bench.Tensor<int>(1, 2, 0, 2), bench.Tensor<float>(1, 1, (float)Math.PI / 4), headDim: 4);
        AssertClose([1, 2, 3, 4, -2, 1, 3, 4], bench.Read<float>(x));
    }

    [Fact]
    public void Rope_frequencies_are_scaled()
    {
        Span<float> frequencies = stackalloc float[2];
        Glue.RopeFrequencies(new RopeScaling(100), frequencies);
        AssertClose([1, 0.1], frequencies.ToArray());
        Glue.RopeFrequencies(new RopeScaling(100, RopeScalingKind.Linear, Factor: 4), frequencies);
        AssertClose([0.25, 0.025], frequencies.ToArray());
        // Wavelengths 6.28 and 62.8: below 128 / 16 kept, above 128 / 4 divided by the factor.
        Glue.RopeFrequencies(new RopeScaling(100, RopeScalingKind.Llama3, 8, 4, 16, 128), frequencies);
        AssertClose([1, 0.0125], frequencies.ToArray());
    }

    [Fact]
    public void SiluGate_multiplies_into_its_operand()
    {
        using Bench bench = new();
        DeviceTensor gate = bench.Tensor<float>(1, 2, 0, 1);
        Glue.SiluGate(bench.Stream, gate, gate, bench.Tensor<float>(1, 2, 5, 3));
        AssertClose([0, 3 / (1 + Math.Exp(-1))], bench.Read<float>(gate));
    }

    [Fact]
    public void Attention_appends_and_attends_causally()
    {
        using Bench bench = new();
        // Two tokens, pages of one token in the order 2, 0; q = k = e0 and e1 scaled, v = token number + 1.
        using AttentionPlan plan = new(bench.Context, Operators.PlanOptions with
        {
            NumQHeads = 1,
            PageSize = 1,
            MaxKvPages = 2,
            SoftmaxScale = 0.5f,
        });
        plan.Update([0, 2], [0, 2], [1], bench.Stream);
        KvCacheView keys = Cache(bench, 3), values = Cache(bench, 3);
        DeviceTensor q = bench.Tensor<float>(2, 8, [1, 0, 0, 0, 0, 0, 0, 0, 2, 1, 0, 0, 0, 0, 0, 0]);
        DeviceTensor v = bench.Tensor<float>(2, 8, [1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2]);
        DeviceTensor pages = bench.Tensor<int>(1, 2, 2, 0), o = bench.Floats(2, 8), lse = bench.Floats(2, 1);
        using DeviceBuffer workspace = new(bench.Context, plan.WorkspaceBytes);

        Attention.AppendKv(bench.Stream, keys, values, q, v, pages, plan);
        Attention.Run(bench.Stream, o, q, keys, values, pages, plan, lse, workspace);

        float[] stored = new float[24];
        values.Buffer.Read<float>(stored, bench.Stream);
        Assert.Equal([2, 2, 2, 2, 2, 2, 2, 2], stored[..8]);
        Assert.Equal([1, 1, 1, 1, 1, 1, 1, 1], stored[16..]);
        // Token 1 has scores 1 and 2.5.
        double sum = Math.Exp(1) + Math.Exp(2.5), second = (Math.Exp(1) + 2 * Math.Exp(2.5)) / sum;
        AssertClose([.. Enumerable.Repeat(1.0, 8), .. Enumerable.Repeat(second, 8)], bench.Read<float>(o));
        AssertClose([0.5, Math.Log(sum)], bench.Read<float>(lse));
    }

    [Fact]
    public void Attention_merges_parts()
    {
        using Bench bench = new();
        // Two parts of one token with two heads of 2; the second part saw no key for head 1.
        DeviceTensor parts = bench.Tensor<float>(2, 4, 1, 2, 3, 4, 5, 6, float.NaN, 8);
        float none = float.NegativeInfinity;
        DeviceTensor partsLse = bench.Tensor<float>(2, 2, MathF.Log(1), 7, MathF.Log(3), none);
        DeviceTensor o = bench.Floats(1, 4), lse = bench.Floats(1, 2);
        Attention.Merge(bench.Stream, o, parts, partsLse, numParts: 2, numHeads: 2, lse);
        AssertClose([(1 + 3 * 5) / 4.0, (2 + 3 * 6) / 4.0, 3, 4], bench.Read<float>(o));
        AssertClose([Math.Log(4), 7], bench.Read<float>(lse));
    }

    [Fact]
    public void Attention_takes_an_empty_batch()
    {
        using Bench bench = new();
        using AttentionPlan plan = new(bench.Context, Operators.PlanOptions);
        plan.Update([0], [0], [], bench.Stream);
        KvCacheView cache = Cache(bench, 4);
        DeviceTensor q = bench.Tensor<float>(0, 16), pages = bench.Tensor<int>(1, 1, 0);
        using DeviceBuffer workspace = new(bench.Context, plan.WorkspaceBytes);
        Attention.Run(bench.Stream, q, q, cache, cache, pages, plan, workspace: workspace);
    }

    [Fact]
    public void Sampling_follows_mask_and_parameters()
    {
        using Bench bench = new();
        DeviceTensor ids = bench.Tensor<int>(1, 2), logits = bench.Tensor<float>(2, 4, 0, 3, 2, 1, 0, 1, 2, 3);
        Sampling.Run(bench.Stream, ids, logits, workspace: bench.Workspace);
        Assert.Equal([1, 3], bench.Read<int>(ids));

        DeviceTensor mask = bench.Tensor<int>(2, 1, 0b1101, 0b0011);
        Sampling.Run(bench.Stream, ids, logits, mask: mask, workspace: bench.Workspace);
        Assert.Equal([2, 1], bench.Read<int>(ids));

        using DeviceBuffer parameters = new(bench.Context, 64);
        // One token left by top_k, and by min_p.
        parameters.Write<SamplingParams>([new(1, 1, 0, 0, 1, 2), new(1, 0, 0, 0.99f, 3, 4)], bench.Stream);
        using DeviceBuffer workspace = new(bench.Context, Sampling.WorkspaceSize(bench.Context, 2, 4));
        Sampling.Run(bench.Stream, ids, logits, parameters, mask, workspace);
        Assert.Equal([2, 1], bench.Read<int>(ids));
    }

    [Fact]
    public void Graph_repeats_what_was_captured()
    {
        using Bench bench = new();
        DeviceTensor x = bench.Tensor<float>(1, 2, 1, 2), y = bench.Tensor<float>(1, 2, 0, 0);
        Weight weight = bench.Weight(2, 2, 0, 1, 1, 0);
        bench.Stream.BeginCapture();
        Assert.True(bench.Stream.IsCapturing);
        Linear.Run(bench.Stream, y, x, weight, workspace: bench.Workspace);
        x.Buffer!.CopyFrom(y.Buffer!, 0, 4, 4, bench.Stream);
        using AdzeGraph graph = bench.Stream.EndCapture();
        Assert.Equal([0, 0], bench.Read<float>(y));

        graph.Launch(bench.Stream);
        Assert.Equal([2, 1], bench.Read<float>(y));
        Assert.Equal([1, 2], bench.Read<float>(x));
        x.Write<float>([5, 6], bench.Stream);
        graph.Launch(bench.Stream);
        Assert.Equal([6, 5], bench.Read<float>(y));
    }

    [Fact]
    public void Events_order_and_time_streams()
    {
        using Bench bench = new();
        using AdzeStream other = new(bench.Context);
        using AdzeEvent start = new(bench.Context), end = new(bench.Context);
        start.Record(bench.Stream);
        other.WaitEvent(start);
        end.Record(other);
        end.Synchronize();
        other.Synchronize();
        Assert.InRange(AdzeEvent.ElapsedMicroseconds(start, end), 0, 60e6);
    }

    private static KvCacheView Cache(Bench bench, int pages) =>
        new(bench.Floats(pages, 32).Buffer!, 0, DType.F32, pages, 8, 8, 8);

    private static void AssertClose(double[] expected, float[] actual)
    {
        Assert.Equal(expected.Length, actual.Length);
        for (int i = 0; i < expected.Length; i++)
        {
            Assert.InRange(actual[i], expected[i] - 1e-5, expected[i] + 1e-5);
        }
    }
}
