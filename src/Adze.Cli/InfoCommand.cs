using System.CommandLine;
using Adze.Native;
using Spectre.Console;

namespace Adze.Cli;

using Text = Spectre.Console.Text; // not the namespace Adze.Text

/// <summary>A backend and what it finds: devices, or why it has none.</summary>
internal sealed record BackendReport(Backend Backend, IReadOnlyList<DeviceInfo> Devices, string? Unavailable);

/// <summary><c>adze info</c>: the library and the devices.</summary>
internal static class InfoCommand
{
    public static Command Create(CliConsole console)
    {
        Option<Backend> backend = CommonOptions.OneBackend();
        Option<bool> json = CommonOptions.Json();
        Command command = new("info", "Show the library's version and build, the backends and their devices.") { backend, json };
        command.SetAction(result => Run(console, result.GetValue(backend), result.GetValue(json)));
        return command;
    }

    private static int Run(CliConsole console, Backend backend, bool json)
    {
        // Of several it is worth knowing which are missing; the one that was asked for has to be there.
        BackendReport[] backends = backend == Backend.Auto
            ? [.. Enum.GetValues<Backend>().Where(b => b != Backend.Auto).Select(AskIfThere)]
            : [Ask(backend)];
        if (json)
        {
            console.Out.WriteLine(JsonOutput.Info(backends));
            return ExitCode.Ok;
        }
        console.Out.WriteLine($"adze {AdzeLibrary.Version}, ABI {AdzeLibrary.AbiVersion}");
        console.Out.WriteLine(AdzeLibrary.BuildInfo);
        console.Out.WriteLine();
        Table table = new() { Border = TableBorder.Simple };
        table.AddColumns("backend", "device", "name", "architecture", "memory");
        foreach ((Backend of, DeviceInfo device) in backends.SelectMany(r => r.Devices, (r, d) => (r.Backend, d)))
        {
            table.AddRow(new Text(CommonOptions.Spell(of)), new Text($"{device.Device}"), new Text(device.Name),
                new Text(device.Architecture), new Text(Reports.Bytes(device.MemoryBytes)));
        }
        console.Write(table);
        // Not in the table: a reason is one line, which a table would break.
        foreach (BackendReport report in backends.Where(report => report.Unavailable is not null))
            console.Out.WriteLine($"  {CommonOptions.Spell(report.Backend),-5} -  {report.Unavailable}");
        return ExitCode.Ok;
    }

    private static BackendReport AskIfThere(Backend backend)
    {
        try
        {
            return Ask(backend);
        }
        catch (AdzeException exception)
        {
            return new BackendReport(backend, [], exception.Message);
        }
    }

    private static BackendReport Ask(Backend backend)
    {
        int count = AdzeLibrary.DeviceCount(backend);
        if (count == 0)
            _ = AdzeLibrary.GetDeviceInfo(backend, 0); // says why
        return new BackendReport(
            backend, [.. Enumerable.Range(0, count).Select(i => AdzeLibrary.GetDeviceInfo(backend, i))], null);
    }
}
