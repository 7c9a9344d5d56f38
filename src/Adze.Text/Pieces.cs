using System.Text;

namespace Adze.Text;

/// <summary>The bytes that each token stands for in the middle of a text, worked out when the tokenizer is loaded.</summary>
internal sealed class Pieces
{
    private readonly DecoderPlan _plan;
    private readonly Vocabulary _vocabulary;
    private readonly int[] _starts;
    private readonly bool[] _partial;
    private byte[] _bytes;

    public Pieces(Vocabulary vocabulary, DecoderPlan plan, HashSet<int> added)
    {
        _plan = plan;
        _vocabulary = vocabulary;
        _starts = new int[vocabulary.Size + 1];
        _partial = new bool[vocabulary.Size];
        _bytes = new byte[vocabulary.Size * 8];
        int length = 0;
        for (int id = 0; id < vocabulary.Size; id++)
        {
            _starts[id] = length;
            length += Write(id, added.Contains(id), length);
        }

        _starts[^1] = length;
    }

    public ReadOnlySpan<byte> this[int id] => _bytes.AsSpan(_starts[id].._starts[id + 1]);

    /// <summary>Whether the token may hold part of a character, which the tokens around it complete.</summary>
    public bool IsPartial(int id) => _partial[id];

    /// <summary>The bytes of a token that is the first of a text.</summary>
    public ReadOnlySpan<byte> First(int id)
    {
        if (!_plan.FirstDiffers || _partial[id])
            return this[id];
        return Encoding.UTF8.GetBytes(_plan.Rewrite(Encoding.UTF8.GetString(_vocabulary[id]), first: true));
    }

    private int Write(int id, bool added, int at)
    {
        ReadOnlySpan<byte> token = _vocabulary[id];
        while (_bytes.Length - at < token.Length)
            Array.Resize(ref _bytes, checked(_bytes.Length * 2));
        if (_plan.ByteLevel)
            return WriteByteLevel(id, token, added, at);

        string text = _plan.Rewrite(Encoding.UTF8.GetString(token), first: false);
        if (_plan.TryByteToken(text, out byte value))
        {
            _partial[id] = true;
            _bytes[at] = value;
            return 1;
        }

        byte[] written = Encoding.UTF8.GetBytes(text);
        while (_bytes.Length - at < written.Length)
            Array.Resize(ref _bytes, checked(Math.Max(_bytes.Length, written.Length) * 2));
        written.CopyTo(_bytes, at);
        return written.Length;
    }

    /// <summary>An added token is text as it stands, and so is a token with characters outside the byte alphabet.</summary>
    private int WriteByteLevel(int id, ReadOnlySpan<byte> token, bool added, int at)
    {
        _partial[id] = true;
        if (!added && ByteAlphabet.TryRead(token, _bytes.AsSpan(at), out int length))
            return length;
        token.CopyTo(_bytes.AsSpan(at));
        return token.Length;
    }
}
