using System.Buffers;
using System.Collections.Frozen;

namespace Adze.Text;

/// <summary>The published patterns, recognised by their exact text.</summary>
internal static class Patterns
{
    private const string AnyCaseContractions = "(?i:'s|'t|'re|'ve|'m|'ll|'d)";
    private const string PrefixedWord = @"|[^\r\n\p{L}\p{N}]?\p{L}+";
    private const string Symbols = @"| ?[^\s\p{L}\p{N}]+[\r\n]*";
    private const string SymbolsOrSlash = @"| ?[^\s\p{L}\p{N}]+[\r\n/]*";
    private const string SpaceRuns = @"|\s*[\r\n]+|\s+(?!\S)|\s+";
    private const string UpperThenLower =
        @"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+";
    private const string Upper =
        @"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*";

    private static readonly SearchValues<char> s_notPlain = SearchValues.Create(@"\.+*?()|[]{}^$#&-~");

    private static readonly FrozenDictionary<string, Scanner> s_known = new Dictionary<string, Scanner>
    {
        // GPT-2, and the same set of matches as tiktoken and later tokenizers write it
        [@"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"] = Gpt2Scanner.Instance,
        [@"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"] = Gpt2Scanner.Instance,
        [@"'(?:[sdmt]|ll|ve|re)| ?\p{L}++| ?\p{N}++| ?[^\s\p{L}\p{N}]++|\s++$|\s+(?!\S)|\s"] = Gpt2Scanner.Instance,

        // cl100k, Llama 3; then Qwen 2 and 3, Qwen 3.5
        [AnyCaseContractions + PrefixedWord + @"|\p{N}{1,3}" + Symbols + SpaceRuns] = new WordScanner(3, CharClass.Letter),
        [AnyCaseContractions + PrefixedWord + @"|\p{N}" + Symbols + SpaceRuns] = new WordScanner(1, CharClass.Letter),
        [AnyCaseContractions + @"|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*" + SpaceRuns] =
            new WordScanner(1, CharClass.Letter | CharClass.Mark),

        // o200k (GPT-4o, gpt-oss, Llama 4); then Mistral's Tekken
        [UpperThenLower + AnyCaseContractions + "?" + Upper + AnyCaseContractions + "?" + @"|\p{N}{1,3}" + SymbolsOrSlash + SpaceRuns] =
            new CasedScanner(3, contractions: true),
        [UpperThenLower + Upper + @"|\p{N}" + SymbolsOrSlash + SpaceRuns] = new CasedScanner(1, contractions: false),

        // DeepSeek V3 and R1, three in a row
        [@"\p{N}{1,3}"] = new NumberScanner(3),
        ["[一-龥぀-ゟ゠-ヿ]+"] = new CjkScanner(),
        [@"[!""#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*" + SpaceRuns] =
            new DeepSeekScanner(),

        [@"\p{N}"] = new NumberScanner(1),
        [@"\p{N}+"] = new NumberScanner(int.MaxValue),
    }.ToFrozenDictionary(StringComparer.Ordinal);

    /// <summary>The scanner for the value of a "pattern": {"String": …} or {"Regex": …}.</summary>
    public static Scanner Parse(JsonPart pattern)
    {
        pattern.Only("String", "Regex");
        JsonPart text = pattern["String"];
        if (!text.IsNull)
            return new LiteralScanner(text.String());
        text = pattern.Required("Regex");
        return s_known.TryGetValue(text.String(), out Scanner? scanner)
            ? scanner
            : throw text.Refuse($"the regular expression {Quoting.Quote(text.String())} is none of those supported");
    }

    /// <summary>The text that a "pattern" stands for, where it has to be a plain string.</summary>
    public static string ParseLiteral(JsonPart pattern)
    {
        pattern.Only("String", "Regex");
        JsonPart text = pattern["String"].IsNull ? pattern.Required("Regex") : pattern["String"];
        string literal = text.String();
        if (pattern["String"].IsNull && literal.AsSpan().ContainsAny(s_notPlain))
            throw text.Refuse($"the regular expression {Quoting.Quote(literal)} is not supported: only plain text is");
        return literal;
    }
}
