using System.Diagnostics;

namespace Adze.Cli.Tests;

/// <summary>What a run of the command gave.</summary>
internal sealed record CliResult(int Code, string Out, string Error)
{
    /// <summary>Fails unless the run ended with this code and one line of explanation, and gave no result.</summary>
    public void ExpectRefusal(int code, string message)
    {
        Assert.True(code == Code, $"exit code {Code}, expected {code}: {Error}");
        Assert.Equal("", Out);
        string line = Error.Split('\n')[0];
        Assert.StartsWith("adze: ", line, StringComparison.Ordinal);
        Assert.Contains(message, line, StringComparison.Ordinal);
        Assert.DoesNotContain("   at ", Error, StringComparison.Ordinal);
        Assert.DoesNotContain("Exception", Error, StringComparison.Ordinal);
    }
}

/// <summary>Runs the command inside the test, or, where the process matters, as one.</summary>
internal static class Cli
{
    private static readonly string s_root = FindRoot();

    public static string Orders => Path.Combine(s_root, "models/orders");

    public static string OrdersReference => Path.Combine(s_root, "tests/reference/orders.safetensors");

    public static string Odd => Path.Combine(s_root, "tests/reference/odd");

    public static string OddReference => Path.Combine(Odd, "reference.safetensors");

    public static CliResult Run(params string[] args)
    {
        using StringWriter output = new(), error = new();
        int code = CliApp.RunAsync(args, new CliConsole(output, error)).GetAwaiter().GetResult();
        return new CliResult(code, output.ToString(), error.ToString());
    }

    public static ProcessStartInfo Command(params string[] args)
    {
        ProcessStartInfo start = new(Path.Combine(AppContext.BaseDirectory, "adze"), args)
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        start.Environment["DOTNET_ROOT"] = DotnetRoot();
        return start;
    }

    public static CliResult RunProcess(ProcessStartInfo start)
    {
        using Process process = Process.Start(start)!;
        Task<string> error = process.StandardError.ReadToEndAsync();
        string output = process.StandardOutput.ReadToEnd();
        process.WaitForExit();
        return new CliResult(process.ExitCode, output, error.Result);
    }

    // The host that runs these tests lies in the root: DOTNET_ROOT/shared/Microsoft.NETCore.App/VERSION/.
    private static string DotnetRoot() => Path.GetFullPath(
        Path.Combine(System.Runtime.InteropServices.RuntimeEnvironment.GetRuntimeDirectory(), "../../.."));

    private static string FindRoot()
    {
        DirectoryInfo? directory = new(AppContext.BaseDirectory);
        while (directory is not null && !File.Exists(Path.Combine(directory.FullName, "Directory.Packages.props")))
            directory = directory.Parent;
        return directory?.FullName ?? throw new DirectoryNotFoundException("the tests run inside the source tree");
    }
}

/// <summary>A copy of a model folder that a test may spoil.</summary>
internal sealed class ModelCopy : IDisposable
{
    public ModelCopy(string source)
    {
        System.IO.Directory.CreateDirectory(Directory);
        foreach (string file in System.IO.Directory.GetFiles(source))
            File.Copy(file, this[Path.GetFileName(file)]);
    }

    public string Directory { get; } = Path.Combine(Path.GetTempPath(), $"adze-{Guid.NewGuid():n}");

    public string this[string file] => Path.Combine(Directory, file);

    public void Dispose() => System.IO.Directory.Delete(Directory, recursive: true);
}
