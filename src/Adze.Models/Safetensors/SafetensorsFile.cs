using System.IO.MemoryMappedFiles;
using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

namespace Adze.Models;

/// <summary>A safetensors file, memory-mapped for reading.
/// <para>The header is checked completely when the file is opened; after that, every range is known to lie within the
/// file as it was. Should somebody shorten the file while it is open, touching the lost part of the mapping would end
/// the process (SIGBUS). So the descriptor is kept, and the file's size is asked for again whenever a tensor is taken
/// or sliced: a file that was shortened before that gives a <see cref="ModelFormatException"/>. What remains is the
/// time between this check and the last use of the bytes, which for a weight is the time of packing it; once a model is
/// loaded, nothing touches the mapping. The Copy methods have no such window: they read through the descriptor, where a
/// short file or a failing disk is an ordinary error. Replacing the file by renaming another over it is always
/// safe.</para>
/// <para>Any number of threads may read. Dispose when no thread does.</para></summary>
public sealed unsafe class SafetensorsFile : IDisposable
{
    private readonly SafeFileHandle _handle;
    private readonly long _fileBytes;
    private readonly MemoryMappedFile? _mapping;
    private readonly MemoryMappedViewAccessor? _view;
    private readonly byte* _base;
    private bool _disposed;

    private SafetensorsFile(string path, SafeFileHandle handle)
    {
        Path = path;
        _handle = handle;
        _fileBytes = RandomAccess.GetLength(handle);
        SafetensorsHeader header = SafetensorsHeader.Read(path, handle, _fileBytes);
        (Metadata, Entries) = (header.Metadata, header.Entries);
        if (Entries.Values.All(entry => entry.Bytes == 0))
            return;
        _mapping = MemoryMappedFile.CreateFromFile(
            handle, null, 0, MemoryMappedFileAccess.Read, HandleInheritability.None, leaveOpen: true);
        _view = _mapping.CreateViewAccessor(0, _fileBytes, MemoryMappedFileAccess.Read);
        _view.SafeMemoryMappedViewHandle.AcquirePointer(ref _base);
        _base += _view.PointerOffset;
    }

    /// <summary>Opens a file and checks its header.</summary>
    /// <exception cref="ModelFormatException">The file cannot be read, or is not a correct safetensors
    /// file.</exception>
    public static SafetensorsFile Open(string path)
    {
        SafeFileHandle? handle = null;
        try
        {
            handle = File.OpenHandle(path, FileMode.Open, FileAccess.Read, FileShare.Read);
            return new SafetensorsFile(path, handle);
        }
        catch (Exception exception)
        {
            handle?.Dispose();
            if (UnreadableFile.Explain(path, exception) is { } explained)
                throw explained;
            throw;
        }
    }

    /// <summary>The path as it was given.</summary>
    public string Path { get; }

    /// <summary>The header's <c>__metadata__</c>; empty where there is none.</summary>
    public IReadOnlyDictionary<string, string> Metadata { get; }

    /// <summary>The tensors by name.</summary>
    public IReadOnlyDictionary<string, SafetensorsEntry> Entries { get; }

    /// <summary>The tensor of this name.</summary>
    /// <exception cref="ModelFormatException">The file has no such tensor.</exception>
    public SafetensorsEntry this[string name] => Entries.TryGetValue(name, out SafetensorsEntry? entry)
        ? entry
        : throw new ModelFormatException($"{Path}: tensor {ModelFormatException.Quote(name)} is missing");

    /// <summary>The bytes of a tensor, in the mapping.</summary>
    /// <exception cref="ModelFormatException">The file has no such tensor, or has become shorter since it was
    /// opened.</exception>
    public TensorData GetData(string name)
    {
        SafetensorsEntry entry = this[name];
        CheckSize();
        return new TensorData(this, entry, entry.Bytes == 0 ? null : _base + entry.Offset);
    }

