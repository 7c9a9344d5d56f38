namespace Adze.Text;

/// <summary>The working memory of one call of Encode; a tokenizer keeps one for the next call.</summary>
internal sealed class EncodeScratch
{
    private const int WorthKeeping = 1 << 16;

    private int[] _output = new int[256];
    private byte[] _utf8 = new byte[256];
    private byte[] _spelled = new byte[512];
    private int _outputLength;

    /// <summary>The symbols of the piece at hand.</summary>
    public SymbolList Symbols { get; } = new();

    public ReadOnlySpan<int> Output => _output.AsSpan(0, _outputLength);

    public bool IsSmall => _output.Length <= WorthKeeping && _utf8.Length <= WorthKeeping && Symbols.IsSmall;

    public void Clear() => _outputLength = 0;

    public void Add(int id)
    {
        if (_outputLength == _output.Length)
            Array.Resize(ref _output, checked(_output.Length * 2));
        _output[_outputLength++] = id;
    }

    public void Add(ReadOnlySpan<int> ids)
    {
        foreach (int id in ids)
            Add(id);
    }

    /// <summary>Room for this many bytes; what was in it is lost.</summary>
    public Span<byte> Utf8(int length) => Room(ref _utf8, length);

    /// <summary>Another room, for the bytes' spelling.</summary>
    public Span<byte> Spelled(int length) => Room(ref _spelled, length);

    private static Span<byte> Room(ref byte[] bytes, int length)
    {
        if (bytes.Length < length)
            bytes = new byte[Math.Max(length, bytes.Length * 2)];
        return bytes;
    }
}
