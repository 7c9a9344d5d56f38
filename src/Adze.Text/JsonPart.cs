using System.Runtime.InteropServices;
using System.Text;
using System.Text.Json;

namespace Adze.Text;

/// <summary>A value in the document together with its path, so that every complaint says where.</summary>
internal readonly struct JsonPart
{
    private readonly JsonElement _element;
    private readonly string _parent; // the path is put together when it is asked for: there are many values, and few faults
    private readonly string? _name;
    private readonly int _index;

    private JsonPart(JsonElement element, string parent, string? name, int index)
    {
        _element = element;
        _parent = parent;
        _name = name;
        _index = index;
    }

    public static JsonPart Root(JsonElement element) => new(element, "", null, -1);

    public string Path => (_name, _index) switch
    {
        (null, < 0) => _parent,
        (null, _) => $"{_parent}[{_index}]",
        ({ } name, < 0) => _parent.Length == 0 ? name : $"{_parent}.{name}",
        ({ } name, _) => $"{_parent}[{Quoting.Quote(name)}]",
    };

    public bool IsNull => _element.ValueKind is JsonValueKind.Null or JsonValueKind.Undefined;

    public bool IsString => _element.ValueKind == JsonValueKind.String;

    public bool IsArray => _element.ValueKind == JsonValueKind.Array;

    public int Count => IsArray ? _element.GetArrayLength() : ObjectElement().GetPropertyCount();

    public TokenizerException Refuse(string reason) => new(Path.Length == 0 ? reason : $"{Path}: {reason}");

    /// <summary>The member of that name; one that is absent reads as null.</summary>
    public JsonPart this[string name] =>
        new(ObjectElement().TryGetProperty(name, out JsonElement value) ? value : default, Path, name, -1);

    /// <summary>An item of an array that is known to be that long; messages name the array.</summary>
    public JsonPart this[int index] => new(_element[index], _parent, _name, _index);

    public JsonPart Required(string name)
    {
        JsonPart part = this[name];
        return part.IsNull ? throw Refuse($"\"{name}\" is missing") : part;
    }

    /// <summary>Refuses members that are not in the list: what is not understood must not be skipped.</summary>
    public JsonPart Only(params ReadOnlySpan<string> names)
    {
        foreach ((string name, _) in Members())
            if (!names.Contains(name))
                throw Refuse($"\"{Quoting.Escape(name)}\" is not supported");
        return this;
    }

    public IEnumerable<JsonPart> Items()
    {
        if (!IsArray)
            throw Refuse($"expected an array, found {Kind()}");
        string path = Path;
        return _element.EnumerateArray().Select((item, i) => new JsonPart(item, path, null, i));
    }

    /// <summary>The members of an object whose names are data.</summary>
    public IEnumerable<(string Name, JsonPart Value)> Members()
    {
        JsonPart self = this;
        string path = Path;
        return ObjectElement().EnumerateObject().Select(property =>
        {
            string name = self.Name(property);
            return (name, new JsonPart(property.Value, path, name, 0));
        });
    }

    public string Type() => Required("type").String();

    public string String()
    {
        if (!IsString)
            throw Refuse($"expected a string, found {Kind()}");
        try
        {
            return _element.GetString()!;
        }
        catch (InvalidOperationException e)
        {
            throw new TokenizerException(Refuse("half of a surrogate pair in a string").Message, e);
        }
    }

    public bool Bool(bool absent)
    {
        return _element.ValueKind switch
        {
            JsonValueKind.True => true,
            JsonValueKind.False => false,
            JsonValueKind.Undefined or JsonValueKind.Null => absent,
            _ => throw Refuse($"expected true or false, found {Kind()}"),
        };
    }

    public int Int(int limit)
    {
        if (_element.ValueKind != JsonValueKind.Number)
            throw Refuse($"expected a number, found {Kind()}");
        if (!_element.TryGetInt32(out int value) || value < 0 || value > limit)
            throw Refuse($"expected a whole number from 0 to {limit}, found {Quoting.Escape(_element.GetRawText())}");
        return value;
    }

    public Rune Rune()
    {
        string text = String();
        if (System.Text.Rune.DecodeFromUtf16(text, out Rune rune, out int used) != System.Buffers.OperationStatus.Done
            || used != text.Length)
            throw Refuse($"expected one character, found {Quoting.Quote(text)}");
        return rune;
    }

    public bool IsZero => _element.ValueKind == JsonValueKind.Number && _element.TryGetDouble(out double v) && v == 0;

    /// <summary>A string's UTF-8, without making a string of it where it has no escapes.</summary>
    public ReadOnlySpan<byte> Utf8()
    {
        if (!IsString)
            throw Refuse($"expected a string, found {Kind()}");
        ReadOnlySpan<byte> raw = JsonMarshal.GetRawUtf8Value(_element)[1..^1];
        return raw.Contains((byte)'\\') ? Encoding.UTF8.GetBytes(String()) : raw;
    }

    private string Name(JsonProperty property)
    {
        try
        {
            return property.Name;
        }
        catch (InvalidOperationException e)
        {
            throw new TokenizerException(Refuse("half of a surrogate pair in a name").Message, e);
        }
    }

    private string Kind() => _element.ValueKind switch
    {
        JsonValueKind.Undefined or JsonValueKind.Null => "null",
        JsonValueKind.Object => "an object",
        JsonValueKind.Array => "an array",
        JsonValueKind.String => "a string",
        JsonValueKind.Number => "a number",
        _ => "true or false",
    };

    private JsonElement ObjectElement() =>
        _element.ValueKind == JsonValueKind.Object ? _element : throw Refuse($"expected an object, found {Kind()}");
}