    /// <summary>Copies a part of a tensor's bytes, reading through the descriptor and not the mapping.</summary>
    /// <param name="name">The tensor.</param>
    /// <param name="start">The first byte wanted, from the beginning of the tensor.</param>
    /// <param name="destination">Filled completely.</param>
    /// <exception cref="ModelFormatException">The file has no such tensor, or has become shorter, or cannot be
    /// read.</exception>
    public void CopyBytes(string name, long start, Span<byte> destination)
    {
        SafetensorsEntry entry = this[name];
        ArgumentOutOfRangeException.ThrowIfNegative(start);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(start, entry.Bytes - destination.Length);
        ObjectDisposedException.ThrowIf(_disposed, this);
        try
        {
            for (long offset = entry.Offset + start; destination.Length > 0;)
            {
                int count = RandomAccess.Read(_handle, destination, offset);
                if (count == 0)
                    throw Shortened(RandomAccess.GetLength(_handle));
                destination = destination[count..];
                offset += count;
            }
        }
        catch (Exception exception) when (UnreadableFile.Explain(Path, exception) is { } explained)
        {
            throw explained;
        }
    }

    /// <summary>A copy of a tensor of type F32, F16 or BF16, as floats.</summary>
    /// <exception cref="ModelFormatException">The tensor is missing, has another type or too many elements for an
    /// array, or the file has become shorter.</exception>
    public float[] CopyFloats(string name) => this[name].DType switch
    {
        SafetensorsDType.F32 => Copy<float>(name),
        SafetensorsDType.F16 => Array.ConvertAll(Copy<Half>(name), value => (float)value),
        SafetensorsDType.BF16 =>
            Array.ConvertAll(Copy<ushort>(name), value => BitConverter.UInt32BitsToSingle((uint)value << 16)),
        _ => throw WrongType(name, "F32, F16 or BF16"),
    };

    /// <summary>A copy of a tensor of type I32 or I64, as 32-bit integers.</summary>
    /// <exception cref="ModelFormatException">The tensor is missing, has another type, too many elements for an array
    /// or a value beyond 32 bits, or the file has become shorter.</exception>
    public int[] CopyInt32s(string name) => this[name].DType switch
    {
        SafetensorsDType.I32 => Copy<int>(name),
        SafetensorsDType.I64 => Array.ConvertAll(Copy<long>(name), value => value == (int)value
            ? (int)value
            : throw new ModelFormatException($"{Path}: tensor {ModelFormatException.Quote(name)} holds {value}, " +
                "which is no 32-bit integer")),
        _ => throw WrongType(name, "I32 or I64"),
    };

    /// <summary>Releases the mapping and the descriptor. Views of tensors are invalid from then on.</summary>
    public void Dispose()
    {
        if (_disposed)
            return;
        _disposed = true;
        if (_view is not null)
            _view.SafeMemoryMappedViewHandle.ReleasePointer();
        _view?.Dispose();
        _mapping?.Dispose();
        _handle.Dispose();
    }

    /// <summary>Throws if the file is shorter than its header says, which was not so when it was opened.</summary>
    internal void CheckSize()
    {
        ObjectDisposedException.ThrowIf(_disposed, this);
        long bytes = RandomAccess.GetLength(_handle);
        if (bytes < _fileBytes)
            throw Shortened(bytes);
    }

    internal T[] Copy<T>(string name) where T : unmanaged
    {
        SafetensorsEntry entry = this[name];
        if (entry.Bytes > int.MaxValue)
            throw new ModelFormatException(
                $"{Path}: tensor {ModelFormatException.Quote(name)} of {entry.Bytes} bytes is too large for an array");
        T[] values = new T[entry.Bytes / sizeof(T)];
        CopyBytes(name, 0, MemoryMarshal.AsBytes(values.AsSpan()));
        return values;
    }

    private ModelFormatException WrongType(string name, string wanted) => new(
        $"{Path}: tensor {ModelFormatException.Quote(name)} is {this[name].DType.FormatName()}; expected {wanted}");

    private ModelFormatException Shortened(long bytes) => new(
        $"{Path}: the file was shortened to {bytes} bytes while in use; its header describes {_fileBytes}");
}
