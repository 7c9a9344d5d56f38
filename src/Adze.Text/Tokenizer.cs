using System.Buffers;
using System.Runtime.InteropServices;
using System.Text;

namespace Adze.Text;

/// <summary>
/// A byte-pair-encoding tokenizer read from Hugging Face's tokenizer.json: byte-level (GPT-2, Llama 3, Qwen) or
/// SentencePiece-style with byte fallback (Llama 2, Gemma). Immutable, and safe to use from several threads at once.
/// </summary>
/// <remarks>
/// What a tokenizer.json asks for is either done or refused with a <see cref="TokenizerException"/>, never skipped.
/// </remarks>
public sealed class Tokenizer
{
    private readonly TokenizerParts _parts;
    private readonly AddedTokenMatcher _verbatim; // tokens found in the text as given
    private readonly AddedTokenMatcher _normalized; // tokens found in the normalized text
    private readonly Pieces _pieces;
    private readonly HashSet<int> _special;
    private EncodeScratch? _spare;

    internal Tokenizer(TokenizerParts parts)
    {
        _parts = parts;
        string Normalized(AddedToken token) => parts.Normalizer?.Apply(token.Content) ?? token.Content;

        // Special tokens take precedence over others that look the same.
        AddedToken[] ordered = [.. parts.AddedTokens.OrderBy(token => !token.Special)];
        _verbatim = new AddedTokenMatcher(ordered.Where(token => !token.Normalized), token => token.Content);
        _normalized = new AddedTokenMatcher(ordered.Where(token => token.Normalized), Normalized);
        _special = [.. ordered.Where(token => token.Special).Select(token => token.Id)];
        _pieces = new Pieces(parts.Vocabulary, parts.Decoder, ordered
            .Where(token => !parts.Vocabulary.IsModels(token.Id))
            .ToDictionary(token => token.Id, token => token.Normalized ? Normalized(token) : token.Content));
    }

    /// <summary>One more than the largest id. A model's logits may be wider: models pad their vocabularies.</summary>
    public int VocabularySize => _parts.Vocabulary.Size;

    /// <summary>The special tokens that the post-processor puts before a text, such as the beginning of text.</summary>
    public ReadOnlySpan<int> PrefixTokens => _parts.PostProcessor.Prefix;

    /// <summary>The special tokens that the post-processor puts after a text.</summary>
    public ReadOnlySpan<int> SuffixTokens => _parts.PostProcessor.Suffix;

    /// <summary>Reads a tokenizer.json.</summary>
    /// <param name="path">The file.</param>
    /// <exception cref="TokenizerException">The file cannot be read, is broken or asks for what is not supported; the message
    /// is one line.</exception>
    public static Tokenizer Load(string path)
    {
        ArgumentNullException.ThrowIfNull(path);
        return TokenizerJson.Parse(ReadFile(path), path);
    }

    private static byte[] ReadFile(string path)
    {
        const long MostBytes = 1 << 28; // ten times the largest that are published
        try
        {
            return new FileInfo(path) is { Exists: true, Length: > MostBytes }
                ? throw new TokenizerException($"{path}: is larger than the {MostBytes} bytes that are read")
                : File.ReadAllBytes(path);
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            string reason = exception switch
            {
                _ when Directory.Exists(path) => "is a folder, not a file",
                FileNotFoundException or DirectoryNotFoundException => "no such file",
                UnauthorizedAccessException => "permission denied",
                _ => $"cannot be read: {exception.Message}",
            };
            throw new TokenizerException($"{path}: {reason}", exception);
        }
    }

    /// <summary>Reads the content of a tokenizer.json.</summary>
    /// <param name="json">UTF-8.</param>
    /// <exception cref="TokenizerException">The content is broken or asks for what is not supported; the message is one line.</exception>
    public static Tokenizer Parse(ReadOnlySpan<byte> json) => TokenizerJson.Parse(json, "tokenizer.json");

    /// <summary>Encodes a text.</summary>
    /// <param name="text">Half of a surrogate pair is taken for U+FFFD.</param>
    /// <param name="addSpecialTokens">Whether to add <see cref="PrefixTokens"/> and <see cref="SuffixTokens"/>.
    /// Special tokens that are written out in the text are recognised either way.</param>
    /// <returns>The ids.</returns>
    /// <exception cref="ArgumentException">The text has a character that the vocabulary cannot express.</exception>
    public int[] Encode(ReadOnlySpan<char> text, bool addSpecialTokens = true)
    {
        EncodeScratch scratch = Run(text, addSpecialTokens);
        int[] ids = scratch.Output.ToArray();
        Return(scratch);
        return ids;
    }

    /// <summary>Encodes a text and appends the ids to a list.</summary>
    /// <param name="text">Half of a surrogate pair is taken for U+FFFD.</param>
    /// <param name="output">Where the ids go; unchanged where encoding fails.</param>
    /// <param name="addSpecialTokens">Whether to add <see cref="PrefixTokens"/> and <see cref="SuffixTokens"/>.</param>
    /// <exception cref="ArgumentException">The text has a character that the vocabulary cannot express.</exception>
    public void Encode(ReadOnlySpan<char> text, List<int> output, bool addSpecialTokens = true)
    {
        ArgumentNullException.ThrowIfNull(output);
        EncodeScratch scratch = Run(text, addSpecialTokens);
        output.AddRange(scratch.Output);
        Return(scratch);
    }

