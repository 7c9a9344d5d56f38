namespace Adze.Models;

/// <summary>Turns what the framework throws for a path that cannot be read into one line.</summary>
internal static class UnreadableFile
{
    /// <summary>The exception to throw instead, or null if <paramref name="exception"/> has another cause.</summary>
    public static ModelFormatException? Explain(string path, Exception exception) => exception switch
    {
        FileNotFoundException => new($"{path}: no such file", exception),
        DirectoryNotFoundException => new($"{path}: no such file; its folder does not exist", exception),
        UnauthorizedAccessException when Directory.Exists(path) => new($"{path}: is a folder, not a file", exception),
        UnauthorizedAccessException => new($"{path}: permission denied", exception),
        IOException or NotSupportedException or ArgumentException =>
            new($"{path}: cannot be read: {exception.Message}", exception),
        _ => null,
    };

    /// <summary>All bytes of a small file.</summary>
    /// <exception cref="ModelFormatException">It cannot be read, or is larger than
    /// <paramref name="mostBytes"/>.</exception>
    public static byte[] ReadAllBytes(string path, long mostBytes)
    {
        try
        {
            long bytes = new FileInfo(path).Length;
            return bytes <= mostBytes
                ? File.ReadAllBytes(path)
                : throw new ModelFormatException($"{path}: is {bytes} bytes; at most {mostBytes} are read");
        }
        catch (Exception exception) when (Explain(path, exception) is { } explained)
        {
            throw explained;
        }
    }
}
