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
}
