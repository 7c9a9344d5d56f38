using System.Runtime.InteropServices;
using Adze.Native;

namespace Adze.Models;

/// <summary>Moves tensors of a checkpoint to the device. What it makes is added to <paramref name="owned"/>, whose
/// owner disposes it.</summary>
internal sealed unsafe class WeightLoader(
    AdzeContext context, AdzeStream stream, Checkpoint checkpoint, List<IDisposable> owned, IProgress<double>? progress)
{
    private const int ChunkBytes = 8 << 20;

    private readonly long _totalBytes = checkpoint.TensorNames.Sum(name => checkpoint[name].Bytes);
    private long _loadedBytes;

    /// <summary>Device memory of all that was loaded.</summary>
    public ulong Bytes { get; private set; }

    /// <summary>A matrix that is multiplied with, packed for the kernels.</summary>
    public Weight Packed(string name)
    {
        TensorData data = checkpoint.GetData(name);
        DType dtype = TypeOf(data.Entry);
        (long rows, long columns) = (data.Entry.Shape[0], data.Entry.Shape[1]);
        // Tensors may begin at any byte, kernels read whole elements.
        void* copy = data.IsAlignedTo(dtype.Bytes()) ? null : AlignedCopy(name, data.Bytes);
        try
        {
            Weight weight = Own(new Weight(context, dtype, copy == null ? data.Pointer : copy, rows, columns));
            Count(weight.Bytes, data.Bytes);
            return weight;
        }
        finally
        {
            NativeMemory.Free(copy);
        }
    }

    /// <summary>A matrix that rows are taken from.</summary>
    public DeviceTensor Matrix(string name)
    {
        SafetensorsEntry entry = checkpoint[name];
        return Tensor(name, entry.Shape[0], entry.Shape[1]);
    }

    /// <summary>A tensor of one dimension, as one row.</summary>
    public DeviceTensor Vector(string name) => Tensor(name, 1, checkpoint[name].Shape[0]);

    /// <summary>Values that are in no file, as one row of F32.</summary>
    public DeviceTensor Upload(ReadOnlySpan<float> values)
    {
        DeviceTensor tensor = DeviceTensor.Create(context, DType.F32, 1, values.Length);
        Own(tensor.Buffer!).Write(values, stream);
        Count(tensor.Buffer!.Bytes, 0);
        return tensor;
    }

    private static DType TypeOf(SafetensorsEntry entry) => entry.DType switch
    {
        SafetensorsDType.F32 => DType.F32,
        SafetensorsDType.F16 => DType.F16,
        SafetensorsDType.BF16 => DType.BF16,
        _ => throw new ModelFormatException($"tensor {ModelFormatException.Quote(entry.Name)} is {entry.Description}"),
    };

    private DeviceTensor Tensor(string name, long rows, long columns)
    {
        TensorData data = checkpoint.GetData(name);
        DeviceTensor tensor = DeviceTensor.Create(context, TypeOf(data.Entry), rows, columns);
        DeviceBuffer buffer = Own(tensor.Buffer!);
        for (long start = 0; start < data.Bytes; start += ChunkBytes)
            buffer.Write(data.Slice(start, (int)Math.Min(ChunkBytes, data.Bytes - start)), stream, (ulong)start);
        Count(buffer.Bytes, data.Bytes);
        return tensor;
    }

    private void* AlignedCopy(string name, long bytes)
    {
        byte* copy = (byte*)NativeMemory.Alloc((nuint)bytes);
        SafetensorsFile file = checkpoint.FileOf(name);
        try
        {
            for (long start = 0; start < bytes; start += ChunkBytes)
                file.CopyBytes(name, start, new Span<byte>(copy + start, (int)Math.Min(ChunkBytes, bytes - start)));
            return copy;
        }
        catch
        {
            NativeMemory.Free(copy);
            throw;
        }
    }

    private T Own<T>(T made) where T : IDisposable
    {
        owned.Add(made);
        return made;
    }

    private void Count(ulong deviceBytes, long fileBytes)
    {
        Bytes += deviceBytes;
        _loadedBytes += fileBytes;
        progress?.Report(Math.Min(1.0, (double)_loadedBytes / _totalBytes));
    }
}
