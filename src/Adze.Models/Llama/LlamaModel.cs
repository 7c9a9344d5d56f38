using Adze.Native;

namespace Adze.Models;

/// <summary>A Llama or Mistral model on a device: its weights and the room for one forward pass. One thread at a
/// time.</summary>
public sealed class LlamaModel : IDisposable
{
    private readonly AdzeContext _context;
    private readonly LlamaWeights _weights;
    private readonly Activations _activations;

    /// <summary>Loads a checkpoint, which can be disposed afterwards.</summary>
    /// <param name="context">The device; outlives the model.</param>
    /// <param name="stream">Where the weights are copied; all is done when the constructor returns.</param>
    /// <param name="checkpoint">The model folder.</param>
    /// <param name="options">Types and capacities; null for the defaults.</param>
    /// <param name="progress">Told the share that is loaded, from 0 to 1.</param>
    /// <exception cref="ModelFormatException">A file was changed while it was read, or the folder lacks the
    /// <c>adze.json</c> that the options ask for, or has one of another model.</exception>
    /// <exception cref="AdzeException">The device refuses, or its memory does not suffice.</exception>
    public LlamaModel(AdzeContext context, AdzeStream stream, Checkpoint checkpoint, ModelOptions? options = null,
        IProgress<double>? progress = null)
    {
        ArgumentNullException.ThrowIfNull(checkpoint);
        Options = options ?? new ModelOptions();
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(Options.MaxTokens, nameof(options));
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(Options.MaxLogitRows, nameof(options));
        _context = context;
        Config = checkpoint.Config;
        _weights = new LlamaWeights(context, stream, checkpoint, Options, progress);
        try
        {
            ulong workspaceBytes = _weights.WorkspaceBytes(Options.MaxTokens, Options.MaxLogitRows);
            _activations = new Activations(context, Config, Options, workspaceBytes);
        }
        catch
        {
            _weights.Dispose();
            throw;
        }
    }

    /// <summary>The model's shape.</summary>
    public ModelConfig Config { get; }

    /// <summary>Types and capacities.</summary>
    public ModelOptions Options { get; }

    /// <summary>The most tokens of one forward pass.</summary>
    public int MaxTokens => Options.MaxTokens;

    /// <summary>The most rows of one forward pass that want logits.</summary>
    public int MaxLogitRows => Options.MaxLogitRows;

    /// <summary>Device memory of the weights, in bytes.</summary>
    public ulong WeightBytes => _weights.Bytes;

    /// <summary>Device memory of the activations, in bytes.</summary>
    public ulong ActivationBytes => _activations.Bytes;

    internal IReadOnlyList<LlamaLayer> Layers => _weights.Layers;

    /// <summary>A plan for this model's attention.</summary>
    public AttentionPlan CreatePlan(int pageSize, int maxSequences, long maxKvPages) => new(_context,
        new AttentionPlanOptions
        {
            NumQHeads = Config.NumHeads,
            NumKvHeads = Config.NumKvHeads,
            HeadDimQk = Config.HeadDim,
            HeadDimV = Config.HeadDim,
            PageSize = pageSize,
            Window = Config.SlidingWindow ?? 0,
            MaxSequences = maxSequences,
            MaxQTokens = MaxTokens,
            MaxKvPages = maxKvPages,
        });

    /// <summary>A cache for this model's keys and values.</summary>
    public PagedKvCache CreateCache(int numPages, int pageSize) => new(
        _context, Config, Options.EffectiveCacheDType, numPages, pageSize);

    /// <summary>Runs the model on a batch of tokens: appends their keys and values to the cache, and computes the
    /// logits of the rows that <see cref="ForwardBatch.LogitRows"/> names. Allocates nothing; can be captured in a
    /// graph (without an observer).</summary>
    /// <returns>[R, vocabulary] F32, valid until the next call; absent where the batch wants no logits.</returns>
    /// <exception cref="ArgumentException">The batch does not fit the model.</exception>
    public DeviceTensor Forward(AdzeStream stream, ForwardBatch batch, IForwardObserver? observer = null)
    {
        Check(batch);
        return new LlamaForward(Config, _weights, _activations, stream, batch, observer).Run();
    }

    /// <summary>Frees the device memory.</summary>
    public void Dispose()
    {
        _activations.Dispose();
        _weights.Dispose();
    }

    // The rest is checked by the operators, which know the shapes.
    private void Check(ForwardBatch batch)
    {
        if (batch.Ids.Columns > MaxTokens)
            throw new ArgumentException($"the batch has {batch.Ids.Columns} tokens; at most {MaxTokens} fit");
        if (batch.LogitRows.Columns > MaxLogitRows)
            throw new ArgumentException(
                $"the batch wants logits of {batch.LogitRows.Columns} rows; at most {MaxLogitRows} fit");
        if (batch.Cache.NumLayers != Config.NumLayers)
            throw new ArgumentException(
                $"the cache has {batch.Cache.NumLayers} layers; the model has {Config.NumLayers}");
    }
}
