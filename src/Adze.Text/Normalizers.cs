using System.Text;

namespace Adze.Text;

/// <summary>Rewrites text before it is split and encoded.</summary>
internal abstract class Normalizer
{
    public abstract string Apply(string text);

    /// <summary>Reads the "normalizer" of a tokenizer.json; null where there is none.</summary>
    public static Normalizer? Parse(JsonPart json) => json.IsNull ? null : ParseStep(json);

    private static Normalizer ParseStep(JsonPart json)
    {
        string type = json.Type();
        switch (type)
        {
            case "Sequence":
                return new SequenceNormalizer(
                    [.. json.Only("type", "normalizers").Required("normalizers").Items().Select(ParseStep)]);
            case "Prepend":
                return new PrependNormalizer(json.Only("type", "prepend").Required("prepend").String());
            case "Replace":
                json.Only("type", "pattern", "content");
                return new ReplaceNormalizer(
                    Patterns.ParseLiteral(json.Required("pattern")), json.Required("content").String());
            case "Lowercase":
                json.Only("type");
                return new LowercaseNormalizer();
            case "Strip":
                json.Only("type", "strip_left", "strip_right");
                return new StripNormalizer(
                    json.Required("strip_left").Bool(false), json.Required("strip_right").Bool(false));
            case "NFC" or "NFD" or "NFKC" or "NFKD":
                json.Only("type");
                return new UnicodeNormalizer(compose: type[^1] == 'C', compatibility: type[2] == 'K');
            default:
                throw json.Refuse($"the normalizer {Quoting.Quote(type)} is not supported");
        }
    }
}

internal sealed class SequenceNormalizer(Normalizer[] steps) : Normalizer
{
    public override string Apply(string text) => steps.Aggregate(text, (current, step) => step.Apply(current));
}

/// <summary>Puts a string before text that is not empty.</summary>
internal sealed class PrependNormalizer(string prefix) : Normalizer
{
    public override string Apply(string text) => text.Length == 0 ? text : prefix + text;
}

internal sealed class ReplaceNormalizer(string pattern, string content) : Normalizer
{
    public override string Apply(string text) =>
        pattern.Length == 0 ? text : text.Replace(pattern, content, StringComparison.Ordinal);
}

/// <summary>Lower-cases character by character, as Unicode says and no culture changes.</summary>
internal sealed class LowercaseNormalizer : Normalizer
{
    public override string Apply(string text)
    {
        var lower = new StringBuilder(text.Length);
        foreach (Rune rune in text.EnumerateRunes())
        {
            // The only character whose lower case is two; the invariant culture leaves it alone.
            if (rune.Value == 0x130)
                lower.Append("i\u0307");
            else
                lower.Append(Rune.ToLowerInvariant(rune).ToString());
        }

        return lower.ToString();
    }
}

internal sealed class StripNormalizer(bool left, bool right) : Normalizer
{
    public override string Apply(string text)
    {
        if (left)
            text = text.TrimStart(); // char.IsWhiteSpace is exactly Unicode's White_Space
        return right ? text.TrimEnd() : text;
    }
}

internal sealed class UnicodeNormalizer(bool compose, bool compatibility) : Normalizer
{
    public override string Apply(string text) => UnicodeNormalization.Instance.Normalize(text, compose, compatibility);
}
