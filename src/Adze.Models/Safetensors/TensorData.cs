namespace Adze.Models;

/// <summary>The bytes of one tensor in a memory-mapped file. They may pass 2 GiB, which no span covers, and may begin
/// at any address. A view: it is valid as long as its <see cref="SafetensorsFile"/> is not disposed.</summary>
public readonly unsafe ref struct TensorData
{
    private readonly SafetensorsFile _file;
    private readonly byte* _pointer;

    internal TensorData(SafetensorsFile file, SafetensorsEntry entry, byte* pointer)
    {
        _file = file;
        Entry = entry;
        _pointer = pointer;
    }

    /// <summary>Name, type and shape.</summary>
    public SafetensorsEntry Entry { get; }

    /// <summary>The size in bytes.</summary>
    public long Bytes => Entry.Bytes;

    internal byte* Pointer => _pointer;

    /// <summary>Whether the first byte's address is a multiple of <paramref name="alignment"/>.</summary>
    public bool IsAlignedTo(int alignment) => (nuint)_pointer % (nuint)alignment == 0;

    /// <summary>A part of the bytes. The file's size is checked again: see <see cref="SafetensorsFile"/>.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The range leaves the tensor.</exception>
    /// <exception cref="ModelFormatException">The file has become shorter since it was opened.</exception>
    public ReadOnlySpan<byte> Slice(long start, int length)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(start);
        ArgumentOutOfRangeException.ThrowIfNegative(length);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(start, Bytes - length);
        if (length == 0)
            return [];
        _file.CheckSize();
        return new ReadOnlySpan<byte>(_pointer + start, length);
    }
}
