using System.Buffers.Binary;
using System.Text;
using System.Text.Json.Nodes;

namespace Adze.Models.Tests;

/// <summary>A folder of its own for one test, removed afterwards.</summary>
internal sealed class TestFolder : IDisposable
{
    private TestFolder(string path) => Path = Directory.CreateDirectory(path).FullName;

    public TestFolder() : this(In(System.IO.Path.GetTempPath())) { }

    public string Path { get; }

    /// <summary>In memory where the system can: for thousands of files, the disk would take most of the time.</summary>
    public static TestFolder InMemory() => Directory.Exists("/dev/shm") ? new(In("/dev/shm")) : new();

    public string File(string name) => System.IO.Path.Combine(Path, name);

    public string Write(string name, string text) => Write(name, Encoding.UTF8.GetBytes(text));

    public string Write(string name, byte[] bytes)
    {
        System.IO.File.WriteAllBytes(File(name), bytes);
        return File(name);
    }

    public string Write(string name, JsonNode json) => Write(name, json.ToJsonString());

    public void Dispose() => Directory.Delete(Path, recursive: true);

    private static string In(string parent) => System.IO.Path.Combine(parent, $"adze-models-{Guid.NewGuid():N}");
}

internal static class Safetensors
{
    /// <summary>A file with this header and this many bytes of data, which count up from 0.</summary>
    public static byte[] File(string header, int dataBytes) => File(Encoding.UTF8.GetBytes(header), dataBytes);

    public static byte[] File(byte[] header, int dataBytes)
    {
        byte[] data = new byte[dataBytes];
        for (int i = 0; i < dataBytes; i++)
            data[i] = (byte)i;
        return File(header, data, (ulong)header.Length);
    }

    public static byte[] File(byte[] header, byte[] data, ulong headerBytes)
    {
        byte[] file = new byte[8 + header.Length + data.Length];
        BinaryPrimitives.WriteUInt64LittleEndian(file, headerBytes);
        header.CopyTo(file, 8);
        data.CopyTo(file, 8 + header.Length);
        return file;
    }

    /// <summary>A correct file with these tensors, one after the other. Spaces behind the header move them.</summary>
    public static byte[] File(
        IEnumerable<(string Name, string DType, long[] Shape, byte[] Data)> tensors, int headerPadding = 0)
    {
        JsonObject header = [];
        MemoryStream data = new();
        foreach ((string name, string dtype, long[] shape, byte[] bytes) in tensors)
        {
            header[name] = Entry(dtype, shape, data.Length, data.Length + bytes.Length);
            data.Write(bytes);
        }
        byte[] json = Encoding.UTF8.GetBytes(header.ToJsonString() + new string(' ', headerPadding));
        return File(json, data.ToArray(), (ulong)json.Length);
    }

    public static JsonObject Entry(string dtype, long[] shape, long begin, long end) => new()
    {
        ["dtype"] = dtype,
        ["shape"] = new JsonArray([.. shape.Select(dimension => JsonValue.Create(dimension))]),
        ["data_offsets"] = new JsonArray(begin, end),
    };
}

internal static class Refused
{
    /// <summary>The message of the ModelFormatException that <paramref name="action"/> must throw: one line.</summary>
    public static string By(Action action)
    {
        string message = Assert.Throws<ModelFormatException>(action).Message;
        Assert.DoesNotContain('\n', message);
        Assert.DoesNotContain('\r', message);
        Assert.InRange(message.Length, 10, 1000);
        return message;
    }
}
