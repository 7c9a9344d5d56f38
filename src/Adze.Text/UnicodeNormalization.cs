using System.Collections;
using System.Globalization;
using System.Text;

namespace Adze.Text;

/// <summary>
/// The four Unicode normalisation forms (UAX 15) over this library's own tables: under InvariantGlobalization
/// <see cref="string.Normalize()"/> returns its input unchanged.
/// </summary>
internal sealed class UnicodeNormalization
{
    private const int HangulBase = 0xAC00, LBase = 0x1100, VBase = 0x1161, TBase = 0x11A7;
    private const int LCount = 19, VCount = 21, TCount = 28;

    private static readonly Lazy<UnicodeNormalization> s_instance = new(Load);

    private readonly Dictionary<int, int> _class = [];
    private readonly Dictionary<int, int[]> _canonical = [];
    private readonly Dictionary<int, int[]> _compatible = [];
    private readonly Dictionary<(int First, int Second), int> _composed = [];
    private readonly BitArray _quick = new(0x10000); // may change or combine under NFC

    public static UnicodeNormalization Instance => s_instance.Value;

    public string Normalize(string text, bool compose, bool compatibility)
    {
        if (IsUnchanged(text, compose && !compatibility))
            return text;
        List<int> points = Decompose(text, compatibility);
        Reorder(points);
        if (compose)
            Compose(points);

        var result = new StringBuilder(text.Length);
        foreach (int point in points)
            result.Append(new Rune(point).ToString());
        return result.ToString();
    }

    private bool IsUnchanged(string text, bool nfc)
    {
        int first = text.AsSpan().IndexOfAnyExceptInRange('\0', '\x7F');
        if (first < 0 || !nfc)
            return first < 0;
        for (int i = first; i < text.Length; i++)
            if (text[i] >= 0x300 && (char.IsSurrogate(text[i]) || _quick[text[i]]))
                return false;
        return true;
    }

    private List<int> Decompose(string text, bool compatibility)
    {
        var points = new List<int>(text.Length + 8);
        foreach (Rune rune in text.EnumerateRunes())
        {
            int point = rune.Value;
            if (point is >= HangulBase and < HangulBase + (LCount * VCount * TCount))
                DecomposeHangul(point - HangulBase, points);
            else if (compatibility && _compatible.TryGetValue(point, out int[]? parts))
                points.AddRange(parts);
            else if (_canonical.TryGetValue(point, out parts))
                points.AddRange(parts);
            else
                points.Add(point);
        }

        return points;
    }

    private static void DecomposeHangul(int syllable, List<int> points)
    {
        points.Add(LBase + (syllable / (VCount * TCount)));
        points.Add(VBase + (syllable / TCount % VCount));
        if (syllable % TCount != 0)
            points.Add(TBase + (syllable % TCount));
    }

    /// <summary>Sorts each run of marks by combining class, keeping the order of equals.</summary>
    private void Reorder(List<int> points)
    {
        int start = -1;
        for (int i = 0; i <= points.Count; i++)
        {
            bool mark = i < points.Count && Class(points[i]) != 0;
            if (mark && start < 0)
                start = i;
            if (mark || start < 0)
                continue;
            if (i - start > 1)
            {
                int[] sorted = [.. points.GetRange(start, i - start).OrderBy(Class)]; // OrderBy is stable
                for (int j = 0; j < sorted.Length; j++)
                    points[start + j] = sorted[j];
            }

            start = -1;
        }
    }

    private void Compose(List<int> points)
    {
        int starter = -1, kept = 0, previousClass = -1;
        for (int i = 0; i < points.Count; i++)
        {
            int point = points[i];
            int pointClass = Class(point);
            bool blocked = previousClass >= pointClass && previousClass != -1;
            if (starter >= 0 && !blocked && TryCompose(points[starter], point, out int both))
            {
                points[starter] = both;
                continue;
            }

            if (pointClass == 0)
            {
                starter = kept;
                previousClass = -1;
            }
            else
            {
                previousClass = pointClass;
            }

            points[kept++] = point;
        }

        points.RemoveRange(kept, points.Count - kept);
    }

    private bool TryCompose(int first, int second, out int both)
    {
        if (first is >= LBase and < LBase + LCount && second is >= VBase and < VBase + VCount)
        {
            both = HangulBase + ((((first - LBase) * VCount) + second - VBase) * TCount);
            return true;
        }

        if (first is >= HangulBase and < HangulBase + (LCount * VCount * TCount) && (first - HangulBase) % TCount == 0
            && second is > TBase and < TBase + TCount)
        {
            both = first + second - TBase;
            return true;
        }

        return _composed.TryGetValue((first, second), out both);
    }

    private int Class(int point) => point < 0x300 ? 0 : _class.GetValueOrDefault(point);

    private static UnicodeNormalization Load()
    {
        var tables = new UnicodeNormalization();
        using Stream stream = typeof(UnicodeNormalization).Assembly.GetManifestResourceStream("normalization.txt")!;
        using var reader = new StreamReader(stream);
        var composable = new List<(int Point, int[] Parts)>();
        while (reader.ReadLine() is { } line)
        {
            if (line[0] == '#')
                continue;
            string[] fields = line.Split(' ');
            if (fields[0] == "c")
                tables.AddClass(Hex(fields[1]), Hex(fields[2]), int.Parse(fields[3], CultureInfo.InvariantCulture));
            else
                tables.AddDecomposition(fields[0], Hex(fields[1]), [.. fields.Skip(2).Select(Hex)], composable);
        }

        tables.AddCompositions(composable);
        return tables;
    }

    private void AddClass(int first, int last, int combiningClass)
    {
        for (int point = first; point <= last; point++)
        {
            _class[point] = combiningClass;
            MarkSlow(point);
        }
    }

    private void AddDecomposition(string kind, int point, int[] parts, List<(int, int[])> composable)
    {
        (kind == "~" ? _compatible : _canonical)[point] = parts;
        if (kind == "=")
            composable.Add((point, parts));
        else if (kind == ">")
            MarkSlow(point);
    }

    /// <summary>
    /// The decompositions are full ones, so a composite's first half is what all of its parts but the last compose to.
    /// Shorter ones first: they are the halves of the longer ones.
    /// </summary>
    private void AddCompositions(List<(int Point, int[] Parts)> composable)
    {
        foreach ((int point, int[] parts) in composable.OrderBy(entry => entry.Parts.Length))
        {
            List<int> half = [.. parts.AsSpan()[..^1]];
            Compose(half);
            _composed[(half.Single(), parts[^1])] = point;
            MarkSlow(parts[^1]);
        }

        for (int jamo = VBase; jamo < TBase + TCount; jamo++)
            MarkSlow(jamo);
    }

    private void MarkSlow(int point)
    {
        if (point <= 0xFFFF)
            _quick[point] = true;
    }

    private static int Hex(string text) => int.Parse(text, NumberStyles.HexNumber, CultureInfo.InvariantCulture);
}
