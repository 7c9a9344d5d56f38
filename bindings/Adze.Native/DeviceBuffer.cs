namespace Adze.Native;

/// <summary>
/// Device memory. Offsets and sizes are in bytes and 64-bit. It belongs to one thread at a time, and must not be
/// disposed while a stream that runs behind (on a GPU) still uses it: synchronise first. Disposal waits for the device.
/// </summary>
public sealed unsafe class DeviceBuffer : IDisposable
{
    /// <summary>Takes memory, aligned to 256 bytes, contents undefined.</summary>
    /// <param name="context">Whose device.</param>
    /// <param name="bytes">How much; 0 is legal.</param>
    /// <exception cref="AdzeException">Memory ran out.</exception>
    public DeviceBuffer(AdzeContext context, ulong bytes)
        : this(context, bytes, reserve: false)
    {
    }

    private DeviceBuffer(AdzeContext context, ulong bytes, bool reserve)
        : this(context)
    {
        nint created = 0, owner = context.Handle.Raw;
        adze_status status = reserve
            ? adze_buffer_reserve(owner, bytes, &created)
            : adze_buffer_create(owner, bytes, &created);
        Handle.Complete(status, created);
        Address = adze_buffer_data(created);
        Bytes = bytes;
        Granularity = adze_buffer_granularity(created);
    }

    private DeviceBuffer(AdzeContext context, nint data, ulong bytes)
        : this(context)
    {
        nint created = 0;
        adze_status status = adze_buffer_adopt(context.Handle.Raw, data, bytes, &created);
        Handle.Complete(status, created);
        Address = adze_buffer_data(created);
        Bytes = bytes;
    }

    // From here on the new handle keeps the context alive.
    private DeviceBuffer(AdzeContext context)
    {
        ArgumentNullException.ThrowIfNull(context);
        Context = context;
        Handle = new BufferHandle(context.Handle);
    }

    /// <summary>Size.</summary>
    public ulong Bytes { get; }

    /// <summary>Bytes in which a reserved buffer takes memory; 0 for one that has all its memory.</summary>
    public ulong Granularity { get; }

    /// <summary>Device address; 0 for an empty buffer. On cpu it is ordinary memory.</summary>
    public nint Data
    {
        get
        {
            Handle.ThrowIfDisposed();
            return Address;
        }
    }

    internal AdzeContext Context { get; }

    internal BufferHandle Handle { get; }

    internal nint Address { get; }

    /// <summary>A view of device memory that the caller owns and keeps alive.</summary>
    /// <param name="context">Whose device.</param>
    /// <param name="data">Device address.</param>
    /// <param name="bytes">Size of the memory.</param>
    /// <returns>A buffer whose disposal leaves the memory alone.</returns>
    public static DeviceBuffer Adopt(AdzeContext context, nint data, ulong bytes) => new(context, data, bytes);

    /// <summary>
    /// Device addresses that get memory by <see cref="Map"/>, where and when it is wanted: so what grows stays where it is, and
    /// much more can be reserved than the device has. What reaches where no memory is fails.
    /// </summary>
    /// <param name="context">Whose device.</param>
    /// <param name="bytes">How much; at least 1.</param>
    /// <returns>A buffer without memory.</returns>
    /// <exception cref="AdzeException">There are not so many addresses, or the device has no such thing.</exception>
    public static DeviceBuffer Reserve(AdzeContext context, ulong bytes) => new(context, bytes, reserve: true);

    /// <summary>
    /// Gives memory, contents undefined, to what a range of a reserved buffer touches, rounded outwards to
    /// <see cref="Granularity"/>. What has memory keeps it and what is in it.
    /// </summary>
    /// <param name="offset">First byte.</param>
    /// <param name="bytes">How many.</param>
    /// <exception cref="AdzeException">There is not so much memory; then nothing has changed.</exception>
    public void Map(ulong offset, ulong bytes)
    {
        Handle.Acquire();
        try
        {
            NativeCall.Check(adze_buffer_map(Handle.Raw, offset, bytes));
        }
        finally
        {
            Handle.DangerousRelease();
        }
    }

