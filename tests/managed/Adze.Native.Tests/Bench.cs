namespace Adze.Native.Tests;

/// <summary>A small context and what tests make from it, disposed together.</summary>
internal sealed class Bench : IDisposable
{
    private readonly List<IDisposable> _owned = [];

    public Bench(ContextOptions? options = null)
    {
        Context = new AdzeContext(options ?? new ContextOptions { Backend = Backend.Cpu, NumThreads = 1 });
        Stream = new AdzeStream(Context);
        Workspace = Own(new DeviceBuffer(Context, 1 << 20));
    }

    public AdzeContext Context { get; }

    public AdzeStream Stream { get; }

    /// <summary>Enough for any small call.</summary>
    public DeviceBuffer Workspace { get; }

    /// <summary>A dense tensor on the device with these values; the type follows the values.</summary>
    public DeviceTensor Tensor<T>(long rows, long columns, params ReadOnlySpan<T> values)
        where T : unmanaged
    {
        DType dtype = typeof(T) == typeof(int) ? DType.I32 : typeof(T) == typeof(Half) ? DType.F16 : DType.F32;
        DeviceTensor tensor = DeviceTensor.Create(Context, dtype, rows, columns);
        Own(tensor.Buffer!);
        if (values.IsEmpty)
        {
            tensor.Buffer!.Fill(0xff, Stream);
        }
        else
        {
            tensor.Write(values, Stream);
        }

        return tensor;
    }

    public DeviceTensor Floats(long rows, long columns) => Tensor<float>(rows, columns);

    public Weight Weight(long rows, long columns, params float[] values) =>
        Own(new Weight(Context, DType.F32, System.Runtime.InteropServices.MemoryMarshal.AsBytes<float>(values), rows, columns));

    public T Own<T>(T owned)
        where T : IDisposable
    {
        _owned.Add(owned);
        return owned;
    }

    public T[] Read<T>(DeviceTensor tensor)
        where T : unmanaged
    {
        T[] values = new T[tensor.Rows * tensor.Columns];
        tensor.Read<T>(values, Stream);
        return values;
    }

    public void Dispose()
    {
        _owned.ForEach(owned => owned.Dispose());
        Stream.Dispose();
        Context.Dispose();
    }
}
