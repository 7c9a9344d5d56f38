using System.Buffers;
using System.Text;

namespace Adze.Text;

/// <summary>An entry of "added_tokens".</summary>
internal sealed record AddedToken(
    int Id, string Content, bool SingleWord, bool LStrip, bool RStrip, bool Normalized, bool Special)
{
    public static AddedToken Parse(JsonPart json)
    {
        json.Only("id", "content", "single_word", "lstrip", "rstrip", "normalized", "special");
        string content = json.Required("content").String();
        if (content.Length == 0)
            throw json["content"].Refuse("an added token cannot be empty");
        bool special = json["special"].Bool(false);
        return new AddedToken(
            json.Required("id").Int(Vocabulary.LargestId), content, json["single_word"].Bool(false),
            json["lstrip"].Bool(false), json["rstrip"].Bool(false), json["normalized"].Bool(!special), special);
    }
}

/// <summary>Finds added tokens in text: the leftmost, of those that begin there the longest.</summary>
internal sealed class AddedTokenMatcher
{
    private readonly Dictionary<(int Node, char Next), int> _edges = [];
    private readonly List<AddedToken?> _ends = [null]; // by node: the token that ends there
    private readonly SearchValues<char> _firsts;

    /// <param name="tokens">In order of precedence: of two that look alike, the earlier is found.</param>
    /// <param name="spell">What a token looks like in the text that is searched.</param>
    public AddedTokenMatcher(IEnumerable<AddedToken> tokens, Func<AddedToken, string> spell)
    {
        var firsts = new HashSet<char>();
        foreach (AddedToken token in tokens)
        {
            string spelling = spell(token);
            if (spelling.Length == 0)
                continue;
            firsts.Add(spelling[0]);
            Insert(spelling, token);
        }

        _firsts = SearchValues.Create([.. firsts]);
    }

    /// <summary>A section of the text: a token, or what lies between two (then <see cref="Token"/> is null).</summary>
    public readonly record struct Section(int Start, int End, AddedToken? Token);

    /// <summary>Cuts text into sections. White space that a token strips belongs to the token's section.</summary>
    /// <returns>False, and nothing is written, where the text has no token.</returns>
    public bool Cut(ReadOnlySpan<char> text, List<Section> sections)
    {
        int done = 0;
        int from = 0;
        while (Find(text, from, out int start, out int end, out AddedToken? token))
        {
            from = end;
            if (token!.SingleWord && !IsSingleWord(text, start, end))
                continue;
            if (token.LStrip)
                start = text[..start].TrimEnd().Length;
            if (token.RStrip)
                end = text.Length - text[end..].TrimStart().Length;
            if (done < start)
                sections.Add(new Section(done, start, null));
            sections.Add(new Section(start, end, token));
            done = end;
        }

        if (done == 0 && sections.Count == 0)
            return false;
        if (done < text.Length)
            sections.Add(new Section(done, text.Length, null));
        return true;
    }

    private void Insert(string spelling, AddedToken token)
    {
        int node = 0;
        foreach (char c in spelling)
        {
            if (!_edges.TryGetValue((node, c), out int next))
            {
                next = _ends.Count;
                _ends.Add(null);
                _edges.Add((node, c), next);
            }

            node = next;
        }

        _ends[node] ??= token;
    }

    private bool Find(ReadOnlySpan<char> text, int from, out int start, out int end, out AddedToken? token)
    {
        token = null;
        end = -1;
        for (start = from; start < text.Length; start++)
        {
            int skip = text[start..].IndexOfAny(_firsts);
            if (skip < 0)
                return false;
            start += skip;
            int node = 0;
            for (int at = start; at < text.Length && _edges.TryGetValue((node, text[at]), out node); at++)
            {
                if (_ends[node] is not { } found)
                    continue;
                token = found;
                end = at + 1;
            }

            if (token is not null)
                return true;
        }

        return false;
    }

    private static bool IsSingleWord(ReadOnlySpan<char> text, int start, int end)
    {
        if (start > 0)
        {
            Rune.DecodeLastFromUtf16(text[..start], out Rune before, out _);
            if (CharClasses.IsWord(before))
                return false;
        }

        if (end == text.Length)
            return true;
        Rune.DecodeFromUtf16(text[end..], out Rune after, out _);
        return !CharClasses.IsWord(after);
    }
}
