using System.Text;

namespace Adze.Text;

/// <summary>The bytes that each token stands for in the middle of a text, worked out when the tokenizer is loaded.</summary>
internal sealed class Pieces
{
    private readonly DecoderPlan _plan;
    private readonly Vocabulary _vocabulary;
    private readonly Dictionary<int, string> _added;
    private readonly int[] _starts;
    private readonly bool[] _partial;
    private byte[] _bytes;

    /// <param name="vocabulary">All tokens.</param>
    /// <param name="plan">The decoder.</param>
    /// <param name="added">The text of the tokens that are not the model's own.</param>
    public Pieces(Vocabulary vocabulary, DecoderPlan plan, Dictionary<int, string> added)
    {
        _plan = plan;
        _vocabulary = vocabulary;
        _added = added;
        _starts = new int[vocabulary.Size + 1];
        _partial = new bool[vocabulary.Size];
        _bytes = new byte[vocabulary.Size * 8];
        int length = 0;
        for (int id = 0; id < vocabulary.Size; id++)
        {
            _starts[id] = length;
            length += plan.ByteLevel ? WriteByteLevel(id, length) : Write(id, length);
        }

        _starts[^1] = length;
    }

    public ReadOnlySpan<byte> this[int id] => _bytes.AsSpan(_starts[id].._starts[id + 1]);

    /// <summary>Whether the token may hold part of a character, which the tokens around it complete.</summary>
    public bool IsPartial(int id) => _partial[id];

    /// <summary>The bytes of a token that is the first of a text.</summary>
    public ReadOnlySpan<byte> First(int id) =>
        _plan.FirstDiffers && !_partial[id] ? Encoding.UTF8.GetBytes(_plan.Rewrite(Spelling(id), first: true)) : this[id];

    private string Spelling(int id) =>
        _added.TryGetValue(id, out string? text) ? text : Encoding.UTF8.GetString(_vocabulary[id]);

    private int Write(int id, int at)
    {
        string text = _plan.Rewrite(Spelling(id), first: false);
        if (_plan.TryByteToken(text, out byte value))
        {
            _partial[id] = true;
            Room(at, 1)[0] = value;
            return 1;
        }

        return Encoding.UTF8.GetBytes(text, Room(at, Encoding.UTF8.GetByteCount(text)));
    }

    /// <summary>
    /// An added token is text as it stands (Hugging Face reads it in the byte alphabet, and makes U+FFFD of an é in it), and so
    /// is a token with characters outside that alphabet.
    /// </summary>
    private int WriteByteLevel(int id, int at)
    {
        _partial[id] = true;
        if (_added.TryGetValue(id, out string? text))
            return Encoding.UTF8.GetBytes(text, Room(at, Encoding.UTF8.GetByteCount(text)));
        ReadOnlySpan<byte> token = _vocabulary[id];
        Span<byte> room = Room(at, token.Length);
        if (ByteAlphabet.TryRead(token, room, out int length))
            return length;
        token.CopyTo(room);
        return token.Length;
    }

    private Span<byte> Room(int at, int length)
    {
        if (_bytes.Length - at < length)
            Array.Resize(ref _bytes, checked((_bytes.Length * 2) + length));
        return _bytes.AsSpan(at);
    }
}