    /// <summary>Encodes a text and writes the ids to a buffer writer.</summary>
    /// <param name="text">Half of a surrogate pair is taken for U+FFFD.</param>
    /// <param name="output">Where the ids go; unchanged where encoding fails.</param>
    /// <param name="addSpecialTokens">Whether to add <see cref="PrefixTokens"/> and <see cref="SuffixTokens"/>.</param>
    /// <exception cref="ArgumentException">The text has a character that the vocabulary cannot express.</exception>
    public void Encode(ReadOnlySpan<char> text, IBufferWriter<int> output, bool addSpecialTokens = true)
    {
        ArgumentNullException.ThrowIfNull(output);
        EncodeScratch scratch = Run(text, addSpecialTokens);
        output.Write(scratch.Output);
        Return(scratch);
    }

    /// <summary>Decodes ids.</summary>
    /// <param name="ids">Ids; those that the vocabulary lacks (models pad theirs) add nothing.</param>
    /// <param name="skipSpecialTokens">Whether special tokens are left out.</param>
    /// <returns>The text; bytes that are not UTF-8 become U+FFFD.</returns>
    /// <exception cref="ArgumentOutOfRangeException">An id is negative.</exception>
    public string Decode(ReadOnlySpan<int> ids, bool skipSpecialTokens = false)
    {
        DecodeState state = BeginDecoding(capacity: ids.Length * 4);
        foreach (int id in ids)
            Advance(ref state, id, skipSpecialTokens);
        state.Flush();
        return state.Text.ToString();
    }

    /// <summary>Begins to decode ids that come one by one.</summary>
    /// <param name="skipSpecialTokens">Whether special tokens are left out.</param>
    public StreamingDecoder CreateStreamingDecoder(bool skipSpecialTokens = false) => new(this, skipSpecialTokens);

    /// <summary>The id of a token, spelled as in tokenizer.json (<c>Ġthe</c>, <c>▁the</c>, <c>&lt;0x0A&gt;</c>), or null.</summary>
    /// <param name="token">The token's spelling.</param>
    public int? TokenToId(ReadOnlySpan<char> token)
    {
        byte[] utf8 = new byte[Encoding.UTF8.GetByteCount(token)];
        Encoding.UTF8.GetBytes(token, utf8);
        return _parts.Vocabulary.TryGet(utf8, out int id) ? id : null;
    }

    /// <summary>A token's spelling in tokenizer.json, or null where no token has the id.</summary>
    /// <param name="id">Any number.</param>
    public string? IdToToken(int id) =>
        _parts.Vocabulary.Contains(id) ? Encoding.UTF8.GetString(_parts.Vocabulary[id]) : null;

    /// <summary>
    /// The bytes that a token stands for in the middle of a text: <c>Ġthe</c> and <c>▁the</c> give " the", <c>&lt;0x0A&gt;</c> a
    /// new line. They need not be whole characters. Empty where no token has the id.
    /// </summary>
    /// <param name="id">Any number.</param>
    public ReadOnlySpan<byte> TokenBytes(int id) => _parts.Vocabulary.Contains(id) ? _pieces[id] : default;

    /// <summary>Whether the token is marked special among the added tokens.</summary>
    /// <param name="id">Any number.</param>
    public bool IsSpecial(int id) => _special.Contains(id);

    internal DecodeState BeginDecoding(int capacity) => new(_parts.Decoder, capacity);

    internal void Advance(ref DecodeState state, int id, bool skipSpecialTokens)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(id);
        if (_parts.Vocabulary.Contains(id) && !(skipSpecialTokens && _special.Contains(id)))
            state.Append(_pieces, id);
    }

    private EncodeScratch Run(ReadOnlySpan<char> text, bool addSpecialTokens)
    {
        EncodeScratch scratch = Interlocked.Exchange(ref _spare, null) ?? new EncodeScratch();
        scratch.Clear();
        if (addSpecialTokens)
            scratch.Add(PrefixTokens);
        EncodeVerbatim(text, scratch);
        if (addSpecialTokens)
            scratch.Add(SuffixTokens);
        return scratch;
    }

    private void Return(EncodeScratch scratch)
    {
        if (scratch.IsSmall)
            Volatile.Write(ref _spare, scratch);
    }

    private void EncodeVerbatim(ReadOnlySpan<char> text, EncodeScratch scratch)
    {
        var sections = new List<AddedTokenMatcher.Section>();
        if (!_verbatim.Cut(text, sections))
        {
            Normalize(text, first: true, scratch);
            return;
        }

        foreach (AddedTokenMatcher.Section section in CollectionsMarshal.AsSpan(sections))
        {
            if (section.Token is { } token)
                scratch.Add(token.Id);
            else
                Normalize(text[section.Start..section.End], section.Start == 0, scratch);
        }
    }

    private void Normalize(ReadOnlySpan<char> text, bool first, EncodeScratch scratch)
    {
        if (!text.IsEmpty)
            EncodeNormalized(_parts.Normalizer is { } normalizer ? normalizer.Apply(text.ToString()) : text, first, scratch);
    }

    private void EncodeNormalized(ReadOnlySpan<char> text, bool first, EncodeScratch scratch)
    {
        var sections = new List<AddedTokenMatcher.Section>();
        if (!_normalized.Cut(text, sections))
        {
            if (!text.IsEmpty)
                _parts.PreTokenizer.Run(text, first, scratch);
            return;
        }

        foreach (AddedTokenMatcher.Section section in CollectionsMarshal.AsSpan(sections))
        {
            if (section.Token is { } token)
                scratch.Add(token.Id);
            else
                _parts.PreTokenizer.Run(text[section.Start..section.End], first && section.Start == 0, scratch);
        }
    }
}
