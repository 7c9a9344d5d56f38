using System.Text;

namespace Adze.Text;

/// <summary>Byte-pair encoding of one piece of text: symbols first, then merges by rank.</summary>
internal sealed class Bpe
{
    private readonly Vocabulary _vocabulary;
    private readonly MergeTable _merges;
    private readonly int[] _byteSymbols = new int[256]; // the token of a byte's character in the byte alphabet, or -1
    private readonly int[] _asciiSymbols = new int[128]; // the token of an ASCII character, or -1
    private readonly int[] _byteTokens = new int[256]; // the token <0xNN>, or -1

    public Bpe(Vocabulary vocabulary, MergeTable merges)
    {
        _vocabulary = vocabulary;
        _merges = merges;
        Span<byte> spelled = stackalloc byte[2];
        for (int value = 0; value < 256; value++)
        {
            _byteSymbols[value] = Find(spelled[..ByteAlphabet.Spell([(byte)value], spelled)]);
            _byteTokens[value] = Find(Encoding.ASCII.GetBytes($"<0x{value:X2}>"));
            if (value < 128)
                _asciiSymbols[value] = Find([(byte)value]);
        }
    }

    /// <summary>What a character without a token becomes, or -1.</summary>
    public int UnknownToken { get; init; } = -1;

    /// <summary>Neighbouring unknown characters become one unknown token.</summary>
    public bool FuseUnknown { get; init; }

    /// <summary>A character without a token becomes the tokens &lt;0xNN&gt; of its bytes.</summary>
    public bool ByteFallback { get; init; }

    /// <summary>A piece that is a token as a whole is that token, whatever merging would give.</summary>
    public bool IgnoreMerges { get; init; }

    /// <summary>Encodes a piece whose bytes are spelled in the byte alphabet.</summary>
    public void EncodeBytes(ReadOnlySpan<char> piece, EncodeScratch scratch)
    {
        Span<byte> room = scratch.Utf8(checked(piece.Length * 3));
        ReadOnlySpan<byte> bytes = room[..Encoding.UTF8.GetBytes(piece, room)];
        if (IgnoreMerges)
        {
            Span<byte> spelled = scratch.Spelled(checked(bytes.Length * 2));
            if (TryWhole(spelled[..ByteAlphabet.Spell(bytes, spelled)], scratch))
                return;
        }

        var symbols = new SymbolWriter(this, scratch);
        Span<byte> character = stackalloc byte[2];
        foreach (byte value in bytes)
        {
            int id = _byteSymbols[value];
            if (id >= 0)
                symbols.Add(id);
            else
                symbols.AddMissing(character[..ByteAlphabet.Spell([value], character)], value);
        }

        symbols.Merge();
    }

    /// <summary>Encodes a piece character by character.</summary>
    public void EncodeCharacters(ReadOnlySpan<char> piece, EncodeScratch scratch)
    {
        if (IgnoreMerges)
        {
            Span<byte> room = scratch.Utf8(checked(piece.Length * 3));
            if (TryWhole(room[..Encoding.UTF8.GetBytes(piece, room)], scratch))
                return;
        }

        var symbols = new SymbolWriter(this, scratch);
        Span<byte> character = stackalloc byte[4];
        foreach (Rune rune in piece.EnumerateRunes())
        {
            ReadOnlySpan<byte> utf8 = character[..rune.EncodeToUtf8(character)];
            int id = rune.IsAscii ? _asciiSymbols[rune.Value] : Find(utf8);
            if (id >= 0)
                symbols.Add(id);
            else
                symbols.AddMissing(utf8, -1);
        }

        symbols.Merge();
    }

    private bool TryWhole(ReadOnlySpan<byte> token, EncodeScratch scratch)
    {
        bool found = _vocabulary.TryGet(token, out int id) && _vocabulary.IsModels(id);
        if (found)
            scratch.Add(id);
        return found;
    }

    private int Find(ReadOnlySpan<byte> token) => _vocabulary.TryGet(token, out int id) ? id : -1;

    /// <summary>Collects the symbols of a piece, with what stands for characters that have none.</summary>
    private struct SymbolWriter
    {
        private readonly Bpe _model;
        private readonly EncodeScratch _scratch;
        private bool _afterUnknown;

        public SymbolWriter(Bpe model, EncodeScratch scratch)
        {
            _model = model;
            _scratch = scratch;
            _scratch.Symbols.Clear();
        }

        public void Add(int id)
        {
            _scratch.Symbols.Add(id);
            _afterUnknown = false;
        }

        public void AddMissing(scoped ReadOnlySpan<byte> character, int byteValue)
        {
            if (_model.ByteFallback && TryAddBytes(character))
                return;
            if (_model.UnknownToken < 0)
                throw new ArgumentException(byteValue >= 0
                    ? $"The vocabulary has no token for the byte 0x{byteValue:X2}, and the tokenizer has no unk_token."
                    : $"The vocabulary has no token for {Quoting.Quote(Encoding.UTF8.GetString(character))}, "
                        + "and the tokenizer has no unk_token.");
            if (!_afterUnknown || !_model.FuseUnknown)
                _scratch.Symbols.Add(_model.UnknownToken);
            _afterUnknown = true;
        }

        public readonly void Merge()
        {
            _scratch.Symbols.Merge(_model._merges);
            _scratch.Add(_scratch.Symbols.Ids);
        }

        private bool TryAddBytes(scoped ReadOnlySpan<byte> character)
        {
            foreach (byte value in character)
                if (_model._byteTokens[value] < 0)
                    return false;
            foreach (byte value in character)
                Add(_model._byteTokens[value]);
            return true;
        }
    }
}
