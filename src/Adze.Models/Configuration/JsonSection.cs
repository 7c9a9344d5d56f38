using System.Text.Json;

namespace Adze.Models;

/// <summary>A JSON object of a configuration file, read with checks: what is wrong is said with file and key.
/// A key whose value is null counts as absent.</summary>
internal readonly struct JsonSection
{
    private const int MostBytes = 16 << 20;

    private static readonly JsonDocumentOptions Options = new() { AllowDuplicateProperties = false };

    private readonly string _path;
    private readonly string _prefix;
    private readonly JsonElement _element;

    private JsonSection(string path, string prefix, JsonElement element) =>
        (_path, _prefix, _element) = (path, prefix, element);

    /// <summary>Parses a file whose root is an object.</summary>
    public static JsonSection Load(string path)
    {
        byte[] json = UnreadableFile.ReadAllBytes(path, MostBytes);
        ReadOnlyMemory<byte> text = json is [0xEF, 0xBB, 0xBF, ..] ? json.AsMemory(3) : json;
        try
        {
            using JsonDocument document = JsonDocument.Parse(text, Options);
            return document.RootElement.ValueKind == JsonValueKind.Object
                ? new JsonSection(path, "", document.RootElement.Clone())
                : throw new ModelFormatException($"{path}: is not a JSON object");
        }
        // InvalidOperationException: a name with half of a surrogate pair.
        catch (Exception exception) when (exception is JsonException or InvalidOperationException)
        {
            string message = ModelFormatException.Cut(exception.Message);
            throw new ModelFormatException($"{path}: is not valid JSON: {message}", exception);
        }
    }

    public bool Has(string key) => Find(key) is not null;

    /// <summary>Whether the key is there, be it with the value null.</summary>
    public bool Names(string key) => _element.TryGetProperty(key, out _);

    /// <summary>The value of a key, or null where it is absent.</summary>
    public JsonElement? Find(string key) =>
        _element.TryGetProperty(key, out JsonElement value) && value.ValueKind != JsonValueKind.Null ? value : null;

    /// <summary>The names and values of the object.</summary>
    public IEnumerable<(string Name, JsonElement Value)> Properties()
    {
        foreach (JsonProperty property in _element.EnumerateObject())
            yield return (property.Name, property.Value);
    }

    /// <summary>An object within this one, or null where the key is absent.</summary>
    public JsonSection? Section(string key) => Find(key) switch
    {
        null => null,
        { ValueKind: JsonValueKind.Object } value => new JsonSection(_path, $"{_prefix}{key}.", value),
        { } value => throw Wrong(key, value, "an object"),
    };

    /// <summary>A whole number above 0.</summary>
    public int Int(string key, int? absent = null) => OptionalInt(key) ?? absent ?? throw Missing(key);

    public int? OptionalInt(string key) => Find(key) switch
    {
        null => null,
        { ValueKind: JsonValueKind.Number } value when value.TryGetInt32(out int number) && number > 0 => number,
        { } value => throw Wrong(key, value, $"a whole number from 1 to {int.MaxValue}"),
    };

    /// <summary>A finite number above 0.</summary>
    public double Positive(string key, double? absent = null) =>
        OptionalPositive(key) ?? absent ?? throw Missing(key);

    public double? OptionalPositive(string key) => Find(key) switch
    {
        null => null,
        { ValueKind: JsonValueKind.Number } value when value.TryGetDouble(out double number)
            && double.IsFinite(number) && number > 0 => number,
        { } value => throw Wrong(key, value, "a number above 0"),
    };

    public bool Bool(string key, bool absent) => Find(key) switch
    {
        null => absent,
        { ValueKind: JsonValueKind.True } => true,
        { ValueKind: JsonValueKind.False } => false,
        { } value => throw Wrong(key, value, "true or false"),
    };

    public string? String(string key) => Find(key) switch
    {
        null => null,
        { } value => Text(key, value),
    };

    /// <summary>One string, or a list of strings; empty where the key is absent.</summary>
    public string[] Strings(string key)
    {
        JsonSection section = this;
        return Find(key) switch
        {
            null => [],
            { ValueKind: JsonValueKind.Array } list => [.. list.EnumerateArray().Select(e => section.Text(key, e))],
            { } value => throw Wrong(key, value, "a list of strings"),
        };
    }

    /// <summary>A token id, or a list of them, or nothing: null where the key is absent.</summary>
    public int[]? TokenIds(string key)
    {
        JsonSection section = this;
        return Find(key) switch
        {
            null => null,
            { ValueKind: JsonValueKind.Array } list => [.. list.EnumerateArray().Select(e => section.TokenId(key, e))],
            { } value => [TokenId(key, value)],
        };
    }

    /// <summary>A list of lists of finite numbers.</summary>
    public float[][] Floats(string key, int rows, int columns)
    {
        JsonElement[] lists = List(key, Find(key) ?? throw Missing(key), rows);
        float[][] values = new float[rows][];
        for (int row = 0; row < rows; row++)
        {
            string name = $"{key}[{row}]";
            JsonElement[] list = List(name, lists[row], columns);
            values[row] = new float[columns];
            for (int column = 0; column < columns; column++)
                values[row][column] = Finite($"{name}[{column}]", list[column]);
        }
        return values;
    }

    public ModelFormatException Wrong(string key, JsonElement value, string expected) =>
        Wrong(key, $"is {ModelFormatException.Quote(value.GetRawText())}; expected {expected}");

    public ModelFormatException Wrong(string key, string what) => new($"{_path}: {_prefix}{key} {what}");

    private ModelFormatException Missing(string key) => new($"{_path}: {_prefix}{key} is missing");

    private JsonElement[] List(string key, JsonElement value, int length)
    {
        if (value.ValueKind != JsonValueKind.Array)
            throw Wrong(key, value, $"a list of {length}");
        return value.GetArrayLength() == length
            ? [.. value.EnumerateArray()]
            : throw Wrong(key, $"has {value.GetArrayLength()} entries; this model asks for {length}");
    }

    private float Finite(string key, JsonElement value) =>
        value.ValueKind == JsonValueKind.Number && value.TryGetSingle(out float number) && float.IsFinite(number)
            ? number
            : throw Wrong(key, value, "a finite number");

    private int TokenId(string key, JsonElement value) =>
        value.ValueKind == JsonValueKind.Number && value.TryGetInt32(out int id) && id >= 0
            ? id
            : throw Wrong(key, value, "a token id or a list of them");

    private string Text(string key, JsonElement value)
    {
        try
        {
            return value.ValueKind == JsonValueKind.String ? value.GetString()! : throw Wrong(key, value, "a string");
        }
        catch (InvalidOperationException exception)
        {
            throw new ModelFormatException($"{_path}: {_prefix}{key} is not valid text", exception);
        }
    }
}
