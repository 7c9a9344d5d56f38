namespace Adze.Native.Tests;

/// <summary>Buffers that take memory where it is mapped.</summary>
public sealed class ReservedBufferTests
{
    [Fact]
    public void Memory_comes_and_goes_and_the_address_stays()
    {
        using Bench bench = new();
        const ulong Bytes = 1UL << 38;
        using DeviceBuffer buffer = DeviceBuffer.Reserve(bench.Context, Bytes);
        ulong granule = buffer.Granularity, far = Bytes - granule;
        Assert.Equal(Bytes, buffer.Bytes);
        Assert.True(granule > 0 && (ulong)buffer.Data % granule == 0);
        Assert.Throws<AdzeException>(() => buffer.Fill(1, bench.Stream, 0, 1));

        nint data = buffer.Data;
        buffer.Map(granule - 1, 2);
        buffer.Map(far, 1);
        buffer.Write<int>([1, 2, 3], bench.Stream, granule - 4);
        buffer.Map(0, 3 * granule);
        buffer.CopyFrom(buffer, granule - 4, far, 12, bench.Stream);
        int[] read = new int[3];
        buffer.Read<int>(read, bench.Stream, far);
        Assert.Equal([1, 2, 3], read);
        Assert.Equal(data, buffer.Data);

        buffer.Unmap(1, 2 * granule - 1, bench.Stream);
        buffer.Fill(1, bench.Stream, 0, granule);
        Assert.Throws<AdzeException>(() => buffer.Fill(1, bench.Stream, granule, 1));
    }

    [Fact]
    public void Other_buffers_have_all_their_memory()
    {
        using Bench bench = new();
        using DeviceBuffer view = DeviceBuffer.Adopt(bench.Context, bench.Workspace.Data, 8);
        Assert.Equal(0UL, bench.Workspace.Granularity);
        Assert.Equal(0UL, view.Granularity);
    }

    [Fact]
    public void Nothing_is_unmapped_in_a_capture()
    {
        using Bench bench = new();
        using DeviceBuffer buffer = DeviceBuffer.Reserve(bench.Context, 100);
        bench.Stream.BeginCapture();
        buffer.Map(0, 100);
        buffer.Fill(7, bench.Stream);
        AdzeException error = Assert.Throws<AdzeException>(() => buffer.Unmap(0, 100, bench.Stream));
        Assert.Equal(AdzeStatus.InvalidState, error.Status);
        using AdzeGraph graph = bench.Stream.EndCapture();
        graph.Launch(bench.Stream);
        byte[] read = new byte[100];
        buffer.Read<byte>(read, bench.Stream);
        Assert.All(read, value => Assert.Equal(7, value));
    }

    [Fact]
    public void Mapping_allocates_nothing_managed()
    {
        using Bench bench = new();
        using DeviceBuffer buffer = DeviceBuffer.Reserve(bench.Context, 1UL << 30);
        buffer.Map(0, 1);
        buffer.Unmap(0, buffer.Granularity, bench.Stream);
        long before = GC.GetAllocatedBytesForCurrentThread();
        for (int i = 0; i < 10; i++)
        {
            buffer.Map(0, 1);
            buffer.Unmap(0, buffer.Granularity, bench.Stream);
        }

        Assert.Equal(before, GC.GetAllocatedBytesForCurrentThread());
    }
}
