using Adze.Models;
using Adze.Native;

namespace Adze.Engine;

/// <summary>Runs batches on the device: everything that a step needs there, allocated once.</summary>
internal sealed unsafe class ModelRunner : IStepRunner, IDisposable
{
    private readonly List<IDisposable> _owned = []; // disposed in reverse
    private readonly AdzeContext _context;
    private readonly AdzeStream _stream;
    private readonly LlamaModel _model;
    private readonly PagedKvCache _cache;
    private readonly AttentionPlan _plan;
    private readonly DeviceBuffer? _attentionWorkspace;
    private readonly DeviceBuffer? _samplingWorkspace;
    private readonly DeviceBuffer _ids;
    private readonly DeviceBuffer _positions;
    private readonly DeviceBuffer _kvIndices;
    private readonly DeviceBuffer _logitRows;
    private readonly DeviceBuffer _sampling;
    private readonly DeviceBuffer _nextIds;
    private ForwardBatch _batch;

    public ModelRunner(Checkpoint checkpoint, EngineOptions options, IProgress<double>? progress)
    {
        try
        {
            _context = Own(new AdzeContext(new ContextOptions
            {
                Backend = options.Backend,
                Device = options.Device,
                NumThreads = options.NumThreads,
                Deterministic = options.Deterministic,
            }));
            _stream = Own(new AdzeStream(_context));
            DType dtype = options.DType == DType.None ? ModelOptions.DefaultDType(Device) : options.DType;
            DType cacheDType = options.CacheDType == DType.None ? dtype : options.CacheDType;
            _model = Own(new LlamaModel(_context, _stream, checkpoint, new ModelOptions
            {
                DType = dtype,
                CacheDType = cacheDType,
                Softmax = options.Softmax,
                MaxTokens = options.MaxBatchTokens,
                MaxLogitRows = options.MaxSequences,
            }, progress));
            int numPages = options.NumPages > 0 ? options.NumPages : DefaultPages(checkpoint.Config, options, cacheDType);
            _cache = Own(_model.CreateCache(numPages, options.PageSize));
            _plan = Own(_model.CreatePlan(options.PageSize, options.MaxSequences, numPages));
            _attentionWorkspace = OwnWorkspace(_plan.WorkspaceBytes);
            _samplingWorkspace = OwnWorkspace(
                Native.Sampling.WorkspaceSize(_context, options.MaxSequences, checkpoint.Config.VocabularySize));
            _ids = OwnArray<int>(options.MaxBatchTokens);
            _positions = OwnArray<int>(options.MaxBatchTokens);
            _kvIndices = OwnArray<int>(numPages);
            _logitRows = OwnArray<int>(options.MaxSequences);
            _sampling = OwnArray<SamplingParams>(options.MaxSequences);
            _nextIds = OwnArray<int>(options.MaxSequences);
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    public AdzeContext Context => _context;

    public DeviceInfo Device => _context.Info;

    public DType DType => _model.Options.DType;

    public DType CacheDType => _cache.DType;

    public int NumPages => _cache.NumPages;

    public void Run(StepBatch batch, Span<int> nextIds)
    {
        Upload(batch);
        DeviceTensor logits = Forward(batch.LogitRows);
        if (nextIds.IsEmpty)
            return;
        _sampling.Write(batch.Sampling, _stream);
        Native.Sampling.Run(_stream, Row(_nextIds, nextIds.Length), logits, _sampling, workspace: _samplingWorkspace);
        _nextIds.Read(nextIds, _stream);
    }

    /// <summary>Makes this batch the one that <see cref="Forward"/> runs.</summary>
    public void Upload(StepBatch batch)
    {
        _ids.Write(batch.Ids, _stream);
        _positions.Write(batch.Positions, _stream);
        _kvIndices.Write(batch.KvIndices, _stream);
        _plan.Update(batch.QoIndptr, batch.KvIndptr, batch.KvLastPageLen, _stream);
        _batch = new ForwardBatch
        {
            Ids = Row(_ids, batch.NumTokens),
            Positions = Row(_positions, batch.NumTokens),
            KvIndices = Row(_kvIndices, batch.NumPages),
            Plan = _plan,
            Cache = _cache,
            AttentionWorkspace = _attentionWorkspace,
        };
    }

    /// <summary>The logits of these rows of the batch; absent for none.</summary>
    public DeviceTensor Forward(ReadOnlySpan<int> logitRows, IForwardObserver? observer = null)
    {
        ForwardBatch batch = _batch;
        if (!logitRows.IsEmpty)
        {
            _logitRows.Write(logitRows, _stream);
            batch = batch with { LogitRows = Row(_logitRows, logitRows.Length) };
        }
        return _model.Forward(_stream, batch, observer);
    }

    /// <summary>A dense tensor's elements, copied to the host.</summary>
    public void Read(DeviceTensor tensor, Span<float> destination)
    {
        if (tensor.DType == DType.F32)
        {
            tensor.Read(destination, _stream);
            return;
        }
        ushort[] bits = new ushort[destination.Length];
        tensor.Read<ushort>(bits, _stream);
        for (int i = 0; i < bits.Length; i++)
            destination[i] = tensor.DType == DType.F16
                ? (float)BitConverter.UInt16BitsToHalf(bits[i])
                : BitConverter.UInt32BitsToSingle((uint)bits[i] << 16);
    }

    public void Dispose()
    {
        for (int i = _owned.Count - 1; i >= 0; i--)
            _owned[i].Dispose();
        _owned.Clear();
    }

    private int DefaultPages(ModelConfig config, EngineOptions options, DType dtype)
    {
        const ulong Largest = 4UL << 30;
        ulong budget = Math.Min(Device.MemoryBytes / 4, Largest);
        ulong pageSize = (ulong)options.PageSize;
        ulong contextPages = ((ulong)config.MaxPositionEmbeddings + pageSize - 1) / pageSize;
        ulong pageBytes = PagedKvCache.BytesPerPage(config, dtype, options.PageSize);
        ulong pages = Math.Min(contextPages * (ulong)options.MaxSequences, budget / pageBytes);
        return (int)Math.Clamp(pages, 1, int.MaxValue);
    }

    private static DeviceTensor Row(DeviceBuffer buffer, int count) => new(buffer, 0, DType.I32, 1, count, count);

    private DeviceBuffer OwnArray<T>(int count) where T : unmanaged =>
        Own(new DeviceBuffer(_context, (ulong)count * (ulong)sizeof(T)));

    private DeviceBuffer? OwnWorkspace(ulong bytes) => bytes == 0 ? null : Own(new DeviceBuffer(_context, bytes));

    private T Own<T>(T disposable) where T : IDisposable
    {
        _owned.Add(disposable);
        return disposable;
    }
}
