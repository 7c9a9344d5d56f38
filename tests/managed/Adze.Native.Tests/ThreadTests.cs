namespace Adze.Native.Tests;

public sealed class ThreadTests
{
    [Fact]
    public void Threads_share_a_context()
    {
        using Bench bench = new(new ContextOptions { Backend = Backend.Cpu, NumThreads = 2 });
        Weight weight = bench.Weight(2, 2, 0, 1, 1, 0);
        Parallel.For(0, 4, new ParallelOptions { MaxDegreeOfParallelism = 4 }, thread =>
        {
            using AdzeStream stream = new(bench.Context);
            DeviceTensor x = DeviceTensor.Create(bench.Context, DType.F32, 1, 2);
            DeviceTensor y = DeviceTensor.Create(bench.Context, DType.F32, 1, 2);
            using DeviceBuffer ownX = x.Buffer!, ownY = y.Buffer!, workspace = new(bench.Context, 4096);
            float[] result = new float[2];
            for (int i = 0; i < 500; i++)
            {
                x.Write<float>([thread, i], stream);
                Linear.Run(stream, y, x, weight, workspace: workspace);
                y.Read<float>(result, stream);
                Assert.Equal([i, thread], result);
            }
        });
    }

    [Fact]
    public void Each_thread_reads_its_own_message()
    {
        using Bench bench = new();
        Parallel.For(0, 4, new ParallelOptions { MaxDegreeOfParallelism = 4 }, thread =>
        {
            for (int i = 0; i < 500; i++)
            {
                int device = 1 + thread * 1000 + i;
                AdzeException error =
                    Assert.Throws<AdzeException>(() => AdzeLibrary.GetDeviceInfo(Backend.Cpu, device));
                Assert.Contains($" {device};", error.Message, StringComparison.Ordinal);
            }
        });
    }
}
