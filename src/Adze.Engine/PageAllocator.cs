namespace Adze.Engine;

/// <summary>The free pages of a KV cache. A page belongs to one sequence at a time.</summary>
internal sealed class PageAllocator
{
    private readonly int[] _free;
    private readonly bool[] _rented;
    private int _numFree;

    public PageAllocator(int numPages)
    {
        _free = new int[numPages];
        _rented = new bool[numPages];
        for (int i = 0; i < numPages; i++)
            _free[i] = numPages - 1 - i;
        _numFree = numPages;
    }

    public int NumPages => _free.Length;

    public int NumFree => _numFree;

    public int Rent()
    {
        if (_numFree == 0)
            throw new InvalidOperationException("no page is free");
        int page = _free[--_numFree];
        _rented[page] = true;
        return page;
    }

    public void Return(ReadOnlySpan<int> pages)
    {
        foreach (int page in pages)
        {
            if (!_rented[page])
                throw new InvalidOperationException($"page {page} was returned twice");
            _rented[page] = false;
            _free[_numFree++] = page;
        }
    }
}
