namespace Adze.Text;

/// <summary>
/// The symbols of one piece, and their merging: again and again the pair of lowest rank, of equals the leftmost.
/// </summary>
internal sealed class SymbolList
{
    /// <summary>Up to here, scanning all pairs for each merge is faster than keeping a heap.</summary>
    private const int FewSymbols = 40;

    private const int WorthKeeping = 1 << 14;

    private int[] _ids = new int[64];
    private ulong[] _merges = new ulong[64]; // of the symbol and the one after it, or MergeTable.None
    private int[] _next = [];
    private int[] _previous = [];
    private ulong[] _heap = []; // rank and position of pairs that could be merged when they were put in
    private int _heapLength;

    public int Count { get; private set; }

    public bool IsSmall => _ids.Length <= WorthKeeping;

    public ReadOnlySpan<int> Ids => _ids.AsSpan(0, Count);

    public void Clear() => Count = 0;

    public void Add(int id)
    {
        if (Count == _ids.Length)
        {
            int size = checked(Count * 2);
            Array.Resize(ref _ids, size);
            _merges = new ulong[size];
        }

        _ids[Count++] = id;
    }

    public void Merge(MergeTable table)
    {
        if (Count < 2)
            return;
        for (int i = 0; i + 1 < Count; i++)
            _merges[i] = table.Get(_ids[i], _ids[i + 1]);
        _merges[Count - 1] = MergeTable.None;
        if (Count <= FewSymbols)
            MergeFew(table);
        else
            MergeMany(table);
    }

    private void MergeFew(MergeTable table)
    {
        int count = Count;
        Span<int> ids = _ids.AsSpan(0, count);
        Span<ulong> merges = _merges.AsSpan(0, count);
        while (true)
        {
            int best = 0;
            for (int i = 1; i < count - 1; i++)
                if (merges[i] < merges[best])
                    best = i;
            if (merges[best] == MergeTable.None)
                break;

            ids[best] = MergeTable.Token(merges[best]);
            ids[(best + 2)..count].CopyTo(ids[(best + 1)..]);
            merges[(best + 1)..count].CopyTo(merges[best..]);
            count--;
            if (best > 0)
                merges[best - 1] = table.Get(ids[best - 1], ids[best]);
            merges[best] = best + 1 < count ? table.Get(ids[best], ids[best + 1]) : MergeTable.None;
        }

        Count = count;
    }

    /// <summary>A linked list and a heap, so that a piece of n symbols takes n log n.</summary>
    private void MergeMany(MergeTable table)
    {
        Link();
        while (TryPop(out int rank, out int at))
        {
            // An entry is stale when its pair has changed since: no two pairs have one rank.
            if (_merges[at] == MergeTable.None || MergeTable.Rank(_merges[at]) != rank)
                continue;
            int gone = _next[at];
            int after = _next[gone];
            _ids[at] = MergeTable.Token(_merges[at]);
            _merges[gone] = MergeTable.None;
            _next[at] = after;
            if (after < Count)
                _previous[after] = at;
            Rank(table, at, after);
            if (_previous[at] >= 0)
                Rank(table, _previous[at], at);
        }

        int kept = 0;
        for (int i = 0; i < Count; i = _next[i])
            _ids[kept++] = _ids[i];
        Count = kept;
    }

    private void Link()
    {
        if (_next.Length < _ids.Length)
        {
            _next = new int[_ids.Length];
            _previous = new int[_ids.Length];
        }

        _heapLength = 0;
        for (int i = 0; i < Count; i++)
        {
            _next[i] = i + 1;
            _previous[i] = i - 1;
            if (_merges[i] != MergeTable.None)
                Push(_merges[i], i);
        }
    }

    private void Rank(MergeTable table, int left, int right)
    {
        _merges[left] = right < Count ? table.Get(_ids[left], _ids[right]) : MergeTable.None;
        if (_merges[left] != MergeTable.None)
            Push(_merges[left], left);
    }

    private void Push(ulong merge, int at)
    {
        if (_heapLength == _heap.Length)
            Array.Resize(ref _heap, Math.Max(64, checked(_heap.Length * 2)));
        ulong entry = ((ulong)MergeTable.Rank(merge) << 32) | (uint)at;
        int hole = _heapLength++;
        while (hole > 0 && _heap[(hole - 1) / 2] > entry)
        {
            _heap[hole] = _heap[(hole - 1) / 2];
            hole = (hole - 1) / 2;
        }

        _heap[hole] = entry;
    }

    private bool TryPop(out int rank, out int at)
    {
        if (_heapLength == 0)
        {
            rank = at = -1;
            return false;
        }

        rank = (int)(_heap[0] >> 32);
        at = (int)_heap[0];
        ulong moved = _heap[--_heapLength];
        int hole = 0;
        for (int child = 1; child < _heapLength; child = (2 * hole) + 1)
        {
            if (child + 1 < _heapLength && _heap[child + 1] < _heap[child])
                child++;
            if (_heap[child] >= moved)
                break;
            _heap[hole] = _heap[child];
            hole = child;
        }

        _heap[hole] = moved;
        return true;
    }
}
