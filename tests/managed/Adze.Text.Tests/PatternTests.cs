using System.Text.Json;

namespace Adze.Text.Tests;

/// <summary>The hand-written scanners against Hugging Face's tokenizers running the regular expressions themselves.</summary>
public class PatternTests
{
    private static readonly JsonElement s_golden = Golden.Read("patterns");

    public static TheoryData<string> Names() =>
        new(s_golden.GetProperty("patterns").EnumerateArray().Select(item => item.GetProperty("name").GetString()!));

    [Theory]
    [MemberData(nameof(Names))]
    public void SplitsLikeTheReference(string name)
    {
        JsonElement pattern = s_golden.GetProperty("patterns").EnumerateArray()
            .Single(item => item.GetProperty("name").GetString() == name);
        (PreTokenizer first, PieceRecorder pieces) = Splitting(pattern.GetProperty("sequence"));
        var scratch = new EncodeScratch();
        string[] texts = [.. s_golden.GetProperty("texts").EnumerateArray().Select(item => item.GetString()!)];
        int[][] expected = [.. pattern.GetProperty("lengths").EnumerateArray().Select(Golden.Ints)];
        var failures = new List<string>();
        for (int i = 0; i < texts.Length; i++)
        {
            pieces.Lengths.Clear();
            first.Run(texts[i], first: true, scratch);
            if (!pieces.Lengths.SequenceEqual(expected[i]))
                failures.Add($"{Golden.Show(texts[i])}: {Golden.Show(pieces.Lengths)}, not {Golden.Show(expected[i])}");
        }

        Golden.AssertNone(failures, Math.Min(texts.Length, expected.Length));
    }

    [Fact]
    public void AnUnknownPatternIsQuoted()
    {
        using JsonDocument document = JsonDocument.Parse("""{"Regex":"\\w+|\\s+"}""");
        JsonPart pattern = JsonPart.Root(document.RootElement);
        TokenizerException e = Assert.Throws<TokenizerException>(() => Patterns.Parse(pattern));
        Assert.Equal("""Regex: the regular expression "\w+|\s+" is none of those supported""", e.Message);
    }

    private static (PreTokenizer First, PieceRecorder Pieces) Splitting(JsonElement sequence)
    {
        var recorder = new PieceRecorder();
        PreTokenizer next = recorder;
        foreach (JsonElement regex in sequence.EnumerateArray().Reverse())
        {
            using JsonDocument pattern = JsonDocument.Parse($$"""{"Regex":{{regex.GetRawText()}}}""");
            Scanner scanner = Patterns.Parse(JsonPart.Root(pattern.RootElement));
            next = new SplitStep(scanner, SplitBehavior.Isolated, invert: false) { Next = next };
        }

        return (next, recorder);
    }

    /// <summary>Stands where the model would and notes how long the pieces are.</summary>
    private sealed class PieceRecorder : PreTokenizer
    {
        public List<int> Lengths { get; } = [];

        public override void Run(ReadOnlySpan<char> text, bool first, EncodeScratch scratch) => Lengths.Add(text.Length);
    }
}
