using System.Text;

namespace Adze.Text;

/// <summary>A step that cuts text into pieces and hands each, as soon as it is found, to the next step.</summary>
internal abstract class PreTokenizer
{
    /// <summary>The step after this one; the last is the model.</summary>
    public PreTokenizer? Next { get; set; }

    /// <param name="text">One piece from the step before.</param>
    /// <param name="first">Whether the piece is the beginning of the whole text.</param>
    /// <param name="scratch">What the call at hand works with; ids go into its output.</param>
    public abstract void Run(ReadOnlySpan<char> text, bool first, EncodeScratch scratch);

    protected void Emit(ReadOnlySpan<char> piece, bool first, EncodeScratch scratch)
    {
        if (!piece.IsEmpty)
            Next!.Run(piece, first, scratch);
    }
}

/// <summary>The last step: encodes a piece.</summary>
internal sealed class ModelStep(Bpe model, bool byteLevel) : PreTokenizer
{
    public override void Run(ReadOnlySpan<char> text, bool first, EncodeScratch scratch)
    {
        if (byteLevel)
            model.EncodeBytes(text, scratch);
        else
            model.EncodeCharacters(text, scratch);
    }
}

/// <summary>What becomes of the matches of a <see cref="SplitStep"/>; the names are tokenizer.json's.</summary>
internal enum SplitBehavior
{
    /// <summary>Each match is a piece of its own.</summary>
    Isolated,

    /// <summary>Matches are dropped.</summary>
    Removed,

    /// <summary>Neighbouring matches are one piece.</summary>
    Contiguous,

    /// <summary>A match ends the piece before it.</summary>
    MergedWithPrevious,

    /// <summary>A match begins the piece after it.</summary>
    MergedWithNext,
}

/// <summary>Splits at the matches of a pattern; what lies between matches is a piece too.</summary>
/// <param name="scanner">The pattern.</param>
/// <param name="behavior">What becomes of matches.</param>
/// <param name="invert">Matches count as what lies between, and the other way round.</param>
internal sealed class SplitStep(Scanner scanner, SplitBehavior behavior, bool invert) : PreTokenizer
{
    public override void Run(ReadOnlySpan<char> text, bool first, EncodeScratch scratch)
    {
        if (behavior is SplitBehavior.Isolated or SplitBehavior.Removed)
            RunDirectly(text, first, scratch);
        else
            RunMerged(text, first, scratch);
    }

    private void RunDirectly(ReadOnlySpan<char> text, bool first, EncodeScratch scratch)
    {
        bool keepMatches = behavior == SplitBehavior.Isolated || invert;
        bool keepGaps = behavior == SplitBehavior.Isolated || !invert;
        int from = 0;
        while (from < text.Length && scanner.Find(text, from, out int start, out int end))
        {
            if (keepGaps)
                Emit(text[from..start], first && from == 0, scratch);
            if (keepMatches)
                Emit(text[start..end], first && start == 0, scratch);
            from = end;
        }

        if (keepGaps)
            Emit(text[from..], first && from == 0, scratch);
    }

    private void RunMerged(ReadOnlySpan<char> text, bool first, EncodeScratch scratch)
    {
        List<(int Start, int End, bool Match)> parts = Parts(text);
        int start = 0;
        for (int i = 0; i < parts.Count; i++)
        {
            if (i + 1 < parts.Count && Joins(parts[i].Match, parts[i + 1].Match))
                continue;
            Emit(text[start..parts[i].End], first && start == 0, scratch);
            start = parts[i].End;
        }
    }

    private bool Joins(bool left, bool right) => behavior switch
    {
        SplitBehavior.Contiguous => left == right,
        SplitBehavior.MergedWithPrevious => !left && right,
        _ => left && !right,
    };

    private List<(int Start, int End, bool Match)> Parts(ReadOnlySpan<char> text)
    {
        var parts = new List<(int Start, int End, bool Match)>();
        int from = 0;
        while (from < text.Length && scanner.Find(text, from, out int start, out int end))
        {
            if (start > from)
                parts.Add((from, start, invert));
            parts.Add((start, end, !invert));
            from = end;
        }

        if (from < text.Length)
            parts.Add((from, text.Length, invert));
        return parts;
    }
}

/// <summary>Puts a space before pieces that do not begin with one: ByteLevel's add_prefix_space.</summary>
internal sealed class PrefixSpaceStep : PreTokenizer
{
    public override void Run(ReadOnlySpan<char> text, bool first, EncodeScratch scratch) =>
        Emit(text[0] == ' ' ? text : string.Concat(" ", text), first, scratch);
}

/// <summary>When <see cref="MetaspaceStep"/> puts a space before a piece; the names are tokenizer.json's.</summary>
internal enum PrependScheme
{
    /// <summary>Before each piece that lacks one.</summary>
    Always,

    /// <summary>Before the beginning of the text only.</summary>
    First,

    /// <summary>Not at all.</summary>
    Never,
}

/// <summary>Spells spaces as another character, ▁ as a rule. A <see cref="SplitStep"/> splits before each.</summary>
internal sealed class MetaspaceStep(Rune replacement, PrependScheme scheme) : PreTokenizer
{
    private readonly string _replacement = replacement.ToString();

    public override void Run(ReadOnlySpan<char> text, bool first, EncodeScratch scratch)
    {
        string spelled = text.ToString().Replace(" ", _replacement, StringComparison.Ordinal);
        if ((scheme == PrependScheme.Always || (scheme == PrependScheme.First && first))
            && !spelled.StartsWith(_replacement, StringComparison.Ordinal))
            spelled = _replacement + spelled;
        Emit(spelled, first, scratch);
    }
}
