using Adze.Native;
using Adze.Text;

namespace Adze.Engine;

/// <summary>
/// The state of one request. Its tokens are the prompt and what was generated; the first <see cref="Cached"/> of them
/// are in the KV cache. A step feeds some of the rest, and a step that feeds the last one gives the next token: so
/// prompts, chunks of prompts, decoding and recomputation after a preemption are one case.
/// </summary>
internal sealed class Sequence
{
    private readonly int[] _tokens;
    private readonly int[] _stopTokens;
    private readonly int[] _pages;
    private readonly int _pageSize;
    private readonly SamplingParams _sampling;

    public Sequence(int index, GenerationRequest request, ReadOnlySpan<int> prompt, SequenceLimits limits,
        ReadOnlySpan<int> endTokens, StreamingDecoder? decoder)
    {
        Index = index;
        PromptLength = prompt.Length;
        Count = prompt.Length;
        Decoder = decoder;
        int maxTokens = Math.Min(request.MaxTokens, limits.Context - prompt.Length);
        EndReason = maxTokens == request.MaxTokens ? FinishReason.MaxTokens : FinishReason.ContextLimit;
        _tokens = new int[prompt.Length + maxTokens];
        prompt.CopyTo(_tokens);
        _pageSize = limits.PageSize;
        _pages = new int[PagesFor(MaxCached)];
        _stopTokens = request.IgnoreEndTokens
            ? [.. request.StopTokenIds]
            : [.. endTokens, .. request.StopTokenIds];
        _sampling = new SamplingParams(request.Temperature, request.TopK, request.TopP, request.MinP, request.Seed, 0);
    }

    /// <summary>Of the request, in the caller's list.</summary>
    public int Index { get; }

    public int PromptLength { get; }

    /// <summary>Turns ids into text; null where nobody asked for text.</summary>
    public StreamingDecoder? Decoder { get; }

    /// <summary>Tokens so far, prompt included.</summary>
    public int Count { get; private set; }

    /// <summary>Tokens whose keys and values are in the cache.</summary>
    public int Cached { get; private set; }

    /// <summary>Tokens that the cache lacks; 1 while decoding.</summary>
    public int Pending => Count - Cached;

    /// <summary>Tokens in the cache at most: the last one generated is never fed.</summary>
    public int MaxCached => _tokens.Length - 1;

    public int Generated => Count - PromptLength;

    public bool IsFull => Count == _tokens.Length;

    /// <summary>Why the sequence ends when it is full.</summary>
    public FinishReason EndReason { get; }

    public int NumPages { get; private set; }

    public ReadOnlySpan<int> Pages => _pages.AsSpan(0, NumPages);

    /// <summary>Pages that the tokens so far need and the sequence lacks.</summary>
    public int MissingPages => PagesFor(Count) - NumPages;

    public ReadOnlySpan<int> Tokens => _tokens.AsSpan(0, Count);

    /// <summary>How the token after the present ones is drawn.</summary>
    public SamplingParams Sampling => _sampling with { Position = (ulong)Count };

    public int PagesFor(int tokens) => (tokens + _pageSize - 1) / _pageSize;

    public bool IsStop(int token) => Array.IndexOf(_stopTokens, token) >= 0;

    public void Append(int token) => _tokens[Count++] = token;

    public void AddPage(int page) => _pages[NumPages++] = page;

    public void MarkCached(int tokens) => Cached += tokens;

    /// <summary>Forgets what is in the cache; the caller has returned the pages.</summary>
    public void DropCache()
    {
        Cached = 0;
        NumPages = 0;
    }
}

/// <summary>What bounds a sequence.</summary>
/// <param name="Context">Tokens of prompt and completion together.</param>
/// <param name="PageSize">Tokens in a page.</param>
/// <param name="NumPages">Pages in the cache.</param>
internal readonly record struct SequenceLimits(int Context, int PageSize, int NumPages)
{
    /// <summary>The first obstacle to ever serving this request, or null.</summary>
    public string? Refuse(int promptTokens, int maxTokens)
    {
        if (promptTokens == 0)
            return "the prompt is empty: it gives no token";
        if (promptTokens >= Context)
            return $"the prompt has {promptTokens} tokens; the model's context holds {Context} with the completion";
        int cached = (int)Math.Min((long)promptTokens + maxTokens, Context) - 1;
        long capacity = (long)NumPages * PageSize;
        return cached <= capacity
            ? null
            : $"a prompt of {promptTokens} tokens and up to {maxTokens} more need {cached} tokens of KV cache, "
                + $"which holds {capacity}";
    }
}
