namespace Adze.Text;

/// <summary>
/// Decodes ids as they come. A character is handed out when its last byte has come, never in parts;
/// all that is handed out, together with <see cref="Flush"/>, is what <see cref="Tokenizer.Decode"/> gives for all ids.
/// </summary>
/// <remarks>
/// Made by <see cref="Tokenizer.CreateStreamingDecoder"/>. Belongs to one thread at a time.
/// Once its buffer has grown to the longest token, <see cref="Append"/> allocates nothing.
/// </remarks>
public sealed class StreamingDecoder
{
    private readonly Tokenizer _tokenizer;
    private readonly bool _skipSpecialTokens;
    private DecodeState _state;

    internal StreamingDecoder(Tokenizer tokenizer, bool skipSpecialTokens)
    {
        _tokenizer = tokenizer;
        _skipSpecialTokens = skipSpecialTokens;
        _state = tokenizer.BeginDecoding(capacity: 256);
    }

    /// <summary>Takes the next id and returns the text that it completes, which may be empty.</summary>
    /// <param name="id">An id; one that the vocabulary lacks (models pad theirs) adds nothing.</param>
    /// <returns>Valid until the next call on this decoder.</returns>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="id"/> is negative.</exception>
    public ReadOnlySpan<char> Append(int id)
    {
        _state.Take();
        _tokenizer.Advance(ref _state, id, _skipSpecialTokens);
        return _state.Text;
    }

    /// <summary>Ends the text: a character that is still incomplete becomes U+FFFD. The decoder is then ready for another text.</summary>
    /// <returns>Valid until the next call on this decoder.</returns>
    public ReadOnlySpan<char> Flush()
    {
        _state.Take();
        _state.Flush();
        ReadOnlySpan<char> rest = _state.Text;
        _state.Reset();
        return rest;
    }
}
