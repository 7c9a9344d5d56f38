using System.Diagnostics;
using Adze.Native;

namespace Adze.Cli;

/// <summary>The native benchmarks, <c>adze_bench</c>: where they are, and a run of them.</summary>
internal static class BenchProgram
{
    private const string Name = "adze_bench";

    /// <summary>The program for a backend: beside this one, or where CMake puts it in the checkout around it.</summary>
    /// <exception cref="FileNotFoundException">It is not built; the message is the command that does.</exception>
    public static string Find(string directory, Backend backend)
    {
        string preset = backend == Backend.Cuda ? "cuda" : "cpu"; // sim and hip are plug-ins
        List<string> places = [Path.Combine(directory, Name)];
        for (DirectoryInfo? root = new(directory); root is not null; root = root.Parent)
        {
            if (File.Exists(Path.Combine(root.FullName, "CMakePresets.json")))
                places.Add(Path.Combine(root.FullName, "build", preset, Name));
        }
        return places.Find(File.Exists) ?? throw new FileNotFoundException(
            $"{Name} is not built; build it (with Google Benchmark, Debian: libbenchmark-dev): cmake --preset {preset} && "
            + $"cmake --build --preset {preset} --target {Name}");
    }

    /// <summary>Runs the benchmarks whose names match, and gives what it says in Google Benchmark's JSON.</summary>
    /// <exception cref="BenchFailedException">It did not end well.</exception>
    public static byte[] Run(string program, string filter, Backend backend, int device, Action<string, double>? progress,
        CancellationToken cancellationToken)
    {
        string output = Path.GetTempFileName();
        try
        {
            string[] select = [$"--benchmark_filter={filter}"];
            int total = Lines(program, [.. select, "--benchmark_list_tests"], backend, device, null, cancellationToken);
            int done = 0;
            Lines(program, [.. select, $"--benchmark_out={output}", "--benchmark_out_format=json"], backend, device, line =>
            {
                if (line.Contains("_median ", StringComparison.Ordinal))
                    progress?.Invoke("measuring", (double)++done / total);
            }, cancellationToken);
            return File.ReadAllBytes(output);
        }
        finally
        {
            File.Delete(output);
        }
    }

    /// <summary>How many lines it wrote to standard output.</summary>
    private static int Lines(string program, string[] arguments, Backend backend, int device, Action<string>? onLine,
        CancellationToken cancellationToken)
    {
        ProcessStartInfo start = new(program, arguments) { RedirectStandardOutput = true, RedirectStandardError = true };
        start.Environment["ADZE_BENCH_DEVICE"] = $"{CommonOptions.Spell(backend)}:{device}";
        using Process process = Process.Start(start)!;
        using CancellationTokenRegistration stop = cancellationToken.Register(process.Kill);
        Task<string> errors = process.StandardError.ReadToEndAsync(CancellationToken.None);
        int lines = 0;
        for (; process.StandardOutput.ReadLine() is { } line; lines++)
            onLine?.Invoke(line);
        process.WaitForExit();
        cancellationToken.ThrowIfCancellationRequested();
        return process.ExitCode == 0 ? lines : throw new BenchFailedException(
            $"{program} ended with {process.ExitCode}: {errors.Result.TrimEnd().Split('\n')[^1]}");
    }
}

/// <summary>The native benchmarks failed; the message says how.</summary>
internal sealed class BenchFailedException(string message) : Exception(message);
