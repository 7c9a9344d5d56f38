using Adze.Native;

namespace Adze.Models;

/// <summary>y = x Wᵀ + b.</summary>
internal readonly record struct Projection(Weight Weight, DeviceTensor Bias);

/// <summary>The weights of one transformer layer.</summary>
internal sealed record LlamaLayer(
    DeviceTensor InputNorm, Projection Query, Projection Key, Projection Value, AttentionOptions Softmax, Projection Output,
    DeviceTensor PostAttentionNorm, Projection Gate, Projection Up, Projection Down);

/// <summary>All weights of a model, on the device, in the checkpoint's types.</summary>
internal sealed class LlamaWeights : IDisposable
{
    private readonly List<IDisposable> _owned = [];

    public LlamaWeights(AdzeContext context, AdzeStream stream, Checkpoint checkpoint, ModelOptions options,
        IProgress<double>? progress)
    {
        ModelConfig config = checkpoint.Config;
        UnifiedSoftmax? softmax = Calibrated(checkpoint, options);
        WeightLoader loader = new(context, stream, checkpoint, _owned, progress);
        try
        {
            Embedding = loader.Matrix(LlamaTensors.Embedding);
            Layers = [.. Enumerable.Range(0, config.NumLayers).Select(layer => LoadLayer(loader, layer, config, options.Softmax, softmax))];
            FinalNorm = loader.Vector(LlamaTensors.FinalNorm);
            Head = loader.Packed(config.TieWordEmbeddings ? LlamaTensors.Embedding : LlamaTensors.Head);
            InverseFrequencies = loader.Upload(RotaryFrequencies(config));
            stream.Synchronize();
            Bytes = loader.Bytes;
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    public DeviceTensor Embedding { get; }

    public LlamaLayer[] Layers { get; }

    public DeviceTensor FinalNorm { get; }

    public Weight Head { get; }

    public DeviceTensor InverseFrequencies { get; }

    /// <summary>Device memory in bytes.</summary>
    public ulong Bytes { get; }

    public void Dispose()
    {
        foreach (IDisposable owned in _owned)
            owned.Dispose();
        _owned.Clear();
    }

    /// <summary>The largest workspace that a projection needs.</summary>
    public ulong WorkspaceBytes(long tokens, long logitRows) =>
        Layers.SelectMany(Projections).Select(projection => Linear.WorkspaceSize(projection.Weight, tokens))
            .Append(Linear.WorkspaceSize(Head, logitRows)).Max();

    private static IEnumerable<Projection> Projections(LlamaLayer layer) =>
        [layer.Query, layer.Key, layer.Value, layer.Output, layer.Gate, layer.Up, layer.Down];

    private static LlamaLayer LoadLayer(
        WeightLoader loader, int layer, ModelConfig config, Softmax softmax, UnifiedSoftmax? calibration)
    {
        return new LlamaLayer(
            InputNorm: loader.Vector(LlamaTensors.InLayer(layer, LlamaTensors.InputNorm)),
            Query: Load("self_attn.q_proj", config.AttentionBias),
            Key: Load("self_attn.k_proj", config.AttentionBias),
            Value: Load("self_attn.v_proj", config.AttentionBias),
            Softmax: calibration is null ? default : new AttentionOptions
            {
                Softmax = softmax,
                Phi = loader.Upload(calibration.Phi[layer]),
                PhiBelow = calibration.PhiBelow,
                PhiAbove = calibration.PhiAbove,
            },
            Output: Load("self_attn.o_proj", config.AttentionBias),
            PostAttentionNorm: loader.Vector(LlamaTensors.InLayer(layer, LlamaTensors.PostAttentionNorm)),
            Gate: Load("mlp.gate_proj", config.MlpBias),
            Up: Load("mlp.up_proj", config.MlpBias),
            Down: Load("mlp.down_proj", config.MlpBias));

        Projection Load(string name, bool bias) => new(
            loader.Packed(LlamaTensors.InLayer(layer, $"{name}.weight")),
            bias ? loader.Vector(LlamaTensors.InLayer(layer, $"{name}.bias")) : default);
    }

    // Attention's weights are multiplied with the values in the cache's format, or in BF16 where that is quantised. Without
    // a calibration a tuned softmax is a stable one.
    private static UnifiedSoftmax? Calibrated(Checkpoint checkpoint, ModelOptions options)
    {
        if (options.Softmax == Softmax.Stable || (options.Softmax == Softmax.Tuned && checkpoint.Calibration is null))
        {
            return null;
        }

        DType cache = options.EffectiveCacheDType;
        return checkpoint.Calibration?.For(cache.IsQuantised() ? DType.BF16 : cache) ?? throw new ModelFormatException(
            $"{checkpoint.Directory}: has no {AttentionCalibration.FileName} with the phi of a unified softmax; make it: " +
            $"adze tune attention --model {checkpoint.Directory}");
    }

    private static float[] RotaryFrequencies(ModelConfig config)
    {
        float[] frequencies = new float[config.RotaryDim / 2];
        Glue.RopeFrequencies(config.Rope, frequencies);
        return frequencies;
    }
}
