namespace Adze.Native.Tests;

/// <summary>A step of an engine makes thousands of calls: none may feed the garbage collector.</summary>
public sealed class AllocationTests
{
    [Fact]
    public void Calls_allocate_nothing()
    {
        using Bench bench = new();
        using Operators operators = new(bench);
        using AdzeEvent start = new(bench.Context), end = new(bench.Context);
        DeviceTensor a = bench.Floats(4, 4), b = bench.Floats(4, 4);
        Weight weight = bench.Weight(1, 1, 1);
        float[] host = new float[8];
        bench.Stream.BeginCapture();
        operators.Launch(bench.Stream);
        using AdzeGraph graph = bench.Stream.EndCapture();

        (string Name, Action Call)[] calls =
        [
            ("plan update", operators.UpdatePlan),
            ("operators", () => operators.Launch(bench.Stream)),
            ("graph", () => graph.Launch(bench.Stream)),
            ("record", () => start.Record(bench.Stream)),
            ("record", () => end.Record(bench.Stream)),
            ("wait", () => bench.Stream.WaitEvent(start)),
            ("event", end.Synchronize),
            ("elapsed", () => AdzeEvent.ElapsedMicroseconds(start, end)),
            ("write", () => a.SliceRows(1, 2).Write<float>(host, bench.Stream)),
            ("copy", () => b.Buffer!.CopyFrom(a.Buffer!, 0, 0, 64, bench.Stream)),
            ("fill", () => b.Buffer!.Fill(1, bench.Stream, 32)),
            ("read", () => b.SliceRows(2, 2).Read<float>(host, bench.Stream)),
            ("synchronize", bench.Stream.Synchronize),
            ("linear workspace", () => Linear.WorkspaceSize(weight, 4)),
            ("sampling workspace", () => Sampling.WorkspaceSize(bench.Context, 4, 100)),
            ("frequencies", () => Glue.RopeFrequencies(new RopeScaling(100), host)),
        ];
        Assert.All(calls, call => Assert.Equal((call.Name, 0L), (call.Name, Allocated(call.Call))));
    }

    // Of 100 calls after the first, which compiles.
    private static long Allocated(Action call)
    {
        call();
        long before = GC.GetAllocatedBytesForCurrentThread();
        for (int i = 0; i < 100; i++)
        {
            call();
        }

        return GC.GetAllocatedBytesForCurrentThread() - before;
    }
}
