using System.Globalization;
using System.Text;

namespace Adze.Text;

/// <summary>
/// The "decoder" of a tokenizer.json, compiled: steps that rewrite one token at a time are applied to the vocabulary when it
/// is loaded, and what remains (bytes to characters, the strip at the beginning) is <see cref="DecodeState"/>'s.
/// </summary>
internal sealed class DecoderPlan
{
    private readonly List<Func<string, bool, string>> _rewrites = [];
    private Stage _stage;

    private enum Stage
    {
        /// <summary>Tokens are still apart.</summary>
        Tokens,

        /// <summary>Byte tokens have become text, the others are still apart.</summary>
        Bytes,

        /// <summary>All is one text.</summary>
        Text,
    }

    /// <summary>Tokens are spelled in the byte alphabet.</summary>
    public bool ByteLevel { get; private set; }

    /// <summary>Tokens spelled &lt;0xNN&gt; are bytes.</summary>
    public bool ByteFallback { get; private set; }

    /// <summary>There is no decoder: tokens are put one after the other with a space between.</summary>
    public bool Spaced { get; private init; }

    /// <summary>The first token is rewritten differently: Metaspace drops its spaces.</summary>
    public bool FirstDiffers { get; private set; }

    /// <summary>How many of <see cref="StripRune"/> are dropped at most from the beginning of the text.</summary>
    public int StripCount { get; private set; }

    public Rune StripRune { get; private set; }

    public static DecoderPlan Parse(JsonPart json)
    {
        var plan = new DecoderPlan { Spaced = json.IsNull };
        if (!json.IsNull)
            plan.Add(json);
        return plan;
    }

    /// <summary>A token's text after the steps that rewrite one token at a time.</summary>
    public string Rewrite(string token, bool first)
    {
        foreach (Func<string, bool, string> rewrite in _rewrites)
            token = rewrite(token, first);
        return token;
    }

    public bool TryByteToken(string token, out byte value)
    {
        value = 0;
        return ByteFallback && token.Length == 6 && token.StartsWith("<0x", StringComparison.Ordinal) && token[5] == '>'
            && byte.TryParse(token.AsSpan(3, 2), NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out value);
    }

    private void Add(JsonPart json)
    {
        string type = json.Type();
        switch (type)
        {
            case "Sequence":
                foreach (JsonPart item in json.Only("type", "decoders").Required("decoders").Items())
                    Add(item);
                break;
            case "ByteLevel":
                json.Only("type", "add_prefix_space", "trim_offsets", "use_regex"); // for the pre-tokenizer of that name
                Need(json, type, _stage == Stage.Tokens && _rewrites.Count == 0);
                ByteLevel = true;
                _stage = Stage.Text;
                break;
            case "ByteFallback":
                Need(json.Only("type"), type, _stage == Stage.Tokens);
                ByteFallback = true;
                _stage = Stage.Bytes;
                break;
            case "Fuse":
                json.Only("type");
                _stage = Stage.Text;
                break;
            case "Replace":
                AddReplace(json);
                break;
            case "Metaspace":
                AddMetaspace(json);
                break;
            case "Strip":
                AddStrip(json);
                break;
            default:
                throw json.Refuse($"the decoder {Quoting.Quote(type)} is not supported");
        }
    }

    private void AddReplace(JsonPart json)
    {
        Need(json.Only("type", "pattern", "content"), "Replace", _stage == Stage.Tokens);
        string pattern = Patterns.ParseLiteral(json.Required("pattern"));
        string content = json.Required("content").String();
        if (pattern.Length > 0)
            _rewrites.Add((token, _) => token.Replace(pattern, content, StringComparison.Ordinal));
    }

    private void AddMetaspace(JsonPart json)
    {
        (Rune replacement, PrependScheme scheme, _) = PreTokenizerJson.ParseMetaspace(json);
        Need(json, "Metaspace", _stage == Stage.Tokens);
        string from = replacement.ToString();
        bool drops = scheme != PrependScheme.Never;
        FirstDiffers |= drops;
        _rewrites.Add((token, first) => token.Replace(from, drops && first ? "" : " ", StringComparison.Ordinal));
    }

    private void AddStrip(JsonPart json)
    {
        json.Only("type", "content", "start", "stop");
        Rune content = json.Required("content").Rune();
        int start = json.Required("start").Int(int.MaxValue);
        int stop = json.Required("stop").Int(int.MaxValue);
        if (_stage == Stage.Tokens)
        {
            _rewrites.Add((token, _) => Strip(token, content.ToString(), start, stop));
            return;
        }

        Need(json, "Strip", _stage == Stage.Text && StripCount == 0);
        if (stop != 0)
            throw json["stop"].Refuse("stripping at the end of the text is not supported");
        (StripRune, StripCount) = (content, start);
    }

    private static string Strip(string token, string content, int start, int stop)
    {
        int from = 0, to = token.Length;
        for (int i = 0; i < start && string.CompareOrdinal(token, from, content, 0, content.Length) == 0 && from < to; i++)
            from += content.Length;
        for (int i = 0; i < stop && to > from && token.AsSpan(from, to - from).EndsWith(content, StringComparison.Ordinal); i++)
            to -= content.Length;
        return token[from..to];
    }

    private static void Need(JsonPart json, string type, bool possible)
    {
        if (!possible)
            throw json.Refuse($"the decoder {Quoting.Quote(type)} is not supported after those before it");
    }
}
