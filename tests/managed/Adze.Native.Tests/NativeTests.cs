using System.Diagnostics;
using System.Reflection;

namespace Adze.Native.Tests;

/// <summary>The GoogleTest suites of the native library and of the simulator, so that `dotnet test` is the whole test.</summary>
public sealed class NativeTests
{
    [NativeFact]
    public Task Native_suite_passes() => Passes(NativeBuild.Preset);

    [NativeFact]
    public Task Simulators_own_tests_pass() => Passes("sim");

    private static async Task Passes(string preset)
    {
        if (NativeFactAttribute.Missing is { } missing)
        {
            Assert.Fail(missing);
        }

        ProcessStartInfo start = new("ctest", ["--preset", preset, "--parallel", $"{Environment.ProcessorCount}"])
        {
            WorkingDirectory = Repository.Root,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        using Process process = Process.Start(start)!;
        Task<string> errors = process.StandardError.ReadToEndAsync();
        string output = await process.StandardOutput.ReadToEndAsync() + await errors;
        await process.WaitForExitAsync();
        Assert.True(process.ExitCode == 0, Failures(output));
    }

    // ctest lists every test that passed, too: thousands of characters that nobody wants.
    private static string Failures(string output) =>
        string.Join('\n', output.Split('\n').Where(line => !line.Contains("   Passed ", StringComparison.Ordinal)
            && !line.TrimStart().StartsWith("Start ", StringComparison.Ordinal)));
}

/// <summary>A fact that is skipped, visibly, where CMake found no GoogleTest; on CI it fails instead.</summary>
[AttributeUsage(AttributeTargets.Method)]
public sealed class NativeFactAttribute : FactAttribute
{
    public NativeFactAttribute()
    {
        if (Environment.GetEnvironmentVariable("CI") is not ("true" or "1"))
        {
            // Runners print the name of a skipped test, and few its reason.
            Skip = Missing;
            DisplayName = Skip;
        }
    }

    /// <summary>Why there are no native tests; null when there are.</summary>
    internal static string? Missing =>
        File.ReadLines(Path.Combine(NativeBuild.Folder, "CTestTestfile.cmake"))
            .Contains("subdirs(\"tests/native\")")
            ? null
            : "GoogleTest was not found, so the native tests were not built (Debian, Ubuntu: apt-get install libgtest-dev)";
}

/// <summary>The CMake build that these tests go with; said by the project file.</summary>
internal static class NativeBuild
{
    public static string Preset { get; } = typeof(NativeBuild).Assembly.GetCustomAttributes<AssemblyMetadataAttribute>()
        .Single(attribute => attribute.Key == "AdzePreset").Value!;

    public static string Folder => Repository.Path("build", Preset);
}
