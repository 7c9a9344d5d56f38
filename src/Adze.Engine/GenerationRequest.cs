namespace Adze.Engine;

/// <summary>One prompt and how it is continued.</summary>
public sealed record GenerationRequest
{
    /// <summary>A prompt of token ids, taken as they are.</summary>
    public GenerationRequest(ReadOnlyMemory<int> promptIds) => PromptIds = promptIds;

    /// <summary>A prompt of text, which the model's tokenizer encodes, special tokens included.</summary>
    public GenerationRequest(string prompt)
    {
        ArgumentNullException.ThrowIfNull(prompt);
        Prompt = prompt;
    }

    /// <summary>The text, or null where the prompt was given as ids.</summary>
    public string? Prompt { get; }

    /// <summary>The ids; empty where the prompt was given as text.</summary>
    public ReadOnlyMemory<int> PromptIds { get; }

    /// <summary>Tokens to generate at most, from 1. The model's context limits it further.</summary>
    public int MaxTokens { get; init; } = 128;

    /// <summary>0 is greedy: the most probable token, lowest id first, and the other settings are ignored.</summary>
    public float Temperature { get; init; }

    /// <summary>Sample among the k most probable tokens; 0 is all.</summary>
    public int TopK { get; init; }

    /// <summary>Sample among the fewest most probable tokens that reach this share together; 0 and 1 are all.</summary>
    public float TopP { get; init; }

    /// <summary>Drop tokens less probable than this share of the most probable one; 0 drops none.</summary>
    public float MinP { get; init; }

    /// <summary>
    /// Of the random numbers. A draw depends on the seed and the token's position alone, so that a seed repeats
    /// exactly, whatever else is in the batch.
    /// </summary>
    public ulong Seed { get; init; }

    /// <summary>Token ids that end the text, besides the model's own. They are not part of the output.</summary>
    public IReadOnlyList<int> StopTokenIds { get; init; } = [];

    /// <summary>Whether the model's own end tokens are ordinary tokens for this request.</summary>
    public bool IgnoreEndTokens { get; init; }

    internal void Validate()
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(MaxTokens, 1);
        ArgumentOutOfRangeException.ThrowIfNegative(TopK);
        ThrowUnless(Temperature >= 0 && float.IsFinite(Temperature), nameof(Temperature), Temperature, ">= 0");
        ThrowUnless(TopP is >= 0 and <= 1, nameof(TopP), TopP, "between 0 and 1");
        ThrowUnless(MinP is >= 0 and <= 1, nameof(MinP), MinP, "between 0 and 1");
        ArgumentNullException.ThrowIfNull(StopTokenIds);
    }

    private static void ThrowUnless(bool condition, string name, float value, string allowed)
    {
        if (!condition)
            throw new ArgumentOutOfRangeException(name, value, $"{name} must be {allowed}");
    }
}
