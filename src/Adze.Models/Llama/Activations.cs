using Adze.Native;

namespace Adze.Models;

/// <summary>The intermediate results of a forward pass, allocated once for the largest batch.</summary>
internal sealed class Activations : IDisposable
{
    private readonly AdzeContext _context;
    private readonly List<DeviceBuffer> _owned = [];

    public Activations(AdzeContext context, ModelConfig config, ModelOptions options, ulong workspaceBytes)
    {
        _context = context;
        long q = (long)config.NumHeads * config.HeadDim, kv = (long)config.NumKvHeads * config.HeadDim;
        DType dtype = options.DType;
        try
        {
            Hidden = Create(DType.F32, options.MaxTokens, config.HiddenSize);
            Update = Create(DType.F32, options.MaxTokens, config.HiddenSize);
            Normed = Create(dtype, options.MaxTokens, config.HiddenSize);
            Query = Create(dtype, options.MaxTokens, q);
            Key = Create(dtype, options.MaxTokens, kv);
            Value = Create(dtype, options.MaxTokens, kv);
            Attended = Create(dtype, options.MaxTokens, q);
            Gate = Create(dtype, options.MaxTokens, config.IntermediateSize);
            Up = Create(dtype, options.MaxTokens, config.IntermediateSize);
            Chosen = Create(dtype, options.MaxLogitRows, config.HiddenSize);
            Logits = Create(DType.F32, options.MaxLogitRows, config.VocabularySize);
            if (workspaceBytes > 0)
                _owned.Add(Workspace = new DeviceBuffer(context, workspaceBytes));
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    /// <summary>The residual stream.</summary>
    public DeviceTensor Hidden { get; }

    /// <summary>What attention or MLP add to the residual stream.</summary>
    public DeviceTensor Update { get; }

    /// <summary>The norm of the residual stream.</summary>
    public DeviceTensor Normed { get; }

    public DeviceTensor Query { get; }

    public DeviceTensor Key { get; }

    public DeviceTensor Value { get; }

    /// <summary>The attention's output, before its projection.</summary>
    public DeviceTensor Attended { get; }

    public DeviceTensor Gate { get; }

    public DeviceTensor Up { get; }

    /// <summary>The rows that want logits.</summary>
    public DeviceTensor Chosen { get; }

    public DeviceTensor Logits { get; }

    /// <summary>For the projections.</summary>
    public DeviceBuffer? Workspace { get; }

    /// <summary>Device memory in bytes.</summary>
    public ulong Bytes => _owned.Aggregate(0UL, (sum, buffer) => sum + buffer.Bytes);

    public void Dispose()
    {
        foreach (DeviceBuffer buffer in _owned)
            buffer.Dispose();
        _owned.Clear();
    }

    private DeviceTensor Create(DType dtype, long rows, long columns)
    {
        DeviceTensor tensor = DeviceTensor.Create(_context, dtype, rows, columns);
        _owned.Add(tensor.Buffer!);
        return tensor;
    }
}
