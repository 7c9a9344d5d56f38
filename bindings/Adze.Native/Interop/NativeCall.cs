using System.Diagnostics;
using System.Runtime.CompilerServices;

namespace Adze.Native;

/// <summary>
/// One call on a stream: holds every object whose address goes into it, so that a Dispose on another thread waits for
/// its end. Lives on the stack and allocates nothing.
/// </summary>
internal ref struct NativeCall
{
    private readonly AdzeStream _stream;
    private Slots _held;
    private int _count;

    public NativeCall(AdzeStream stream)
    {
        ArgumentNullException.ThrowIfNull(stream);
        _stream = stream;
        stream.Handle.Acquire();
        _held[_count++] = stream.Handle;
    }

    public readonly nint Stream => _stream.Handle.Raw;

    public static void Check(adze_status status)
    {
        if (status != adze_status.ADZE_OK)
        {
            throw AdzeException.FromLastError(status);
        }
    }

    /// <summary>Keeps an object alive until the call is over, or, in a capture, until its graph is gone.</summary>
    public nint Hold(AdzeHandle handle)
    {
        Debug.Assert(_count < Slots.Length, "A call names more objects than NativeCall has room for.");
        handle.Acquire();
        _held[_count++] = handle;
        _stream.Handle.Captured?.Add(handle);
        return handle.Raw;
    }

    /// <summary>A buffer whose bytes the call reaches by address.</summary>
    public nint Hold(DeviceBuffer buffer, [CallerArgumentExpression(nameof(buffer))] string name = "")
    {
        ArgumentNullException.ThrowIfNull(buffer, name);
        if (!ReferenceEquals(buffer.Context, _stream.Context))
        {
            throw new ArgumentException("The memory belongs to another context than the stream.", name);
        }

        Hold(buffer.Handle);
        return buffer.Address;
    }

    public adze_tensor Tensor(in DeviceTensor tensor, [CallerArgumentExpression(nameof(tensor))] string name = "")
    {
        if (tensor.Buffer is not { } buffer)
        {
            return default;
        }

        nint data = Hold(buffer, name);
        return new adze_tensor
        {
            // An empty buffer has no address; an offset into it is 0.
            data = data + (nint)tensor.OffsetBytes,
            rows = tensor.Rows,
            columns = tensor.Columns,
            row_stride = tensor.RowStride,
            dtype = (adze_dtype)tensor.DType,
        };
    }

    public nint Workspace(DeviceBuffer? workspace, out ulong bytes)
    {
        bytes = workspace?.Bytes ?? 0;
        return workspace is null ? 0 : Hold(workspace);
    }

    public void Dispose()
    {
        while (_count > 0)
        {
            _held[--_count]!.DangerousRelease();
        }
    }

    [InlineArray(Length)]
    private struct Slots
    {
        public const int Length = 16;
        private AdzeHandle? _first;
    }
}
