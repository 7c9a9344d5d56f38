namespace Adze.Text;

/// <summary>One regular expression of a tokenizer.json, written out by hand over characters.</summary>
/// <remarks>
/// .NET's expressions are not used: they work on UTF-16 units, so that <c>\p{L}</c> misses letters beyond the basic plane, and
/// they lack what these patterns use.
/// </remarks>
internal abstract class Scanner
{
    /// <summary>Where the match that starts exactly at <paramref name="at"/> ends, or -1; a match is never empty.</summary>
    public abstract int Match(ReadOnlySpan<char> text, int at);

    /// <summary>Finds the first match at or after <paramref name="from"/>.</summary>
    public virtual bool Find(ReadOnlySpan<char> text, int from, out int start, out int end)
    {
        for (start = from; start < text.Length;)
        {
            end = Match(text, start);
            if (end >= 0)
                return true;
            CharClasses.At(text, start, out int length);
            start += length;
        }

        end = -1;
        return false;
    }

    /// <summary><c>'s|'t|'re|'ve|'m|'ll|'d</c></summary>
    /// <remarks>With (?i), ſ (U+017F) is an s: that is what Unicode's simple case folding says and what the references do.</remarks>
    protected static int Contraction(ReadOnlySpan<char> text, int at, bool anyCase)
    {
        if (at + 1 >= text.Length || text[at] != '\'')
            return -1;
        char first = Fold(text[at + 1], anyCase);
        if (first is 's' or 't' or 'm' or 'd')
            return at + 2;
        if (at + 2 >= text.Length)
            return -1;
        char second = Fold(text[at + 2], anyCase);
        return (first, second) is ('r', 'e') or ('v', 'e') or ('l', 'l') ? at + 3 : -1;
    }

    /// <summary><c>\s*[\r\n]+|\s+(?!\S)|\s+</c>, the first alternative only where <paramref name="newLines"/> is set.</summary>
    protected static int Spaces(ReadOnlySpan<char> text, int at, bool newLines)
    {
        int end = CharClasses.RunEnd(text, at, CharClass.Space);
        if (end == at)
            return -1;
        if (newLines && text[at..end].LastIndexOfAny('\r', '\n') is int last and >= 0)
            return at + last + 1;
        // (?!\S): before a word, the last space is left for the word. Spaces are one unit each.
        return end == text.Length || end == at + 1 ? end : end - 1;
    }

    /// <summary><c>\p{N}{1,limit}</c></summary>
    protected static int Numbers(ReadOnlySpan<char> text, int at, int limit)
    {
        int end = at;
        for (int count = 0; count < limit && end < text.Length; count++)
        {
            if ((CharClasses.At(text, end, out int length) & CharClass.Number) == 0)
                break;
            end += length;
        }

        return end == at ? -1 : end;
    }

    /// <summary><c> ?[^\s…]+</c> with the characters of <paramref name="not"/> after the caret; then any of <paramref name="tail"/>.</summary>
    protected static int Others(ReadOnlySpan<char> text, int at, CharClass not, ReadOnlySpan<char> tail)
    {
        int start = text[at] == ' ' ? at + 1 : at;
        int end = CharClasses.RunEndNot(text, start, not);
        return end == start ? -1 : Tail(text, end, tail);
    }

    protected static int Tail(ReadOnlySpan<char> text, int end, ReadOnlySpan<char> tail)
    {
        while (end < text.Length && tail.Contains(text[end]))
            end++;
        return end;
    }

    private static char Fold(char c, bool anyCase) => !anyCase ? c : c switch
    {
        >= 'A' and <= 'Z' => (char)(c | 0x20),
        '\u017F' => 's',
        _ => c,
    };
}

/// <summary>GPT-2: <c>'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+</c></summary>
internal sealed class Gpt2Scanner : Scanner
{
    public static readonly Gpt2Scanner Instance = new();

    public override int Match(ReadOnlySpan<char> text, int at)
    {
        int end = Contraction(text, at, anyCase: false);
        if (end >= 0)
            return end;

        int start = text[at] == ' ' ? at + 1 : at;
        if (start == text.Length)
            return Spaces(text, at, newLines: false);
        CharClass first = CharClasses.At(text, start, out _);
        if ((first & CharClass.Letter) != 0)
            return CharClasses.RunEnd(text, start, CharClass.Letter);
        if ((first & CharClass.Number) != 0)
            return CharClasses.RunEnd(text, start, CharClass.Number);
        if ((first & CharClass.Space) == 0)
            return CharClasses.RunEndNot(text, start, CharClass.Space | CharClass.Letter | CharClass.Number);
        return Spaces(text, at, newLines: false);
    }
}

/// <summary>
/// cl100k, Llama 3, Qwen 2 and 3:
/// <c>(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+</c>
/// </summary>
/// <param name="digits">How many numbers at most make a piece: 3, or 1 for Qwen.</param>
/// <param name="letters">What a word is made of: letters, or letters and marks for Qwen 3.5.</param>
internal sealed class WordScanner(int digits, CharClass letters) : Scanner
{
    private const CharClass NoPrefix = CharClass.NewLine | CharClass.Letter | CharClass.Number;

    public override int Match(ReadOnlySpan<char> text, int at)
    {
        int end = Contraction(text, at, anyCase: true);
        if (end >= 0)
            return end;

        CharClass first = CharClasses.At(text, at, out int length);
        int word = (first & NoPrefix) == 0 ? at + length : at;
        end = CharClasses.RunEnd(text, word, letters);
        if (end > word)
            return end;
        if (word > at && (first & letters) != 0)
            return word; // a mark that is both what may precede a word and a word of its own

        if ((first & CharClass.Number) != 0)
            return Numbers(text, at, digits);
        end = Others(text, at, CharClass.Space | CharClass.Number | letters, "\r\n");
        return end >= 0 ? end : Spaces(text, at, newLines: true);
    }
}

