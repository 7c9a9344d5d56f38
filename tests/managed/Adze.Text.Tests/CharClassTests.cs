using System.Text;
using System.Text.Json;

namespace Adze.Text.Tests;

/// <summary>
/// The class of every character there is, against the regex engine inside tiktoken 1.0.22. Both that and .NET 10 know
/// Unicode 16.0, so no exceptions are needed; a newer .NET may need some for characters that are newer still.
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
        var failures = new List<string>();
        for (int point = 0; point <= 0x10FFFF; point++)
        {
            if (!Rune.IsValid(point))
                continue;
            var rune = new Rune(point);
            if (isIn(rune) != expected.Contains(point))
                failures.Add($"U+{point:X4}");
        }

        Golden.AssertNone(failures, expected.Count);
    }
}
