using System.CommandLine;
using Adze.Native;

namespace Adze.Cli;

/// <summary><c>adze bench</c>: runs the native benchmarks and shows what they say.</summary>
internal static class BenchCommand
{
    public static Command Create(CliConsole console) =>
        new("bench", "Measure kernels with the native benchmarks, against the ceilings of the same run.")
        {
            CreateAttention(console),
        };

    private static Command CreateAttention(CliConsole console)
    {
        Option<bool> json = CommonOptions.Json();
        Option<string[]> results = new("--results")
        {
            HelpName = "FILE",
            AllowMultipleArgumentsPerToken = true,
            Description = "Run nothing; show what adze_bench and bench/peers/attention_peers.py wrote, in one table.",
        };
        CommonOptions common = new();
        Command command = new("attention", """
            Measure attention in the shape of an 8B model, 32 query heads on 8 KV heads of 128: decode in bytes/s and its
            share of a copy's (which counts what it reads and what it writes), prefill in FLOP/s and, on the cpu, its share
            of the multiply-add peak. Formats that the backend does not have are listed with its message.
            """)
        {
            json, results,
        };
        common.AddDeviceTo(command);
        command.SetAction((result, cancellationToken) => Task.Run(() =>
        {
            if (result.GetValue(results) is { Length: > 0 } files)
                return Show(files.Select(File.ReadAllBytes), result.GetValue(json), console);
            (Backend backend, int device) = Resolve(common.Device(result));
            string program = BenchProgram.Find(AppContext.BaseDirectory, backend);
            return RunAttention(program, backend, device, result.GetValue(json), console, cancellationToken);
        }, CancellationToken.None));
        return command;
    }

    internal static int RunAttention(string program, Backend backend, int device, bool json, CliConsole console,
        CancellationToken cancellationToken) => Show([console.WithProgress(progress =>
            BenchProgram.Run(program, "^(decode|drafts|prefill)[/:]", backend, device, progress, cancellationToken))], json, console);

    private static int Show(IEnumerable<byte[]> outputs, bool json, CliConsole console)
    {
        AttentionBenchReport report = AttentionBenchReport.Join([.. outputs.Select(AttentionBenchReport.Parse)]);
        if (json)
            console.Out.WriteLine(JsonOutput.AttentionBench(report));
        else
            Reports.Write(report, console);
        return ExitCode.Ok;
    }

    // A context knows what auto is, and says why a device is not there.
    private static (Backend, int) Resolve((Backend Backend, int Device) asked)
    {
        using AdzeContext context = new(new ContextOptions { Backend = asked.Backend, Device = asked.Device });
        return (context.Info.Backend, context.Info.Device);
    }
}
