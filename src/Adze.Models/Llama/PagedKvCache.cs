using Adze.Native;

namespace Adze.Models;

/// <summary>Device memory for the keys and values of all layers: for each layer K and V as [pages, page size, KV
/// heads, head dim] (NHD). Who owns which page is for the engine to know.</summary>
public sealed class PagedKvCache : IDisposable
{
    private readonly DeviceBuffer _buffer;
    private readonly ulong _pageBytes;
    private readonly ulong _blockBytes;

    /// <summary>Allocates a cache. Its contents are undefined.</summary>
    public PagedKvCache(AdzeContext context, ModelConfig config, DType dtype, int numPages, int pageSize)
    {
        ArgumentNullException.ThrowIfNull(config);
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(numPages);
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(pageSize);
        (NumLayers, NumPages, PageSize, DType) = (config.NumLayers, numPages, pageSize, dtype);
        (NumKvHeads, HeadDim) = (config.NumKvHeads, config.HeadDim);
        _pageBytes = checked((ulong)pageSize * (ulong)NumKvHeads * (ulong)HeadDim * (ulong)dtype.Bytes());
        _blockBytes = checked(_pageBytes * (ulong)numPages);
        _buffer = new DeviceBuffer(context, checked(_blockBytes * 2 * (ulong)NumLayers));
    }

    /// <summary>Layers.</summary>
    public int NumLayers { get; }

    /// <summary>Pages of each layer; page ids are below it.</summary>
    public int NumPages { get; }

    /// <summary>Tokens of a page.</summary>
    public int PageSize { get; }

    /// <summary>The type of keys and values.</summary>
    public DType DType { get; }

    /// <summary>Device memory in bytes.</summary>
    public ulong Bytes => _buffer.Bytes;

    private int NumKvHeads { get; }

    private int HeadDim { get; }

    /// <summary>The keys of a layer.</summary>
    public KvCacheView Keys(int layer) => View(2 * layer);

    /// <summary>The values of a layer.</summary>
    public KvCacheView Values(int layer) => View(2 * layer + 1);

    /// <summary>Copies a page's keys and values in all layers.</summary>
    public void CopyPage(int source, int destination, AdzeStream stream)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual((uint)source, (uint)NumPages, nameof(source));
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual((uint)destination, (uint)NumPages, nameof(destination));
        if (source == destination)
            return;
        for (ulong block = 0; block < 2 * (ulong)NumLayers; block++)
            _buffer.CopyFrom(_buffer, block * _blockBytes + (ulong)source * _pageBytes,
                block * _blockBytes + (ulong)destination * _pageBytes, _pageBytes, stream);
    }

    /// <summary>Frees the memory.</summary>
    public void Dispose() => _buffer.Dispose();

    private KvCacheView View(int block)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual((uint)block, 2 * (uint)NumLayers, nameof(block));
        long tokenStride = (long)NumKvHeads * HeadDim;
        return new KvCacheView(_buffer, (ulong)block * _blockBytes, DType, NumPages,
            PageStride: PageSize * tokenStride, TokenStride: tokenStride, HeadStride: HeadDim);
    }
}
