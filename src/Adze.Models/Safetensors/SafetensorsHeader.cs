using System.Buffers.Binary;
using System.Collections.Immutable;
using System.Text.Json;
using System.Text.Unicode;
using Microsoft.Win32.SafeHandles;

namespace Adze.Models;

/// <summary>The header of a safetensors file: 8 bytes of length, little-endian, then that much JSON, then the tensors'
/// bytes. The rules are those of the reference implementation (github.com/huggingface/safetensors): the header has at
/// most 100 MB and begins with '{', names are unique, and the tensors, sorted by offset, cover the rest of the file
/// without overlap or hole.</summary>
internal sealed class SafetensorsHeader
{
    private const int LengthBytes = 8;
    private const long MostBytes = 100_000_000;
    private const string MetadataKey = "__metadata__";

    private static readonly JsonDocumentOptions Options = new() { AllowDuplicateProperties = false, MaxDepth = 8 };

    private readonly string _path;
    private readonly long _dataStart;
    private readonly long _dataBytes;
    private readonly Dictionary<string, string> _metadata = [];
    private readonly Dictionary<string, SafetensorsEntry> _entries = [];

    private SafetensorsHeader(string path, long headerBytes, long fileBytes) =>
        (_path, _dataStart, _dataBytes) = (path, LengthBytes + headerBytes, fileBytes - LengthBytes - headerBytes);

    public IReadOnlyDictionary<string, string> Metadata => _metadata;

    public IReadOnlyDictionary<string, SafetensorsEntry> Entries => _entries;

    /// <summary>Reads and checks the header of a file of <paramref name="fileBytes"/>.</summary>
    public static SafetensorsHeader Read(string path, SafeFileHandle handle, long fileBytes)
    {
        if (fileBytes < LengthBytes)
            throw new ModelFormatException(
                $"{path}: is {fileBytes} bytes; a safetensors file begins with {LengthBytes} bytes of header length");
        ulong headerBytes = BinaryPrimitives.ReadUInt64LittleEndian(ReadBytes(path, handle, 0, LengthBytes));
        if (headerBytes > MostBytes)
            throw new ModelFormatException(
                $"{path}: header length {headerBytes} is above the format's limit of {MostBytes}");
        if ((long)headerBytes > fileBytes - LengthBytes)
            throw new ModelFormatException(
                $"{path}: header length {headerBytes} reaches beyond the file, which is {fileBytes} bytes");
        SafetensorsHeader header = new(path, (long)headerBytes, fileBytes);
        header.Parse(ReadBytes(path, handle, LengthBytes, (int)headerBytes));
        header.CheckCoverage();
        return header;
    }

    private static byte[] ReadBytes(string path, SafeFileHandle handle, long offset, int count)
    {
        byte[] bytes = new byte[count];
        for (int done = 0; done < count;)
        {
            int read = RandomAccess.Read(handle, bytes.AsSpan(done), offset + done);
            done += read > 0 ? read : throw new ModelFormatException($"{path}: ends within the header");
        }
        return bytes;
    }

    private void Parse(byte[] json)
    {
        if (json is not [(byte)'{', ..])
            throw Wrong("the header does not begin with '{'");
        if (!Utf8.IsValid(json))
            throw Wrong("the header is not UTF-8");
        try
        {
            using JsonDocument document = JsonDocument.Parse(json, Options);
            foreach (JsonProperty property in document.RootElement.EnumerateObject())
                Add(property.Name, property.Value);
        }
        // InvalidOperationException: a string with half of a surrogate pair, "\ud800".
        catch (Exception exception) when (exception is JsonException or InvalidOperationException)
        {
            string message = ModelFormatException.Cut(exception.Message);
            throw new ModelFormatException($"{_path}: the header is not valid JSON: {message}", exception);
        }
    }

    private void Add(string name, JsonElement value)
    {
        if (name == MetadataKey)
            AddMetadata(value);
        else
            _entries.Add(name, ReadEntry(name, value));
    }

    private void AddMetadata(JsonElement value)
    {
        if (value.ValueKind != JsonValueKind.Object)
            throw Wrong($"{MetadataKey} is not an object");
        foreach (JsonProperty property in value.EnumerateObject())
        {
            if (property.Value.ValueKind != JsonValueKind.String)
                throw Wrong($"{MetadataKey}: {ModelFormatException.Quote(property.Name)} is not a string");
            _metadata.Add(property.Name, property.Value.GetString()!);
        }
    }

