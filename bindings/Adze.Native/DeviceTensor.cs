namespace Adze.Native;

/// <summary>
/// A row-major matrix in device memory: a view that owns nothing. A vector is one row. <c>default</c> is an absent
/// tensor, where an operator allows it.
/// </summary>
public readonly record struct DeviceTensor
{
    /// <summary>Makes a view of a part of a buffer.</summary>
    /// <param name="buffer">Whose memory.</param>
    /// <param name="offsetBytes">Where the first element is; a multiple of the element's size.</param>
    /// <param name="dtype">Element type.</param>
    /// <param name="rows">Rows, 0 or more.</param>
    /// <param name="columns">Columns, 0 or more.</param>
    /// <param name="rowStride">Elements from one row to the next, at least columns; of no account with one row.</param>
    /// <exception cref="ArgumentException">The tensor does not lie within the buffer.</exception>
    public DeviceTensor(DeviceBuffer buffer, ulong offsetBytes, DType dtype, long rows, long columns, long rowStride)
    {
        ArgumentNullException.ThrowIfNull(buffer);
        ArgumentOutOfRangeException.ThrowIfNegative(rows);
        ArgumentOutOfRangeException.ThrowIfNegative(columns);
        if (rows > 1)
        {
            ArgumentOutOfRangeException.ThrowIfLessThan(rowStride, columns);
        }

        Int128 elements = rows == 0 || columns == 0 ? 0 : (Int128)(rows - 1) * rowStride + columns;
        if (offsetBytes > buffer.Bytes || elements > (buffer.Bytes - offsetBytes) / (ulong)dtype.Bytes())
        {
            throw new ArgumentException(
                $"A {rows} x {columns} {dtype} tensor with row stride {rowStride} at byte {offsetBytes} does not fit " +
                $"a buffer of {buffer.Bytes} bytes.");
        }

        Buffer = buffer;
        OffsetBytes = offsetBytes;
        DType = dtype;
        Rows = rows;
        Columns = columns;
        RowStride = rowStride;
    }

    /// <summary>Whose memory; null when absent.</summary>
    public DeviceBuffer? Buffer { get; }

    /// <summary>Where the first element is.</summary>
    public ulong OffsetBytes { get; }

    /// <summary>Element type.</summary>
    public DType DType { get; }

    /// <summary>Rows.</summary>
    public long Rows { get; }

    /// <summary>Columns; they are dense.</summary>
    public long Columns { get; }

    /// <summary>Elements from one row to the next.</summary>
    public long RowStride { get; }

    /// <summary>Whether there is no tensor.</summary>
    public bool IsAbsent => Buffer is null;

    /// <summary>Makes a dense tensor in a buffer of its own: dispose <see cref="Buffer"/>.</summary>
    /// <param name="context">Whose device.</param>
    /// <param name="dtype">Element type.</param>
    /// <param name="rows">Rows.</param>
    /// <param name="columns">Columns.</param>
    /// <returns>A tensor of undefined contents.</returns>
    public static DeviceTensor Create(AdzeContext context, DType dtype, long rows, long columns)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(rows);
        ArgumentOutOfRangeException.ThrowIfNegative(columns);
        ulong bytes = checked((ulong)rows * (ulong)columns * (ulong)dtype.Bytes());
        return new DeviceTensor(new DeviceBuffer(context, bytes), 0, dtype, rows, columns, columns);
    }

    /// <summary>Some of the rows.</summary>
    /// <param name="start">The first.</param>
    /// <param name="count">How many.</param>
    /// <returns>A view of them.</returns>
    public DeviceTensor SliceRows(long start, long count)
    {
        CheckSlice(start, count, Rows);
        // Of one row the stride means nothing, and might lead out of the buffer.
        long skipped = count == 0 || start == 0 ? 0 : checked(start * RowStride);
        ulong offset = OffsetBytes + (ulong)skipped * (ulong)DType.Bytes();
        return new DeviceTensor(Owner(), offset, DType, count, Columns, RowStride);
    }

    /// <summary>Some of the columns.</summary>
    /// <param name="start">The first.</param>
    /// <param name="count">How many.</param>
    /// <returns>A view of them.</returns>
    public DeviceTensor SliceColumns(long start, long count)
    {
        CheckSlice(start, count, Columns);
        ulong skipped = count == 0 || Rows == 0 ? 0 : (ulong)start * (ulong)DType.Bytes();
        return new DeviceTensor(Owner(), OffsetBytes + skipped, DType, Rows, count, RowStride);
    }

    /// <summary>Fills a dense tensor from the host; the span is read before the call returns.</summary>
    /// <typeparam name="T">A type of the element's size, or bytes.</typeparam>
    /// <param name="values">All elements, row by row.</param>
    /// <param name="stream">The stream that orders the copy.</param>
    public void Write<T>(ReadOnlySpan<T> values, AdzeStream stream)
        where T : unmanaged
    {
        CheckHostCopy<T>(values.Length);
        Owner().Write(values, stream, OffsetBytes);
    }

    /// <summary>Reads a dense tensor to the host; done when it returns.</summary>
    /// <typeparam name="T">A type of the element's size, or bytes.</typeparam>
    /// <param name="values">Room for all elements, row by row.</param>
    /// <param name="stream">The stream that orders the copy.</param>
    public void Read<T>(Span<T> values, AdzeStream stream)
        where T : unmanaged
    {
        CheckHostCopy<T>(values.Length);
        Owner().Read(values, stream, OffsetBytes);
    }

    private static void CheckSlice(long start, long count, long length)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(start);
        ArgumentOutOfRangeException.ThrowIfNegative(count);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(start, length);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(count, length - start);
    }

    private DeviceBuffer Owner() => Buffer ?? throw new InvalidOperationException("The tensor is absent.");

    private unsafe void CheckHostCopy<T>(int length)
        where T : unmanaged
    {
        DeviceBuffer owner = Owner();
        if (Rows > 1 && RowStride != Columns)
        {
            throw new InvalidOperationException("The rows are not dense: copy them one by one.");
        }

        Int128 bytes = (Int128)Rows * Columns * DType.Bytes();
        if ((Int128)length * sizeof(T) != bytes)
        {
            throw new ArgumentException(
                $"{length} values of {sizeof(T)} bytes for a {Rows} x {Columns} {DType} tensor of {bytes} bytes " +
                $"in a buffer of {owner.Bytes}.");
        }
    }
}
