namespace Adze.Engine;

/// <summary>What a generation did and how long it took, all of its requests together.</summary>
public sealed record GenerationStatistics
{
    /// <summary>Tokens of all prompts.</summary>
    public long PromptTokens { get; init; }

    /// <summary>Tokens generated, stop tokens not counted.</summary>
    public long GeneratedTokens { get; init; }

    /// <summary>Forward passes.</summary>
    public long Steps { get; init; }

    /// <summary>Times that a sequence gave its pages up to an older one and was computed again later.</summary>
    public long Preemptions { get; init; }

    /// <summary>From the call to the first token of any request.</summary>
    public TimeSpan TimeToFirstToken { get; init; }

    /// <summary>From the call to its end.</summary>
    public TimeSpan Total { get; init; }

    /// <summary>Rows of prompts computed per second. A step's time is shared among its rows.</summary>
    public double PrefillTokensPerSecond { get; init; }

    /// <summary>Rows of generated tokens computed per second; 0 when there was none.</summary>
    public double DecodeTokensPerSecond { get; init; }
}