/// <summary>
/// o200k (GPT-4o and later, Llama 4) and Mistral's Tekken, which split words where the case changes:
/// <c>[^\r\n\p{L}\p{N}]?U*L+C?|[^\r\n\p{L}\p{N}]?U+L*C?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+</c>
/// where U is <c>[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]</c>, L is <c>[\p{Ll}\p{Lm}\p{Lo}\p{M}]</c> and C the contractions.
/// </summary>
/// <param name="digits">How many numbers at most make a piece: 3, or 1 for Tekken.</param>
/// <param name="contractions">Whether a contraction ends a word; not so in Tekken.</param>
internal sealed class CasedScanner(int digits, bool contractions) : Scanner
{
    private const CharClass NoPrefix = CharClass.NewLine | CharClass.Letter | CharClass.Number;

    public override int Match(ReadOnlySpan<char> text, int at)
    {
        CharClass first = CharClasses.At(text, at, out int length);
        int end = Word(text, at, (first & NoPrefix) == 0 ? length : 0);
        if (end >= 0)
            return contractions && Contraction(text, end, anyCase: true) is int more and >= 0 ? more : end;
        if ((first & CharClass.Number) != 0)
            return Numbers(text, at, digits);
        end = Others(text, at, CharClass.Space | CharClass.Letter | CharClass.Number, "\r\n/");
        return end >= 0 ? end : Spaces(text, at, newLines: true);
    }

    /// <summary>The four ways in the order in which a backtracking matcher tries them.</summary>
    private static int Word(ReadOnlySpan<char> text, int at, int prefix)
    {
        int end = UpperThenLower(text, at + prefix);
        if (end < 0 && prefix > 0)
            end = UpperThenLower(text, at);
        if (end >= 0)
            return end;

        // U+L*: a lower-case letter after U+ would have matched above.
        end = CharClasses.RunEnd(text, at + prefix, CharClass.Upper);
        if (end > at + prefix)
            return end;
        end = CharClasses.RunEnd(text, at, CharClass.Upper);
        return end > at ? end : -1;
    }

    /// <summary>U*L+: U* takes all it can, then gives characters back until the next one is in L.</summary>
    private static int UpperThenLower(ReadOnlySpan<char> text, int at)
    {
        int upper = at;
        int both = -1; // where the last character that is in U and in L ends
        while (upper < text.Length && CharClasses.At(text, upper, out int length) is var set && (set & CharClass.Upper) != 0)
        {
            upper += length;
            if ((set & CharClass.Lower) != 0)
                both = upper;
        }

        int end = CharClasses.RunEnd(text, upper, CharClass.Lower);
        return end > upper ? end : both;
    }
}

/// <summary>
/// DeepSeek V3: ASCII punctuation with ASCII letters after it, then
/// <c>[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+</c>
/// </summary>
internal sealed class DeepSeekScanner : Scanner
{
    private const CharClass Word = CharClass.Letter | CharClass.Mark;

    public override int Match(ReadOnlySpan<char> text, int at)
    {
        int end = at + 1;
        if (char.IsAscii(text[at]) && (char.IsPunctuation(text[at]) || char.IsSymbol(text[at])))
        {
            while (end < text.Length && char.IsAsciiLetter(text[end]))
                end++;
            if (end > at + 1)
                return end;
        }

        CharClass first = CharClasses.At(text, at, out int length);
        int word = (first & (CharClass.NewLine | CharClass.Letter | CharClass.Symbol)) == 0 ? at + length : at;
        end = CharClasses.RunEnd(text, word, Word);
        if (end > word)
            return end;
        if (word > at && (first & Word) != 0)
            return word;

        int start = text[at] == ' ' ? at + 1 : at;
        end = CharClasses.RunEnd(text, start, CharClass.Symbol);
        return end > start ? Tail(text, end, "\r\n") : Spaces(text, at, newLines: true);
    }
}

/// <summary><c>\p{N}{1,limit}</c>, or <c>\p{N}+</c></summary>
internal sealed class NumberScanner(int limit) : Scanner
{
    public override int Match(ReadOnlySpan<char> text, int at) => Numbers(text, at, limit);
}

/// <summary>DeepSeek's <c>[一-龥぀-ゟ゠-ヿ]+</c></summary>
internal sealed class CjkScanner : Scanner
{
    public override int Match(ReadOnlySpan<char> text, int at)
    {
        int end = at;
        while (end < text.Length && text[end] is (>= '\u4E00' and <= '\u9FA5') or (>= '\u3040' and <= '\u30FF'))
            end++;
        return end == at ? -1 : end;
    }
}

/// <summary>A string as it stands.</summary>
internal sealed class LiteralScanner(string literal) : Scanner
{
    public override int Match(ReadOnlySpan<char> text, int at) =>
        literal.Length > 0 && text[at..].StartsWith(literal, StringComparison.Ordinal) ? at + literal.Length : -1;

    public override bool Find(ReadOnlySpan<char> text, int from, out int start, out int end)
    {
        int found = literal.Length == 0 ? -1 : text[from..].IndexOf(literal, StringComparison.Ordinal);
        start = from + found;
        end = start + literal.Length;
        return found >= 0;
    }
}
