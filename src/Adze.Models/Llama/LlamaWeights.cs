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
        AttentionCalibration? calibration = Calibration(checkpoint, options.Softmax);
        WeightLoader loader = new(context, stream, checkpoint, _owned, progress);
        try
        {
            Embedding = loader.Matrix(LlamaTensors.Embedding);
            Layers = [.. Enumerable.Range(0, config.NumLayers).Select(layer => LoadLayer(loader, layer, config, options.Softmax, calibration))];
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
        WeightLoader loader, int layer, ModelConfig config, Softmax softmax, AttentionCalibration? calibration)
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

    // Null: the stable softmax, which a tuned one is where there is no file. Who asks for stable may have a file that does
    // not fit, and replace it.
    private static AttentionCalibration? Calibration(Checkpoint checkpoint, Softmax softmax)
    {
        if (softmax == Softmax.Stable)
            return null;
        AttentionCalibration? calibration = AttentionCalibration.Load(checkpoint.Directory, checkpoint.Config);
        return calibration is not null || softmax == Softmax.Tuned ? calibration : throw new ModelFormatException(
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
