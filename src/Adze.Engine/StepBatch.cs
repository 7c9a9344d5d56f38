using Adze.Native;

namespace Adze.Engine;

/// <summary>
/// One ragged batch in host memory, as attention's plan and the model want it. Made once with capacities, refilled for
/// every step.
/// </summary>
internal sealed class StepBatch
{
    private readonly int[] _ids;
    private readonly int[] _positions;
    private readonly int[] _qoIndptr;
    private readonly int[] _kvIndptr;
    private readonly int[] _kvLastPageLen;
    private readonly int[] _kvIndices;
    private readonly int[] _logitRows;
    private readonly SamplingParams[] _sampling;
    private readonly Sequence[] _sequences;
    private readonly Sequence[] _logitSequences;
    private readonly int _pageSize;

    public StepBatch(int maxSequences, int maxTokens, int maxPages, int pageSize)
    {
        _ids = new int[maxTokens];
        _positions = new int[maxTokens];
        _qoIndptr = new int[maxSequences + 1];
        _kvIndptr = new int[maxSequences + 1];
        _kvLastPageLen = new int[maxSequences];
        _kvIndices = new int[maxPages];
        _logitRows = new int[maxSequences];
        _sampling = new SamplingParams[maxSequences];
        _sequences = new Sequence[maxSequences];
        _logitSequences = new Sequence[maxSequences];
        _pageSize = pageSize;
    }

    public int NumSequences { get; private set; }

    public int NumTokens { get; private set; }

    public int NumPages { get; private set; }

    /// <summary>Sequences that get a token from this step.</summary>
    public int NumLogits { get; private set; }

    /// <summary>Rows that belong to prompts.</summary>
    public int NumPromptTokens { get; private set; }

    public ReadOnlySpan<int> Ids => _ids.AsSpan(0, NumTokens);

    public ReadOnlySpan<int> Positions => _positions.AsSpan(0, NumTokens);

    public ReadOnlySpan<int> QoIndptr => _qoIndptr.AsSpan(0, NumSequences + 1);

    public ReadOnlySpan<int> KvIndptr => _kvIndptr.AsSpan(0, NumSequences + 1);

    public ReadOnlySpan<int> KvLastPageLen => _kvLastPageLen.AsSpan(0, NumSequences);

    public ReadOnlySpan<int> KvIndices => _kvIndices.AsSpan(0, NumPages);

    /// <summary>The rows after which a token is drawn, with one entry of <see cref="Sampling"/> each.</summary>
    public ReadOnlySpan<int> LogitRows => _logitRows.AsSpan(0, NumLogits);

    public ReadOnlySpan<SamplingParams> Sampling => _sampling.AsSpan(0, NumLogits);

    public ReadOnlySpan<Sequence> LogitSequences => _logitSequences.AsSpan(0, NumLogits);

    /// <summary>Empties the batch, and lets go of the last one's sequences.</summary>
    public void Clear()
    {
        _sequences.AsSpan(0, NumSequences).Clear();
        _logitSequences.AsSpan(0, NumLogits).Clear();
        NumSequences = NumTokens = NumPages = NumLogits = NumPromptTokens = 0;
    }

    /// <summary>Adds the next <paramref name="count"/> tokens that the cache lacks.</summary>
    public void Add(Sequence sequence, int count)
    {
        int start = sequence.Cached;
        int kvLength = start + count;
        sequence.Tokens.Slice(start, count).CopyTo(_ids.AsSpan(NumTokens));
        for (int i = 0; i < count; i++)
            _positions[NumTokens + i] = start + i;
        NumTokens += count;
        NumPromptTokens += Math.Clamp(sequence.PromptLength - start, 0, count);

        int pages = sequence.PagesFor(kvLength);
        sequence.Pages[..pages].CopyTo(_kvIndices.AsSpan(NumPages));
        NumPages += pages;
        _kvLastPageLen[NumSequences] = kvLength - (pages - 1) * _pageSize;
        _sequences[NumSequences++] = sequence;
        _qoIndptr[NumSequences] = NumTokens;
        _kvIndptr[NumSequences] = NumPages;

        if (kvLength == sequence.Count)
        {
            _logitRows[NumLogits] = NumTokens - 1;
            _sampling[NumLogits] = sequence.Sampling;
            _logitSequences[NumLogits++] = sequence;
        }
    }

    /// <summary>Notes that the batch has run: its tokens are in the cache.</summary>
    public void MarkCached()
    {
        for (int i = 0; i < NumSequences; i++)
            _sequences[i].MarkCached(_qoIndptr[i + 1] - _qoIndptr[i]);
    }
}
