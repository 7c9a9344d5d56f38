namespace Adze.Models;

/// <summary>Turns what the framework throws for a path that cannot be read into one line.</summary>
internal static class UnreadableFile
{
    /// <summary>The exception to throw instead, or null if <paramref name="exception"/> has another cause.</summary>
    public static ModelFormatException? Explain(string path, Exception exception) => exception switch
    {
        IOException or UnauthorizedAccessException when Directory.Exists(path) =>
            new($"{path}: is a folder, not a file", exception),
        FileNotFoundException or DirectoryNotFoundException => new($"{path}: no such file", exception),
        UnauthorizedAccessException => new($"{path}: permission denied", exception),
        IOException or NotSupportedException or ArgumentException =>
            new($"{path}: cannot be read: {exception.Message}", exception),
        _ => null,
    };

    /// <summary>All bytes of a small file.</summary>
    /// <exception cref="ModelFormatException">It cannot be read, or is larger than
    /// <paramref name="mostBytes"/>.</exception>
    public static byte[] ReadAllBytes(string path, int mostBytes)
    {
        try
        {
            // Not File.ReadAllBytes: a device has no length and may have no end.
            using FileStream file = File.OpenRead(path);
            byte[] bytes = new byte[Math.Min(file.Length, mostBytes) + 1];
            int count = 0;
            for (int read; (read = file.Read(bytes, count, bytes.Length - count)) > 0; count += read)
                if (count + read > mostBytes)
                    throw new ModelFormatException($"{path}: is larger than the {mostBytes} bytes that are read");
                else if (count + read == bytes.Length)
                    Array.Resize(ref bytes, (int)Math.Min(2L * bytes.Length, mostBytes + 1L));
            return bytes[..count];
        }
        catch (Exception exception) when (Explain(path, exception) is { } explained)
        {
            throw explained;
        }
    }
}
