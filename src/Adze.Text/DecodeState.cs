using System.Text;

namespace Adze.Text;

/// <summary>
/// The part of decoding that has a memory: bytes of a character that is not complete yet, and the strip at the beginning.
/// Both <see cref="Tokenizer.Decode"/> and <see cref="StreamingDecoder"/> are this.
/// </summary>
/// <remarks>
/// Ill-formed bytes of a byte-level vocabulary become one U+FFFD for each maximal part of a character, as everywhere in .NET,
/// Rust and the web. Ill-formed &lt;0xNN&gt; tokens become one U+FFFD each, as in SentencePiece. (Hugging Face's ByteFallback
/// also discards the well-formed characters that adjoin ill-formed bytes; that needs the whole run, so it could not stream.)
/// </remarks>
internal struct DecodeState
{
    private readonly DecoderPlan _plan;
    private int _stripLeft;
    private bool _started;
    private int _codePoint; // of the incomplete character, as far as it is known
    private int _have; // bytes of it that have come
    private int _need; // bytes of it that are to come; 0 between characters
    private byte _low; // what the next of them must lie in
    private byte _high;
    private char[] _chars;

    public DecodeState(DecoderPlan plan, int capacity)
        : this(plan, new char[capacity])
    {
    }

    private DecodeState(DecoderPlan plan, char[] chars)
    {
        _plan = plan;
        _chars = chars;
        _stripLeft = plan.StripCount;
    }

    /// <summary>How many characters have been decoded since they were last taken.</summary>
    public int Length { get; private set; }

    public readonly ReadOnlySpan<char> Text => _chars.AsSpan(0, Length);

    /// <summary>Forgets the characters, which have been taken.</summary>
    public void Take() => Length = 0;

    /// <summary>Back to the beginning of a text.</summary>
    public void Reset() => this = new DecodeState(_plan, _chars);

    public void Append(Pieces pieces, int id)
    {
        ReadOnlySpan<byte> bytes = _started ? pieces[id] : pieces.First(id);
        if (_plan.Spaced && _started)
            Emit(' ');
        _started = true;
        if (!pieces.IsPartial(id))
            Flush(); // a token of whole characters ends what byte tokens began
        foreach (byte value in bytes)
            Feed(value);
    }

    /// <summary>Gives up on a character that is incomplete.</summary>
    public void Flush()
    {
        if (_need == 0)
            return;
        int count = _plan.ByteLevel ? 1 : _have;
        _need = 0;
        for (int i = 0; i < count; i++)
            EmitRune(Rune.ReplacementChar);
    }

    private void Feed(byte value)
    {
        if (_need != 0 && (value < _low || value > _high))
            Flush();
        if (_need == 0)
        {
            Begin(value);
            return;
        }

        (_low, _high) = (0x80, 0xBF);
        _codePoint = (_codePoint << 6) | (value & 0x3F);
        _have++;
        if (--_need == 0)
            EmitRune(new Rune(_codePoint));
    }

    private void Begin(byte value)
    {
        if (value < 0x80)
        {
            Emit((char)value);
            return;
        }

        (_need, _codePoint) = value switch
        {
            >= 0xC2 and <= 0xDF => (1, value & 0x1F),
            >= 0xE0 and <= 0xEF => (2, value & 0x0F),
            >= 0xF0 and <= 0xF4 => (3, value & 0x07),
            _ => (0, 0),
        };
        _have = 1;
        // What these may be followed by rules out overlong forms, surrogates and what lies beyond U+10FFFF.
        _low = value switch { 0xE0 => 0xA0, 0xF0 => 0x90, _ => 0x80 };
        _high = value switch { 0xED => 0x9F, 0xF4 => 0x8F, _ => 0xBF };
        if (_need == 0)
            EmitRune(Rune.ReplacementChar);
    }

    private void EmitRune(Rune rune)
    {
        Span<char> units = stackalloc char[2];
        if (Strips(rune))
            return;
        foreach (char unit in units[..rune.EncodeToUtf16(units)])
            Put(unit);
    }

    private void Emit(char ascii)
    {
        if (!Strips(new Rune(ascii)))
            Put(ascii);
    }

    private bool Strips(Rune rune)
    {
        if (_stripLeft == 0)
            return false;
        bool strips = rune == _plan.StripRune;
        _stripLeft = strips ? _stripLeft - 1 : 0;
        return strips;
    }

    private void Put(char unit)
    {
        if (Length == _chars.Length)
            Array.Resize(ref _chars, Math.Max(64, checked(_chars.Length * 2)));
        _chars[Length++] = unit;
    }
}
