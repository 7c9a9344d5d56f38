namespace Adze.Native.Tests;

/// <summary>Every operator set up with small operands, for tests that run them all and do not look at numbers.</summary>
internal sealed class Operators : IDisposable
{
    private readonly Bench _bench;
    private readonly int[] _qoIndptr = [0, 2], _kvIndptr = [0, 1], _kvLastPageLen = [2];
    private readonly long[] _maskIndptr = [0, 2];
    private readonly DeviceTensor _x, _y, _z, _gain, _ids, _freq, _logits, _mask, _drawn, _pages, _q, _o, _k, _lse,
        _seen, _slopes, _sinks, _phi, _merged, _mergedLse;
    private readonly Weight _weight;
    private readonly AttentionPlan _plan;
    private readonly KvCacheView _keys, _values;
    private readonly DeviceBuffer _parameters, _workspace;

    public Operators(Bench bench)
    {
        _bench = bench;
        (_x, _y, _z) = (Zeros(2, 8), Zeros(2, 8), Zeros(2, 8));
        (_gain, _freq) = (Zeros(1, 8), Zeros(1, 4));
        (_q, _o, _k, _lse) = (Zeros(2, 16), Zeros(2, 16), Zeros(2, 8), Zeros(2, 2));
        _ids = bench.Tensor<int>(1, 2, 1, 0);
        _drawn = bench.Tensor<int>(1, 2, 0, 0);
        _logits = Zeros(2, 33);
        _seen = bench.Tensor<int>(1, 2, -1, -1);
        (_slopes, _sinks, _phi) = (Zeros(1, 2), Zeros(1, 2), Zeros(1, 2));
        (_merged, _mergedLse) = (Zeros(1, 16), Zeros(1, 2));
        _mask = bench.Tensor<int>(2, 2, -1, -1, -1, -1);
        _pages = bench.Tensor<int>(1, 1, 0);
        _weight = bench.Weight(8, 8, new float[64]);
        _parameters = bench.Own(new DeviceBuffer(bench.Context, 64));
        _parameters.Write<SamplingParams>([new(1, 5, 0.9f, 0.1f, 7, 0), new(0, 0, 0, 0, 7, 1)], bench.Stream);
        _keys = Cache();
        _values = Cache();
        _plan = bench.Own(new AttentionPlan(bench.Context, PlanOptions with { MaxMaskWords = 2 }));
        _workspace = bench.Own(new DeviceBuffer(bench.Context, WorkspaceNeeded()));
        UpdatePlan();
    }

    public static AttentionPlanOptions PlanOptions { get; } = new()
    {
        NumQHeads = 2,
        NumKvHeads = 1,
        HeadDimQk = 8,
        HeadDimV = 8,
        PageSize = 4,
        MaxSequences = 1,
        MaxQTokens = 2,
        MaxKvPages = 1,
    };

    /// <summary>Everything whose address goes into a call.</summary>
    public IEnumerable<AdzeHandle> Handles =>
    [
        .. ((DeviceTensor[])[_x, _y, _z, _gain, _ids, _freq, _logits, _mask, _drawn, _pages, _q, _o, _k, _lse,
            _seen, _slopes, _sinks, _phi, _merged, _mergedLse])
            .Select(tensor => tensor.Buffer!.Handle),
        _keys.Buffer.Handle, _values.Buffer.Handle, _parameters.Handle, _workspace.Handle,
        _weight.Handle, _plan.Handle,
    ];

    // Arrays of its own: unoptimised code allocates for a literal span.
    public void UpdatePlan() =>
        _plan.Update(_qoIndptr, _kvIndptr, _kvLastPageLen, _bench.Stream, _maskIndptr);

    public void Launch(AdzeStream stream)
    {
        Glue.Embedding(stream, _y, _ids, _x);
        Glue.RmsNorm(stream, _y, _x, _gain, 1e-5f, _z);
        Glue.Rope(stream, _x, _ids, _freq, 8);
        Glue.SiluGate(stream, _y, _x, _z);
        Linear.Run(stream, _y, _x, _weight, _gain, _workspace);
        Attention.AppendKv(stream, _keys, _values, _k, _k, _pages, _plan);
        Attention.Run(stream, _o, _q, _keys, _values, _pages, _plan, _lse, _workspace, new AttentionOptions
        {
            Softmax = Softmax.Unified,
            Mask = _seen,
            AlibiSlopes = _slopes,
            Sinks = _sinks,
            Phi = _phi,
        });
        Attention.Merge(stream, _merged, _o, _lse, numParts: 2, numHeads: 2, _mergedLse);
        Sampling.Run(stream, _drawn, _logits, _parameters, _mask, _workspace);
    }

    public void Dispose()
    {
        foreach (AdzeHandle handle in Handles)
        {
            handle.Dispose();
        }
    }

    private ulong WorkspaceNeeded() => new[]
    {
        Linear.WorkspaceSize(_weight, 2),
        Sampling.WorkspaceSize(_bench.Context, 2, 33),
        _plan.WorkspaceBytes,
        256UL,
    }.Max();

    private DeviceTensor Zeros(long rows, long columns) =>
        _bench.Tensor<float>(rows, columns, new float[rows * columns]);

    private KvCacheView Cache() => new(Zeros(1, 32).Buffer!, 0, DType.F32, 1, 32, 8, 8);
}
