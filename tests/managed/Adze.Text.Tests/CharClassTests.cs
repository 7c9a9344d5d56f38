using System.Globalization;
using System.Text;
using System.Text.Json;

namespace Adze.Text.Tests;

/// <summary>
/// The class of every character there is, against the regex engine inside tiktoken. The two know different Unicode versions:
/// a character may differ only where one of them takes it for unassigned.
/// </summary>
public class CharClassTests
{
    [Theory]
    [InlineData("Letter", CharClass.Letter)]
    [InlineData("Mark", CharClass.Mark)]
    [InlineData("Number", CharClass.Number)]
    [InlineData("Space", CharClass.Space)]
    [InlineData("Upper", CharClass.Upper)]
    [InlineData("Lower", CharClass.Lower)]
    [InlineData("Symbol", CharClass.Symbol)]
    internal void EveryCharacterHasItsClass(string name, CharClass set)
    {
        Compare(name, rune => (CharClasses.At(rune.ToString(), 0, out _) & set) != 0);
    }

    [Fact]
    public void EveryWordCharacterIsOne() => Compare("Word", CharClasses.IsWord);

    private static void Compare(string name, Func<Rune, bool> isIn)
    {
        JsonElement golden = Golden.Read("classes");
        var expected = new HashSet<int>(Golden.CodePoints(golden.GetProperty(name)));
        var known = new HashSet<int>(golden.EnumerateObject().SelectMany(item => Golden.CodePoints(item.Value)));
        var failures = new List<string>();
        for (int point = 0; point <= 0x10FFFF; point++)
        {
            if (!Rune.IsValid(point))
                continue;
            var rune = new Rune(point);
            bool versionsDiffer = known.Contains(point) != (Rune.GetUnicodeCategory(rune) != UnicodeCategory.OtherNotAssigned)
                && point >= 0x300;
            if (isIn(rune) != expected.Contains(point) && !versionsDiffer)
                failures.Add($"U+{point:X4}");
        }

        Golden.AssertNone(failures, expected.Count);
    }
}
