using System.Diagnostics;
using System.Runtime.CompilerServices;

namespace Adze.Native.Tests;

/// <summary>Dispose twice, too early, on another thread, in the wrong order, or never.</summary>
public sealed class LifetimeTests
{
    [Fact]
    public void Disposed_objects_say_so()
    {
        using Bench bench = new();
        DeviceTensor x = bench.Tensor<float>(1, 1, 1), y = bench.Floats(1, 1);
        Weight weight = bench.Weight(1, 1, 1);
        AdzeStream stream = new(bench.Context);
        AdzeEvent awaited = new(bench.Context);
        AttentionPlan plan = new(bench.Context, Operators.PlanOptions);
        bench.Stream.BeginCapture();
        AdzeGraph graph = bench.Stream.EndCapture();
        foreach (IDisposable item in (IDisposable[])[stream, awaited, plan, graph, weight, y.Buffer!])
        {
            item.Dispose();
            item.Dispose();
        }

        Assert.Throws<ObjectDisposedException>(stream.Synchronize);
        Assert.Throws<ObjectDisposedException>(awaited.Synchronize);
        Assert.Throws<ObjectDisposedException>(() => awaited.Record(bench.Stream));
        Assert.Throws<ObjectDisposedException>(() => plan.Update([0], [0], [], bench.Stream));
        Assert.Throws<ObjectDisposedException>(() => graph.Launch(bench.Stream));
        Assert.Throws<ObjectDisposedException>(() => Linear.Run(bench.Stream, x, x, weight));
        Assert.Throws<ObjectDisposedException>(() => bench.Read<float>(y));
        Assert.Throws<ObjectDisposedException>(() => y.Buffer!.Data);
        Assert.Throws<ObjectDisposedException>(() => y.Buffer!.Map(0, 1));
        Assert.Throws<ObjectDisposedException>(() => y.Buffer!.Unmap(0, 1, bench.Stream));
        Assert.Contains(
            nameof(DeviceBuffer),
            Assert.Throws<ObjectDisposedException>(() => Glue.SiluGate(bench.Stream, x, x, y)).ObjectName,
            StringComparison.Ordinal);
    }

    [Fact]
    public void Disposed_context_makes_nothing_new_but_its_objects_work_on()
    {
        AdzeContext context = new(new ContextOptions { Backend = Backend.Cpu });
        AdzeStream stream = new(context);
        DeviceBuffer buffer = new(context, 4);
        context.Dispose();
        context.Dispose();
        Assert.Throws<ObjectDisposedException>(() => new DeviceBuffer(context, 4));
        Assert.Throws<ObjectDisposedException>(() => Sampling.WorkspaceSize(context, 1, 1));

        int[] read = new int[1];
        buffer.Write<int>([42], stream);
        buffer.Read<int>(read, stream);
        Assert.Equal(42, read[0]);
        stream.Dispose();
        Assert.False(context.Handle.IsClosed);
        buffer.Dispose();
        Assert.True(context.Handle.IsClosed);
    }

    [Fact]
    public void A_call_outlives_a_dispose_on_another_thread()
    {
        using Bench bench = new();
        Weight weight = bench.Weight(1, 1, 1);
        NativeCall call = new(bench.Stream);
        call.Hold(weight.Handle);
        bool disposed = new Thread(weight.Dispose).RunToEnd();
        Assert.True(disposed);
        Assert.False(weight.Handle.IsClosed);
        call.Dispose();
        Assert.True(weight.Handle.IsClosed);
    }

    [Fact]
    public void Racing_disposes_never_crash()
    {
        using Bench bench = new();
        for (int round = 0; round < 50; round++)
        {
            Operators operators = new(bench);
            Thread disposer = new(operators.Dispose);
            disposer.Start();
            Exception? error = Record.Exception(() => LaunchFor(TimeSpan.FromSeconds(60)));
            disposer.Join();
            Assert.IsType<ObjectDisposedException>(error);

            void LaunchFor(TimeSpan limit)
            {
                for (Stopwatch watch = Stopwatch.StartNew(); watch.Elapsed < limit;)
                {
                    operators.Launch(bench.Stream);
                }
            }
        }
    }

    [Fact]
    public void Graphs_keep_everything_that_they_captured()
    {
        using Bench bench = new();
        Operators operators = new(bench);
        bench.Stream.BeginCapture();
        operators.Launch(bench.Stream);
        AdzeGraph graph = bench.Stream.EndCapture();
        AdzeHandle[] handles = [.. operators.Handles];
        operators.Dispose();
        Assert.All(handles, handle => Assert.False(handle.IsClosed));
        graph.Launch(bench.Stream);
        graph.Dispose();
        Assert.All(handles, handle => Assert.True(handle.IsClosed));
    }

