namespace Adze.Native;

/// <summary>
/// A weight of <see cref="Linear"/>, packed once into the layout that the kernels want. Threads may share it. Making one
/// takes device memory and waits until it is packed; on a GPU disposal waits for the device.
/// </summary>
public sealed unsafe class Weight : IDisposable
{
    /// <summary>Packs a weight.</summary>
    /// <param name="context">Whose device.</param>
    /// <param name="dtype">F32, F16 or BF16; the packed weight keeps it.</param>
    /// <param name="data">[rows, columns], row-major, aligned to the element; read before the call returns.</param>
    /// <param name="rows">Output features.</param>
    /// <param name="columns">Input features.</param>
    /// <exception cref="AdzeException">Memory ran out, or an argument is wrong.</exception>
    public Weight(AdzeContext context, DType dtype, ReadOnlySpan<byte> data, long rows, long columns)
        : this(context, dtype, rows, columns)
    {
        (int elements, int rest) = Math.DivRem(data.Length, dtype.Bytes());
        if (rest != 0 || (Int128)rows * columns != elements)
        {
            Handle.Dispose();
            throw new ArgumentException(
                $"{data.Length} bytes for a {rows} x {columns} {dtype} weight.", nameof(data));
        }

        fixed (byte* pointer = data)
        {
            Create(context, pointer);
        }
    }

    /// <summary>Packs a weight of any size.</summary>
    /// <param name="context">Whose device.</param>
    /// <param name="dtype">F32, F16 or BF16; the packed weight keeps it.</param>
    /// <param name="data">[rows, columns], row-major, aligned to the element; read before the call returns.</param>
    /// <param name="rows">Output features.</param>
    /// <param name="columns">Input features.</param>
    internal Weight(AdzeContext context, DType dtype, void* data, long rows, long columns)
        : this(context, dtype, rows, columns)
    {
        Create(context, data);
    }

    private Weight(AdzeContext context, DType dtype, long rows, long columns)
    {
        ArgumentNullException.ThrowIfNull(context);
        _ = dtype.Bytes();
        (DType, Rows, Columns, Context) = (dtype, rows, columns, context);
        Handle = new WeightHandle(context.Handle);
    }

    /// <summary>Element type.</summary>
    public DType DType { get; }

    /// <summary>Output features.</summary>
    public long Rows { get; }

    /// <summary>Input features.</summary>
    public long Columns { get; }

    /// <summary>Device memory that the packed weight takes.</summary>
    public ulong Bytes { get; private set; }

    internal AdzeContext Context { get; }

    internal WeightHandle Handle { get; }

    /// <summary>Gives the packed weight up.</summary>
    public void Dispose() => Handle.Dispose();

    private void Create(AdzeContext context, void* data)
    {
        adze_weight_desc desc = new()
        {
            struct_size = (uint)sizeof(adze_weight_desc),
            dtype = (adze_dtype)DType,
            data = (nint)data,
            rows = Rows,
            columns = Columns,
        };
        nint created = 0;
        adze_status status = adze_weight_create(context.Handle.Raw, (nint)(&desc), &created);
        Handle.Complete(status, created);
        Bytes = adze_weight_bytes(created);
    }
}
