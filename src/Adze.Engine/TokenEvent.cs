namespace Adze.Engine;

/// <summary>Why a request ended.</summary>
public enum FinishReason
{
    /// <summary>It has not ended.</summary>
    None,

    /// <summary>The model produced an end token, or one of the request's stop tokens.</summary>
    StopToken,

    /// <summary><see cref="GenerationRequest.MaxTokens"/> were generated.</summary>
    MaxTokens,

    /// <summary>Prompt and completion fill the model's context.</summary>
    ContextLimit,
}

/// <summary>
/// A step of one request: a token, or, once and last, its end. Valid during the callback only.
/// </summary>
public readonly ref struct TokenEvent
{
    internal TokenEvent(int request, int tokenId, ReadOnlySpan<char> text, FinishReason finish)
    {
        Request = request;
        TokenId = tokenId;
        Text = text;
        Finish = finish;
    }

    /// <summary>Index of the request in the list given to the call.</summary>
    public int Request { get; }

    /// <summary>The token, or -1 at the end. Stop tokens are not reported.</summary>
    public int TokenId { get; }

    /// <summary>
    /// The characters that this event completes: often none, where a character spans tokens. The texts of a request's
    /// events make its completion.
    /// </summary>
    public ReadOnlySpan<char> Text { get; }

    /// <summary>Why the request ended; <see cref="FinishReason.None"/> while it has not.</summary>
    public FinishReason Finish { get; }
}

/// <summary>
/// Receives tokens on the generating thread. What it throws ends the generation and reaches the caller.
/// </summary>
public delegate void TokenCallback(in TokenEvent token);

/// <summary>A <see cref="TokenEvent"/> that may be kept.</summary>
/// <param name="Request">Index of the request in the list given to the call.</param>
/// <param name="TokenId">The token, or -1 at the end.</param>
/// <param name="Text">The characters that this event completes.</param>
/// <param name="Finish">Why the request ended; None while it has not.</param>
public readonly record struct GeneratedToken(int Request, int TokenId, string Text, FinishReason Finish);
