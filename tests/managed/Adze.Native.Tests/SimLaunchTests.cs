using System.Reflection;
using System.Text.RegularExpressions;
using Adze.Native.Interop;
using static Adze.Native.Interop.NativeMethods.__Internal;
using Counts = Adze.Native.Interop.adze_sim_launch.__Internal;

namespace Adze.Native.Tests;

/// <summary>What the simulator counted, as C# sees it.</summary>
public sealed unsafe class SimLaunchTests
{
    private static readonly ContextOptions Simulated = new() { Backend = Backend.Sim, NumThreads = 1 };

    [Fact]
    public void Gate_moves_each_element_once()
    {
        using Bench bench = new(Simulated);
        const int Rows = 4, Columns = 256;
        float[] ones = [.. Enumerable.Repeat(1f, Rows * Columns)];
        DeviceTensor gate = bench.Tensor<float>(Rows, Columns, ones), up = bench.Tensor<float>(Rows, Columns, ones);
        Glue.SiluGate(bench.Stream, bench.Floats(Rows, Columns), gate, up);
        SimLaunch launch = bench.Context.GetSimLaunch();
        const ulong Bytes = Rows * Columns * sizeof(float);
        Assert.Equal("silu_gate", launch.Kernel);
        Assert.Equal((2 * Bytes, Bytes), (launch.GlobalReadBytes, launch.GlobalWriteBytes));
        Assert.Equal((2 * Bytes / 32, Bytes / 32), (launch.GlobalReadSectors, launch.GlobalWriteSectors));
        Assert.Equal(0UL, launch.MatrixInstructions);
    }

    [Fact]
    public void Every_field_is_the_native_one_of_its_name()
    {
        using Bench bench = new(Simulated);
        Linear.Run(bench.Stream, bench.Floats(40, 96), bench.Floats(40, 64), bench.Weight(96, 64, new float[96 * 64]), default, bench.Workspace);
        SimLaunch launch = bench.Context.GetSimLaunch();
        Counts native = new() { struct_size = (uint)sizeof(Counts) };
        Assert.Equal(adze_status.ADZE_OK, adze_sim_counters(bench.Context.Handle.Raw, 0, (nint)(&native)));
        Assert.Equal((native.grid_x, native.grid_y, native.grid_z), launch.Grid);
        Assert.Equal(1, launch.Grid.Z);
        Assert.NotEqual("", launch.Kernel);
        Assert.Equal((int)native.block_threads, launch.BlockThreads);
        PropertyInfo[] counts =
            [.. typeof(SimLaunch).GetProperties().Where(property => property.PropertyType == typeof(ulong))];
        Assert.Equal(13, counts.Length);
        foreach (PropertyInfo count in counts)
        {
            string name = Regex.Replace(count.Name, "(?<!^)([A-Z])", "_$1").ToLowerInvariant();
            Assert.Equal((name, typeof(Counts).GetField(name, BindingFlags.Instance | BindingFlags.NonPublic)!.GetValue(native)), (name, count.GetValue(launch)));
        }
    }

    [Fact]
    public void Launches_are_counted_back()
    {
        using Bench bench = new(Simulated);
        AdzeException none = Assert.Throws<AdzeException>(() => bench.Context.GetSimLaunch());
        Assert.Equal(AdzeStatus.InvalidArgument, none.Status);
        DeviceTensor x = bench.Tensor<float>(1, 64, new float[64]), y = bench.Floats(1, 64);
        Glue.SiluGate(bench.Stream, y, x, x);
        Glue.RmsNorm(bench.Stream, y, x, x, 1e-5f);
        Assert.Equal("silu_gate", bench.Context.GetSimLaunch(1).Kernel);
        Assert.NotEqual("silu_gate", bench.Context.GetSimLaunch(0).Kernel);
        foreach (int back in (int[])[-1, 2, 256])
        {
            AdzeException error = Assert.Throws<AdzeException>(() => bench.Context.GetSimLaunch(back));
            Assert.Equal(AdzeStatus.InvalidArgument, error.Status);
            Assert.Contains($"back is {back}", error.Message, StringComparison.Ordinal);
        }
    }

    [Fact]
    public void Only_the_simulator_counts()
    {
        using Bench bench = new();
        AdzeException error = Assert.Throws<AdzeException>(() => bench.Context.GetSimLaunch());
        Assert.Equal(AdzeStatus.NotSupported, error.Status);
        Assert.StartsWith("adze_sim_counters: ", error.Message, StringComparison.Ordinal);
    }
}
