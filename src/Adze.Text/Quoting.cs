using System.Globalization;
using System.Text;

namespace Adze.Text;

/// <summary>Puts text from outside into a message so that the message stays one short line.</summary>
internal static class Quoting
{
    private const int Longest = 200;

    public static string Quote(ReadOnlySpan<char> text) => $"\"{Escape(text)}\"";

    public static string Escape(ReadOnlySpan<char> text)
    {
        var shown = new StringBuilder();
        foreach (Rune rune in text.EnumerateRunes())
        {
            if (shown.Length >= Longest)
                return shown.Append('…').ToString();
            if (IsPlain(rune))
                shown.Append(rune.ToString());
            else
                shown.Append(CultureInfo.InvariantCulture, $"\\u{{{rune.Value:X}}}");
        }

        return shown.ToString();
    }

    private static bool IsPlain(Rune rune) => Rune.GetUnicodeCategory(rune) is not (
        UnicodeCategory.Control or UnicodeCategory.Format or UnicodeCategory.LineSeparator
        or UnicodeCategory.ParagraphSeparator or UnicodeCategory.PrivateUse or UnicodeCategory.OtherNotAssigned);
}
