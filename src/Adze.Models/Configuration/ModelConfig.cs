using Adze.Native;

namespace Adze.Models;

/// <summary>The architectures that <see cref="LlamaModel"/> runs.</summary>
public enum ModelArchitecture
{
    /// <summary>LlamaForCausalLM.</summary>
    Llama,
    /// <summary>MistralForCausalLM.</summary>
    Mistral,
}

/// <summary>The content of a <c>config.json</c> with Hugging Face's defaults filled in, checked to be consistent; and
/// the token ids of <c>generation_config.json</c>.</summary>
public sealed record ModelConfig
{
    /// <summary>The architecture, from <c>architectures</c> or else <c>model_type</c>.</summary>
    public required ModelArchitecture Architecture { get; init; }

    /// <summary>Width of the residual stream.</summary>
    public required int HiddenSize { get; init; }

    /// <summary>Number of transformer layers.</summary>
    public required int NumLayers { get; init; }

    /// <summary>Number of query heads; a multiple of <see cref="NumKvHeads"/>.</summary>
    public required int NumHeads { get; init; }

    /// <summary>Number of key and value heads.</summary>
    public required int NumKvHeads { get; init; }

    /// <summary>Width of a head.</summary>
    public required int HeadDim { get; init; }

    /// <summary>Width of the gated MLP.</summary>
    public required int IntermediateSize { get; init; }

    /// <summary>Number of tokens: rows of the embedding and of the logits.</summary>
    public required int VocabularySize { get; init; }

    /// <summary>Epsilon of every RMSNorm.</summary>
    public required double RmsNormEpsilon { get; init; }

    /// <summary>The base of the rotary frequencies, and how they are scaled.</summary>
    public required RopeScaling Rope { get; init; }

    /// <summary>The share of a head that turns: above 0, at most 1.</summary>
    public double PartialRotaryFactor { get; init; } = 1;

    /// <summary>The number of elements of a head that turn: even, at least 2.</summary>
    public int RotaryDim => (int)(HeadDim * PartialRotaryFactor);

    /// <summary>The longest sequence the model was made for, in tokens.</summary>
    public required int MaxPositionEmbeddings { get; init; }

    /// <summary>A query sees this many of the last positions, its own included; null for all. Mistral only.</summary>
    public int? SlidingWindow { get; init; }

    /// <summary>Whether the output head is the embedding table.</summary>
    public bool TieWordEmbeddings { get; init; }

    /// <summary>Whether the attention's four projections have biases. Llama only.</summary>
    public bool AttentionBias { get; init; }

    /// <summary>Whether the MLP's three projections have biases. Llama only.</summary>
    public bool MlpBias { get; init; }

    /// <summary>The token that begins a sequence, from <c>generation_config.json</c>, else
    /// <c>config.json</c>.</summary>
    public int? BosTokenId { get; init; }

    /// <summary>The tokens that end a sequence, from <c>generation_config.json</c>, else <c>config.json</c>; may be
    /// empty.</summary>
    public IReadOnlyList<int> EosTokenIds { get; init; } = [];

    /// <summary>Reads the <c>config.json</c> and, where there is one, <c>generation_config.json</c> of a
    /// folder.</summary>
    /// <exception cref="ModelFormatException">A file cannot be read, or describes a model that cannot be
    /// run.</exception>
    public static ModelConfig Load(string directory) => ModelConfigReader.Load(directory);
}
