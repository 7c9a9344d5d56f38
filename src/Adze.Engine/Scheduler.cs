namespace Adze.Engine;

/// <summary>
/// Decides which tokens a step computes: first one for every sequence that generates, then chunks of prompts, oldest
/// first, while the token budget lasts. Requests wait for a slot and for pages. A sequence that needs a page when none
/// is free takes those of the youngest one, which waits and is computed again: the oldest always advances, and since a
/// request that needs more than the whole cache was refused beforehand, all of them end.
/// </summary>
internal sealed class Scheduler
{
    private readonly PageAllocator _pages;
    private readonly int _maxSequences;
    private readonly int _maxTokens;
    private readonly int _ownChunk;
    private readonly List<Sequence> _running; // oldest first
    private readonly Stack<Sequence> _waiting; // next on top

    /// <param name="pages">Where pages come from and go to.</param>
    /// <param name="maxSequences">Sequences that run at once.</param>
    /// <param name="maxTokens">Rows of a step, at least <paramref name="maxSequences"/>.</param>
    /// <param name="sequences">All requests, in the order in which they are admitted.</param>
    /// <param name="ownChunks">
    /// Whether a sequence is always computed in the same chunks, of a size that finds room whatever else runs: a GPU's
    /// attention rounds by them.
    /// </param>
    public Scheduler(PageAllocator pages, int maxSequences, int maxTokens, ReadOnlySpan<Sequence> sequences,
        bool ownChunks)
    {
        _ownChunk = ownChunks ? maxTokens - maxSequences + 1 : 0;
        _pages = pages;
        _maxSequences = maxSequences;
        _maxTokens = maxTokens;
        _running = new List<Sequence>(maxSequences);
        _waiting = new Stack<Sequence>(sequences.Length);
        for (int i = sequences.Length - 1; i >= 0; i--)
            _waiting.Push(sequences[i]);
    }

    public bool HasWork => _running.Count + _waiting.Count > 0;

    public long Preemptions { get; private set; }

    /// <summary>Fills <paramref name="batch"/> with the next step; it is never empty while there is work.</summary>
    public void Schedule(StepBatch batch)
    {
        GrowRunning();
        Admit();
        Pack(batch);
    }

    /// <summary>Ends a running sequence and frees its pages.</summary>
    public void Remove(Sequence sequence)
    {
        _running.Remove(sequence);
        Release(sequence);
    }

    /// <summary>Ends all sequences and frees all pages.</summary>
    public void Clear()
    {
        foreach (Sequence sequence in _running)
            Release(sequence);
        _running.Clear();
        _waiting.Clear();
    }

    /// <summary>Pages for the tokens that were generated since the last step.</summary>
    private void GrowRunning()
    {
        for (int i = 0; i < _running.Count; i++)
        {
            Sequence sequence = _running[i];
            while (sequence.MissingPages > _pages.NumFree && _running.Count > i)
                PreemptYoungest();
            if (_running.Count > i)
                Reserve(sequence);
        }
    }

    /// <summary>
    /// Waiting sequences whose tokens so far all find a page, with one page left over for each that runs already, lest
    /// it be preempted at once.
    /// </summary>
    private void Admit()
    {
        int load = 0;
        foreach (Sequence sequence in _running)
            load += sequence.Pending;
        while (load < _maxTokens && _running.Count < _maxSequences && _waiting.TryPeek(out Sequence? next)
            && next.MissingPages + _running.Count <= _pages.NumFree)
        {
            _running.Add(_waiting.Pop());
            Reserve(next);
            load += next.Pending;
        }
    }

    private void Pack(StepBatch batch)
    {
        batch.Clear();
        foreach (Sequence sequence in _running)
        {
            if (sequence.Pending == 1)
                batch.Add(sequence, 1);
        }
        foreach (Sequence sequence in _running)
        {
            int room = _maxTokens - batch.NumTokens;
            int count = ChunkOf(sequence, room);
            if (sequence.Pending > 1 && count > 0 && count <= room)
                batch.Add(sequence, count);
        }
        if (batch.NumTokens == 0)
            throw new InvalidOperationException("no sequence can advance: pages were lost");
    }

    /// <summary>Own chunks of what was generated before a preemption are single tokens, as they were at first.</summary>
    private int ChunkOf(Sequence sequence, int room)
    {
        if (_ownChunk == 0)
            return Math.Min(sequence.Pending, room);
        return Math.Clamp(sequence.PromptLength - sequence.Cached, 1, _ownChunk);
    }

    private void PreemptYoungest()
    {
        Sequence victim = _running[^1];
        _running.RemoveAt(_running.Count - 1);
        Release(victim);
        _waiting.Push(victim);
        Preemptions++;
    }

    private void Reserve(Sequence sequence)
    {
        for (int missing = sequence.MissingPages; missing > 0; missing--)
            sequence.AddPage(_pages.Rent());
    }

    private void Release(Sequence sequence)
    {
        _pages.Return(sequence.Pages);
        sequence.DropCache();
    }
}
