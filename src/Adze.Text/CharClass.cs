using System.Globalization;
using System.Text;

namespace Adze.Text;

/// <summary>The character sets that pre-tokeniser patterns are written with.</summary>
[Flags]
internal enum CharClass : byte
{
    None = 0,

    /// <summary><c>\p{L}</c></summary>
    Letter = 1,

    /// <summary><c>\p{M}</c></summary>
    Mark = 2,

    /// <summary><c>\p{N}</c></summary>
    Number = 4,

    /// <summary><c>\s</c>: Unicode's White_Space, all of it in the basic plane.</summary>
    Space = 8,

    /// <summary><c>[\r\n]</c></summary>
    NewLine = 16,

    /// <summary><c>[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]</c></summary>
    Upper = 32,

    /// <summary><c>[\p{Ll}\p{Lm}\p{Lo}\p{M}]</c></summary>
    Lower = 64,

    /// <summary><c>[\p{P}\p{S}]</c></summary>
    Symbol = 128,
}

/// <summary>Classifies characters by .NET's Unicode tables (16.0 in .NET 10), which no culture changes.</summary>
internal static class CharClasses
{
    private static readonly CharClass[] s_latin = MakeLatin();

    /// <summary>The class of the character at <paramref name="at"/> and how many UTF-16 units it takes.</summary>
    /// <remarks>Half of a surrogate pair counts as U+FFFD, which is also what it is encoded as.</remarks>
    public static CharClass At(ReadOnlySpan<char> text, int at, out int length)
    {
        char c = text[at];
        length = 1;
        if (c < s_latin.Length)
            return s_latin[c];
        if (!char.IsSurrogate(c))
            return Classify(c);
        Rune.DecodeFromUtf16(text[at..], out Rune rune, out length);
        return Classify(rune.Value);
    }

    /// <summary>Where the run of characters in <paramref name="set"/> that starts at <paramref name="at"/> ends.</summary>
    public static int RunEnd(ReadOnlySpan<char> text, int at, CharClass set)
    {
        while (at < text.Length && (At(text, at, out int length) & set) != 0)
            at += length;
        return at;
    }

    /// <summary>Where the run of characters outside <paramref name="set"/> that starts at <paramref name="at"/> ends.</summary>
    public static int RunEndNot(ReadOnlySpan<char> text, int at, CharClass set)
    {
        while (at < text.Length && (At(text, at, out int length) & set) == 0)
            at += length;
        return at;
    }

    /// <summary>Rust's <c>\w</c>: letters and other alphabetics, marks, decimal digits, connectors, joiners.</summary>
    public static bool IsWord(Rune rune) => Rune.GetUnicodeCategory(rune) switch
    {
        <= UnicodeCategory.LetterNumber => true, // L*, M*, Nd, Nl
        UnicodeCategory.ConnectorPunctuation => true,
        UnicodeCategory.OtherSymbol => rune.Value is (>= 0x24B6 and <= 0x24E9)
            or (>= 0x1F130 and <= 0x1F149) or (>= 0x1F150 and <= 0x1F169) or (>= 0x1F170 and <= 0x1F189),
        _ => rune.Value is 0x200C or 0x200D,
    };

    private static CharClass Classify(int codePoint)
    {
        CharClass set = CharUnicodeInfo.GetUnicodeCategory(codePoint) switch
        {
            UnicodeCategory.UppercaseLetter or UnicodeCategory.TitlecaseLetter => CharClass.Letter | CharClass.Upper,
            UnicodeCategory.LowercaseLetter => CharClass.Letter | CharClass.Lower,
            UnicodeCategory.ModifierLetter or UnicodeCategory.OtherLetter =>
                CharClass.Letter | CharClass.Upper | CharClass.Lower,
            UnicodeCategory.NonSpacingMark or UnicodeCategory.SpacingCombiningMark or UnicodeCategory.EnclosingMark =>
                CharClass.Mark | CharClass.Upper | CharClass.Lower,
            UnicodeCategory.DecimalDigitNumber or UnicodeCategory.LetterNumber or UnicodeCategory.OtherNumber =>
                CharClass.Number,
            >= UnicodeCategory.ConnectorPunctuation and <= UnicodeCategory.OtherSymbol => CharClass.Symbol,
            UnicodeCategory.SpaceSeparator or UnicodeCategory.LineSeparator or UnicodeCategory.ParagraphSeparator =>
                CharClass.Space,
            _ => CharClass.None,
        };
        if (codePoint is (>= 9 and <= 13) or 0x85)
            set |= CharClass.Space;
        return codePoint is '\r' or '\n' ? set | CharClass.NewLine : set;
    }

    private static CharClass[] MakeLatin()
    {
        var latin = new CharClass[0x250];
        for (int c = 0; c < latin.Length; c++)
            latin[c] = Classify(c);
        return latin;
    }
}
