namespace Adze.Text;

/// <summary>
/// A tokenizer.json is broken, or asks for something that <see cref="Tokenizer"/> does not do.
/// The message is one line: the file, the place in it, and the reason.
/// </summary>
public sealed class TokenizerException : FormatException
{
    /// <summary>Creates an exception without a message.</summary>
    public TokenizerException()
    {
    }

    /// <summary>Creates an exception with a message.</summary>
    /// <param name="message">The file, the place in it, and the reason.</param>
    public TokenizerException(string message)
        : base(message)
    {
    }

    /// <summary>Creates an exception with a message and its cause.</summary>
    /// <param name="message">The file, the place in it, and the reason.</param>
    /// <param name="innerException">What failed underneath.</param>
    public TokenizerException(string message, Exception? innerException)
        : base(message, innerException)
    {
    }
}