    private SafetensorsEntry ReadEntry(string name, JsonElement value)
    {
        if (value.ValueKind != JsonValueKind.Object)
            throw Wrong(name, "is not an object");
        JsonElement dtypeName = default, shape = default, offsets = default;
        foreach (JsonProperty property in value.EnumerateObject())
            _ = property.Name switch
            {
                "dtype" => dtypeName = property.Value,
                "shape" => shape = property.Value,
                "data_offsets" => offsets = property.Value,
                _ => default,
            };
        if (dtypeName.ValueKind != JsonValueKind.String)
            throw Wrong(name, "has no dtype");
        if (!SafetensorsDTypes.TryParse(dtypeName.GetString()!, out SafetensorsDType dtype))
            throw Wrong(name, $"has unknown dtype {ModelFormatException.Quote(dtypeName.GetString()!)}");
        return Check(name, dtype, ReadNumbers(name, "shape", shape), ReadNumbers(name, "data_offsets", offsets));
    }

    private ImmutableArray<long> ReadNumbers(string name, string key, JsonElement value)
    {
        if (value.ValueKind != JsonValueKind.Array)
            throw Wrong(name, $"has no {key}");
        return
        [
            .. value.EnumerateArray().Select(element =>
                element.ValueKind == JsonValueKind.Number && element.TryGetInt64(out long number) && number >= 0
                    ? number
                    : throw Wrong(name, $"{key} holds {ModelFormatException.Quote(element.GetRawText())}; expected " +
                        $"whole numbers from 0 to {long.MaxValue}")),
        ];
    }

    private SafetensorsEntry Check(
        string name, SafetensorsDType dtype, ImmutableArray<long> shape, ImmutableArray<long> offsets)
    {
        if (offsets is not [long begin, long end])
            throw Wrong(name, $"data_offsets has {offsets.Length} numbers; expected 2");
        if (begin > end)
            throw Wrong(name, $"data_offsets [{begin}, {end}] end before they begin");
        if (end > _dataBytes)
            throw Wrong(name, $"data_offsets [{begin}, {end}] reach beyond the file, which has {_dataBytes} bytes of " +
                "data");
        Int128 bits = BitCount(name, dtype, shape);
        if (bits % 8 != 0)
            throw Wrong(name, $"{dtype.FormatName()} {SafetensorsEntry.Format(shape)} is no whole number of bytes");
        if (bits / 8 != end - begin)
            throw Wrong(name, $"{dtype.FormatName()} {SafetensorsEntry.Format(shape)} needs {bits / 8} bytes; " +
                $"data_offsets give it {end - begin}");
        return new SafetensorsEntry(name, dtype, shape, _dataStart + begin, end - begin);
    }

    private Int128 BitCount(string name, SafetensorsDType dtype, ImmutableArray<long> shape)
    {
        // Like the reference: [2^63 - 1, 2^63 - 1, 0] overflows although it has no element.
        long count = 1;
        foreach (long dimension in shape)
            if (Math.BigMul(count, dimension) is var product && product <= long.MaxValue)
                count = (long)product;
            else
                throw Wrong(name, $"shape {SafetensorsEntry.Format(shape)} overflows");
        return (Int128)count * dtype.Bits();
    }

    private void CheckCoverage()
    {
        SafetensorsEntry? previous = null;
        long covered = _dataStart;
        foreach (SafetensorsEntry entry in _entries.Values.OrderBy(entry => entry.Offset).ThenBy(entry => entry.Bytes))
        {
            if (entry.Offset < covered)
                throw Wrong(entry.Name, $"overlaps tensor {ModelFormatException.Quote(previous!.Name)}");
            if (entry.Offset > covered)
                throw Wrong(entry.Name, $"leaves a hole of {entry.Offset - covered} bytes before it");
            (previous, covered) = (entry, entry.Offset + entry.Bytes);
        }
        if (covered != _dataStart + _dataBytes)
            throw Wrong($"{_dataStart + _dataBytes - covered} bytes after the last tensor belong to none");
    }

    private ModelFormatException Wrong(string what) => new($"{_path}: {what}");

    private ModelFormatException Wrong(string name, string what) =>
        new($"{_path}: tensor {ModelFormatException.Quote(name)}: {what}");
}
