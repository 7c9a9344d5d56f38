namespace Adze.Native;

/// <summary>
/// The keys or the values of one layer in device memory: element e of head h of token t of page p is at
/// p · PageStride + t · TokenStride + h · HeadStride + e. Of I4 each vector begins and ends at a multiple of 32 elements.
/// </summary>
/// <param name="Buffer">Whose memory.</param>
/// <param name="OffsetBytes">Where page 0 begins.</param>
/// <param name="DType">F32 (cpu only), F16, BF16, F8E4M3, I8 or I4; the last three need scales.</param>
/// <param name="NumPages">Pages in the cache; every page id is below it.</param>
/// <param name="PageStride">In elements.</param>
/// <param name="TokenStride">In elements.</param>
/// <param name="HeadStride">In elements.</param>
public readonly record struct KvCacheView(
    DeviceBuffer Buffer,
    ulong OffsetBytes,
    DType DType,
    long NumPages,
    long PageStride,
    long TokenStride,
    long HeadStride)
{
    /// <summary>
    /// F32 factors of the stored elements, or absent; reached by the strides below from its first element. Of F8E4M3, I8
    /// and I4 appending sets them where they depend on the token.
    /// </summary>
    public DeviceTensor Scales { get; init; }

    /// <summary>In elements; 0 where scales do not depend on the page.</summary>
    public long ScalePageStride { get; init; }

    /// <summary>In elements; 0 where scales do not depend on the token.</summary>
    public long ScaleTokenStride { get; init; }

    /// <summary>In elements; 0 for one scale for all heads.</summary>
    public long ScaleHeadStride { get; init; }

    /// <summary>The native view, after checking what native code cannot see: that it lies within its buffers.</summary>
    internal adze_kv_cache ToNative(
        ref NativeCall call,
        AttentionPlanOptions plan,
        int headDim,
        string name)
    {
        nint data = call.Hold(Buffer, name);
        int vector = DType == DType.I4 ? (headDim + 31) / 32 * 32 : headDim;
        CheckExtent(Buffer, OffsetBytes, DType.Bits(), Last(plan, PageStride, TokenStride, HeadStride) + vector, name);
        adze_kv_cache view = new()
        {
            data = data + (nint)OffsetBytes,
            num_pages = NumPages,
            page_stride = PageStride,
            token_stride = TokenStride,
            head_stride = HeadStride,
            dtype = (adze_dtype)DType,
        };
        if (Scales.Buffer is { } scales)
        {
            AddScales(ref call, ref view, scales, plan, name);
        }

        return view;
    }

    private void AddScales(
        ref NativeCall call,
        ref adze_kv_cache view,
        DeviceBuffer scales,
        AttentionPlanOptions plan,
        string name)
    {
        if (Scales.DType != DType.F32)
        {
            throw new ArgumentException($"Scales are {Scales.DType}; they must be F32.", name);
        }

        Int128 elements = Last(plan, ScalePageStride, ScaleTokenStride, ScaleHeadStride) + 1;
        CheckExtent(scales, Scales.OffsetBytes, DType.F32.Bits(), elements, name);
        view.scales = call.Hold(scales, name) + (nint)Scales.OffsetBytes;
        view.scale_page_stride = ScalePageStride;
        view.scale_token_stride = ScaleTokenStride;
        view.scale_head_stride = ScaleHeadStride;
    }

    // The element at which the last token's last head begins.
    private Int128 Last(AttentionPlanOptions plan, long pageStride, long tokenStride, long headStride)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(pageStride);
        ArgumentOutOfRangeException.ThrowIfNegative(tokenStride);
        ArgumentOutOfRangeException.ThrowIfNegative(headStride);
        return (Int128)(NumPages - 1) * pageStride
            + (Int128)(plan.PageSize - 1) * tokenStride
            + (Int128)(plan.NumKvHeads - 1) * headStride;
    }

    private void CheckExtent(DeviceBuffer buffer, ulong offset, int elementBits, Int128 elements, string name)
    {
        // Fewer than one page is left to the native checks.
        Int128 needed = NumPages <= 0 ? 0 : elements;
        if (offset > buffer.Bytes || needed > (Int128)(buffer.Bytes - offset) * 8 / elementBits)
        {
            throw new ArgumentException(
                $"{NumPages} pages span {needed} elements of {elementBits} bits at byte {offset}, beyond a buffer of " +
                $"{buffer.Bytes} bytes.",
                name);
        }
    }
}
