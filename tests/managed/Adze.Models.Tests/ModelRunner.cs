using Adze.Native;

namespace Adze.Models.Tests;

/// <summary>The least engine that a test needs: sequences with pages out of a shuffled pool.</summary>
internal sealed class ModelRunner : IDisposable
{
    private const int MaxTokens = 512;
    private const int MaxSequences = 40;

    private readonly AdzeContext _context;
    private readonly AdzeStream _stream;
    private readonly AttentionPlan _plan;
    private readonly DeviceBuffer? _workspace;
    private readonly Stack<int> _freePages;

    public ModelRunner(
        string folder, DType dtype = DType.F32, int pageSize = 16, int numPages = 600, DType cacheDType = DType.None,
        Softmax softmax = Softmax.Stable)
    {
        _context = new AdzeContext(new ContextOptions { Backend = Backend.Cpu, NumThreads = 2 });
        _stream = new AdzeStream(_context);
        using Checkpoint checkpoint = Checkpoint.Open(folder);
        Model = new LlamaModel(_context, _stream, checkpoint,
            new ModelOptions
            {
                DType = dtype,
                CacheDType = cacheDType,
                Softmax = softmax,
                MaxTokens = MaxTokens,
                MaxLogitRows = MaxTokens,
            });
        Cache = Model.CreateCache(numPages, pageSize);
        _plan = Model.CreatePlan(pageSize, MaxSequences, numPages);
        _workspace = _plan.WorkspaceBytes > 0 ? new DeviceBuffer(_context, _plan.WorkspaceBytes) : null;
        int[] pages = [.. Enumerable.Range(0, numPages)];
        new Random(1).Shuffle(pages);
        _freePages = new Stack<int>(pages);
    }

    public LlamaModel Model { get; }

    public PagedKvCache Cache { get; }

    public AdzeStream Stream => _stream;

    /// <summary>Appends tokens to sequences in one forward pass; the logits of all of them, or of each sequence's
    /// last.</summary>
    public float[][] Run(bool all, IForwardObserver? observer, params (Sequence Sequence, int[] Ids)[] step)
    {
        List<DeviceBuffer> inputs = [];
        try
        {
            ForwardBatch batch = Prepare(all, step, inputs);
            DeviceTensor logits = Model.Forward(_stream, batch, observer);
            float[] values = new float[logits.Rows * logits.Columns];
            logits.Read(values.AsSpan(), _stream);
            return [.. values.Chunk(Model.Config.VocabularySize)];
        }
        finally
        {
            inputs.ForEach(input => input.Dispose());
        }
    }

    public float[][] Run(bool all, params (Sequence Sequence, int[] Ids)[] step) => Run(all, null, step);

    /// <summary>Everything that a forward pass needs; what was allocated for it goes to
    /// <paramref name="inputs"/>.</summary>
    public ForwardBatch Prepare(bool all, (Sequence Sequence, int[] Ids)[] step, List<DeviceBuffer> inputs)
    {
        List<int> ids = [], positions = [], logitRows = [];
        List<int> qoIndptr = [0], kvIndptr = [0], pages = [], lastPageLen = [];
        foreach ((Sequence sequence, int[] added) in step)
        {
            positions.AddRange(Enumerable.Range(sequence.Length, added.Length));
            Extend(sequence, added.Length);
            logitRows.AddRange(all ? Enumerable.Range(ids.Count, added.Length) : [ids.Count + added.Length - 1]);
            ids.AddRange(added);
            pages.AddRange(sequence.Pages);
            qoIndptr.Add(ids.Count);
            kvIndptr.Add(pages.Count);
            lastPageLen.Add(sequence.Length - (sequence.Pages.Count - 1) * Cache.PageSize);
        }
        _plan.Update([.. qoIndptr], [.. kvIndptr], [.. lastPageLen], _stream);
        return new ForwardBatch
        {
            Ids = Upload(ids),
            Positions = Upload(positions),
            LogitRows = Upload(logitRows),
            KvIndices = Upload(pages),
            Plan = _plan,
            Cache = Cache,
            AttentionWorkspace = _workspace,
        };

        DeviceTensor Upload(List<int> values)
        {
            DeviceTensor tensor = DeviceTensor.Create(_context, DType.I32, 1, values.Count);
            inputs.Add(tensor.Buffer!);
            tensor.Write<int>(values.ToArray(), _stream);
            return tensor;
        }
    }

    public void Dispose()
    {
        _workspace?.Dispose();
        _plan.Dispose();
        Cache.Dispose();
        Model.Dispose();
        _stream.Dispose();
        _context.Dispose();
    }

    public int TakePage() => _freePages.Pop();

    private void Extend(Sequence sequence, int tokens)
    {
        sequence.Length += tokens;
        while (sequence.Pages.Count * Cache.PageSize < sequence.Length)
            sequence.Pages.Add(TakePage());
    }

    public sealed class Sequence
    {
        public int Length { get; set; }

        public List<int> Pages { get; } = [];
    }
}

/// <summary>Keeps every hidden state that it is shown.</summary>
internal sealed class HiddenRecorder(AdzeStream stream) : IForwardObserver
{
    public List<float[]> Hidden { get; } = [];

    public void OnHidden(int index, DeviceTensor hidden)
    {
        Assert.Equal(Hidden.Count, index);
        Assert.Equal(DType.F32, hidden.DType);
        float[] values = new float[hidden.Rows * hidden.Columns];
        hidden.Read(values.AsSpan(), stream);
        Hidden.Add(values);
    }
}

/// <summary>Keeps the queries and keys of every layer.</summary>
internal sealed class AttentionRecorder(AdzeStream stream) : IForwardObserver
{
    public List<(float[] Q, float[] K)> Seen { get; } = [];

    public void OnAttention(int layer, DeviceTensor q, DeviceTensor k)
    {
        Assert.Equal(Seen.Count, layer);
        Seen.Add((Read(q), Read(k)));
    }

    private float[] Read(DeviceTensor tensor)
    {
        float[] values = new float[tensor.Rows * tensor.Columns];
        tensor.Read(values.AsSpan(), stream);
        return values;
    }
}
