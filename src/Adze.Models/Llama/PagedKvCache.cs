using Adze.Native;

namespace Adze.Models;

/// <summary>Device memory for the keys and values of all layers: for each layer K and V as [pages, page size, KV
/// heads, head dim] (NHD), a vector of I4 padded to 16 bytes. Quantised ones have a scale per token and head as well, as
/// [pages, KV heads, page size]. Who owns which page is for the engine to know.</summary>
public sealed class PagedKvCache : IDisposable
{
    private readonly DeviceBuffer _buffer; // for each layer K and V
    private readonly DeviceBuffer? _scales; // likewise
    private readonly ulong _pageBytes;
    private readonly ulong _pageScaleBytes;

    /// <summary>Allocates a cache. Its contents are undefined.</summary>
    public PagedKvCache(AdzeContext context, ModelConfig config, DType dtype, int numPages, int pageSize)
    {
        ArgumentNullException.ThrowIfNull(config);
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(numPages);
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(pageSize);
        (NumLayers, NumPages, PageSize, DType) = (config.NumLayers, numPages, pageSize, dtype);
        (NumKvHeads, VectorStride) = (config.NumKvHeads, PaddedVector(config, dtype));
        (_pageBytes, _pageScaleBytes) = PageBytes(config, dtype, pageSize);
        _buffer = new DeviceBuffer(context, checked(_pageBytes * (ulong)numPages * NumBlocks));
        try
        {
            if (_pageScaleBytes > 0)
                _scales = new DeviceBuffer(context, checked(_pageScaleBytes * (ulong)numPages * NumBlocks));
        }
        catch
        {
            _buffer.Dispose();
            throw;
        }
    }

    /// <summary>Device memory that a page takes, all layers and scales included.</summary>
    public static ulong BytesPerPage(ModelConfig config, DType dtype, int pageSize)
    {
        ArgumentNullException.ThrowIfNull(config);
        (ulong values, ulong scales) = PageBytes(config, dtype, pageSize);
        return checked((values + scales) * 2 * (ulong)config.NumLayers);
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
    public ulong Bytes => _buffer.Bytes + (_scales?.Bytes ?? 0);

    private int NumKvHeads { get; }

    /// <summary>Elements from one head's vector to the next.</summary>
    private int VectorStride { get; }

    /// <summary>K and V of every layer.</summary>
    private ulong NumBlocks => 2 * (ulong)NumLayers;

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
        Copy(_buffer, _pageBytes);
        if (_scales is not null)
            Copy(_scales, _pageScaleBytes);

        void Copy(DeviceBuffer buffer, ulong pageBytes)
        {
            for (ulong first = 0; first < NumBlocks * (ulong)NumPages; first += (ulong)NumPages)
                buffer.CopyFrom(buffer, (first + (ulong)source) * pageBytes, (first + (ulong)destination) * pageBytes,
                    pageBytes, stream);
        }
    }

    /// <summary>Frees the memory.</summary>
    public void Dispose()
    {
        _buffer.Dispose();
        _scales?.Dispose();
    }

    // I4 begins each vector at a multiple of 16 bytes.
    private static int PaddedVector(ModelConfig config, DType dtype) =>
        dtype == DType.I4 ? (config.HeadDim + 31) / 32 * 32 : config.HeadDim;

    // Of one block.
    private static (ulong Values, ulong Scales) PageBytes(ModelConfig config, DType dtype, int pageSize)
    {
        ulong vectors = checked((ulong)pageSize * (ulong)config.NumKvHeads);
        ulong bits = checked(vectors * (ulong)PaddedVector(config, dtype) * (ulong)dtype.Bits());
        return (bits / 8, dtype.IsQuantised() ? vectors * sizeof(float) : 0);
    }

    private KvCacheView View(int block)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual((uint)block, 2 * (uint)NumLayers, nameof(block));
        ulong firstPage = (ulong)block * (ulong)NumPages;
        long tokenStride = (long)NumKvHeads * VectorStride, pageScales = (long)NumKvHeads * PageSize;
        KvCacheView view = new(_buffer, firstPage * _pageBytes, DType, NumPages,
            PageStride: PageSize * tokenStride, TokenStride: tokenStride, HeadStride: VectorStride);
        return _scales is null ? view : view with
        {
            Scales = new DeviceTensor(
                _scales, firstPage * _pageScaleBytes, DType.F32, NumPages, pageScales, rowStride: pageScales),
            ScalePageStride = pageScales,
            ScaleTokenStride = 1,
            ScaleHeadStride = PageSize,
        };
    }
}