    [Fact]
    public void Stream_disposed_while_capturing_lets_everything_go()
    {
        Bench bench = new();
        Operators operators = new(bench);
        bench.Stream.BeginCapture();
        operators.Launch(bench.Stream);
        operators.Dispose();
        bench.Dispose();
        Assert.All(operators.Handles, handle => Assert.True(handle.IsClosed));
        Assert.True(bench.Context.Handle.IsClosed);
    }

    [Fact]
    public void Failed_creations_hold_nothing()
    {
        AdzeContext context = new(new ContextOptions { Backend = Backend.Cpu });
        Assert.Equal(
            AdzeStatus.OutOfMemory,
            Assert.Throws<AdzeException>(() => new DeviceBuffer(context, 1UL << 60)).Status);
        Assert.Equal(
            AdzeStatus.OutOfMemory,
            Assert.Throws<AdzeException>(() => DeviceBuffer.Reserve(context, 1UL << 60)).Status);
        Assert.Throws<AdzeException>(() => new Weight(context, DType.I32, new byte[4], 1, 1));
        Assert.Throws<ArgumentException>(() => new Weight(context, DType.F32, new byte[3], 1, 1));
        Assert.Throws<AdzeException>(() => AdzeStream.Adopt(context, 1));
        Assert.Throws<AdzeException>(() => new AttentionPlan(context, Operators.PlanOptions with { PageSize = 0 }));
        context.Dispose();
        Assert.True(context.Handle.IsClosed);
    }

    [Fact]
    public void Finaliser_frees_children_and_context_in_any_order()
    {
        ContextHandle context = Abandon(out WeakReference child);
        for (int i = 0; i < 50 && child.IsAlive; i++)
        {
            GC.Collect();
            GC.WaitForPendingFinalizers();
        }

        Assert.False(child.IsAlive);
        context.Dispose();
        Assert.True(context.IsClosed);
    }

    [Fact]
    public void Adopted_memory_is_left_alone()
    {
        using Bench bench = new();
        DeviceTensor owner = bench.Tensor<float>(1, 2, 1, 2);
        using (DeviceBuffer view = DeviceBuffer.Adopt(bench.Context, owner.Buffer!.Data + 4, 4))
        {
            view.Write<float>([7], bench.Stream);
        }

        Assert.Equal([1, 7], bench.Read<float>(owner));
    }

    [Fact]
    public void Buffers_pass_two_gigabytes()
    {
        using Bench bench = new();
        const ulong Offset = 5UL << 29;
        using DeviceBuffer buffer = new(bench.Context, Offset + 64);
        DeviceTensor tail = new(buffer, Offset, DType.I32, 1, 4, 4);
        tail.Write<int>([1, 2, 3, 4], bench.Stream);
        buffer.CopyFrom(buffer, Offset, Offset + 32, 8, bench.Stream);
        buffer.Fill(0xff, bench.Stream, Offset + 4, 4);
        Assert.Equal([1, -1, 3, 4], bench.Read<int>(tail));
        Assert.Equal([1, 2], bench.Read<int>(new DeviceTensor(buffer, Offset + 32, DType.I32, 1, 2, 2)));
    }

    [Fact]
    public void Empty_buffers_and_spans_are_legal()
    {
        using Bench bench = new();
        using DeviceBuffer empty = new(bench.Context, 0);
        Assert.Equal(0, empty.Data);
        empty.Write<int>([], bench.Stream);
        empty.Read<int>([], bench.Stream);
        empty.Fill(1, bench.Stream);
        DeviceTensor tensor = new(empty, 0, DType.F32, 0, 2, 2);
        Glue.SiluGate(bench.Stream, tensor, tensor, tensor);
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static ContextHandle Abandon(out WeakReference child)
    {
        Bench bench = new();
        Operators operators = new(bench);
        bench.Stream.BeginCapture();
        operators.Launch(bench.Stream);
        AdzeGraph graph = bench.Stream.EndCapture();
        child = new WeakReference(operators.Handles.First(), trackResurrection: true);
        GC.KeepAlive(graph);
        return bench.Context.Handle;
    }
}

internal static class ThreadExtensions
{
    public static bool RunToEnd(this Thread thread)
    {
        thread.Start();
        return thread.Join(TimeSpan.FromSeconds(30));
    }
}