    /// <summary>
    /// Takes the memory back from what lies wholly inside a range of a reserved buffer, once what was put on the stream before
    /// is done.
    /// </summary>
    /// <param name="offset">First byte.</param>
    /// <param name="bytes">How many.</param>
    /// <param name="stream">The stream that used the memory last; it may not be capturing.</param>
    public void Unmap(ulong offset, ulong bytes, AdzeStream stream)
    {
        using NativeCall call = new(stream);
        NativeCall.Check(adze_buffer_unmap(call.Hold(Handle), offset, bytes, call.Stream));
    }

    /// <summary>
    /// Host to device. The span is read before the call returns: where the stream runs behind, the call waits for it.
    /// </summary>
    /// <typeparam name="T">A type without references.</typeparam>
    /// <param name="source">What to write.</param>
    /// <param name="stream">The stream that orders the copy; it may not be capturing.</param>
    /// <param name="offsetBytes">Where to write.</param>
    public void Write<T>(ReadOnlySpan<T> source, AdzeStream stream, ulong offsetBytes = 0)
        where T : unmanaged
    {
        using NativeCall call = BeginHostCopy(stream);
        fixed (T* pointer = source)
        {
            ulong bytes = (ulong)source.Length * (ulong)sizeof(T);
            NativeCall.Check(adze_buffer_write(Handle.Raw, offsetBytes, (nint)pointer, bytes, call.Stream));
            WaitIfBehind(call);
        }
    }

    /// <summary>Device to host; done when it returns.</summary>
    /// <typeparam name="T">A type without references.</typeparam>
    /// <param name="destination">Where to put it.</param>
    /// <param name="stream">The stream that orders the copy; it may not be capturing.</param>
    /// <param name="offsetBytes">Where to read.</param>
    public void Read<T>(Span<T> destination, AdzeStream stream, ulong offsetBytes = 0)
        where T : unmanaged
    {
        using NativeCall call = BeginHostCopy(stream);
        fixed (T* pointer = destination)
        {
            ulong bytes = (ulong)destination.Length * (ulong)sizeof(T);
            NativeCall.Check(adze_buffer_read(Handle.Raw, offsetBytes, (nint)pointer, bytes, call.Stream));
            WaitIfBehind(call);
        }
    }

    /// <summary>Device to device, within one context. The ranges may not overlap.</summary>
    /// <param name="source">Where to read.</param>
    /// <param name="sourceOffset">From which byte.</param>
    /// <param name="offset">To which byte of this buffer.</param>
    /// <param name="bytes">How much.</param>
    /// <param name="stream">The stream that orders the copy.</param>
    public void CopyFrom(DeviceBuffer source, ulong sourceOffset, ulong offset, ulong bytes, AdzeStream stream)
    {
        ArgumentNullException.ThrowIfNull(source);
        using NativeCall call = new(stream);
        nint to = call.Hold(Handle);
        nint from = call.Hold(source.Handle);
        NativeCall.Check(adze_buffer_copy(to, offset, from, sourceOffset, bytes, call.Stream));
    }

    /// <summary>Sets each byte of a range.</summary>
    /// <param name="value">To what.</param>
    /// <param name="stream">The stream that orders it.</param>
    /// <param name="offset">First byte.</param>
    /// <param name="bytes">How many; null is up to the end.</param>
    public void Fill(byte value, AdzeStream stream, ulong offset = 0, ulong? bytes = null)
    {
        using NativeCall call = new(stream);
        ulong count = bytes ?? (offset <= Bytes ? Bytes - offset : 0);
        NativeCall.Check(adze_buffer_fill(call.Hold(Handle), offset, value, count, call.Stream));
    }

    /// <summary>Gives the memory back.</summary>
    public void Dispose() => Handle.Dispose();

    private NativeCall BeginHostCopy(AdzeStream stream)
    {
        ArgumentNullException.ThrowIfNull(stream);
        if (stream.IsCapturing)
        {
            throw new InvalidOperationException(
                "A graph would keep the address of a span, which moves: copy to and from the host outside the capture.");
        }

        NativeCall call = new(stream);
        try
        {
            call.Hold(Handle);
            WaitIfBehind(call);  // fails where the stream's owner captures it
            return call;
        }
        catch
        {
            call.Dispose();
            throw;
        }
    }

    private void WaitIfBehind(in NativeCall call)
    {
        if (!Context.RunsAtOnce)
        {
            NativeCall.Check(adze_stream_synchronize(call.Stream));
        }
    }
}
