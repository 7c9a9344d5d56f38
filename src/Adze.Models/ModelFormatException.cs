using System.Text;

namespace Adze.Models;

/// <summary>A model folder or one of its files cannot be used. The message is one line that names the file and what is
/// wrong with it.</summary>
public sealed class ModelFormatException : Exception
{
    private const int LongestQuotation = 200;

    /// <summary>Makes an exception with a general message.</summary>
    public ModelFormatException() : base("the model cannot be used") { }

    /// <summary>Makes an exception with a message, which is folded to one line.</summary>
    public ModelFormatException(string message) : base(OneLine(message)) { }

    /// <summary>Makes an exception with a message, which is folded to one line, and what caused it.</summary>
    public ModelFormatException(string message, Exception innerException) : base(OneLine(message), innerException) { }

    /// <summary>A name out of a file, in quotes and cut to a readable length.</summary>
    internal static string Quote(string name) => $"'{Cut(name)}'";

    /// <summary>Something out of a file, cut to a readable length.</summary>
    internal static string Cut(string text) =>
        text.Length <= LongestQuotation ? text : $"{text.AsSpan(0, LongestQuotation)}...";

    private static string OneLine(string message)
    {
        if (!message.AsSpan().ContainsAnyInRange('\0', '\x1f') && !message.AsSpan().ContainsAnyInRange('\x7f', '\x9f'))
            return message;
        StringBuilder line = new(message.Length + 16);
        foreach (char character in message)
            _ = char.IsControl(character) ? line.Append($"\\u{(int)character:x4}") : line.Append(character);
        return line.ToString();
    }
}
