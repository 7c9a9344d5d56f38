namespace Adze.Engine;

/// <summary>
/// A request that this model cannot serve: a prompt without tokens or longer than the context, a length that the KV
/// cache cannot hold, logits that are not numbers. The message is one line that says which.
/// </summary>
public sealed class GenerationException : Exception
{
    /// <summary>An exception without a message of its own.</summary>
    public GenerationException() { }

    /// <summary>An exception with a one-line message.</summary>
    public GenerationException(string message)
        : base(message) { }

    /// <summary>An exception with a one-line message and its cause.</summary>
    public GenerationException(string message, Exception innerException)
        : base(message, innerException) { }
}
