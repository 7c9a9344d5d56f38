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
        Option<bool> json = CommonOptions.Json();
        Command command = new("info", "Show the library's version and build, the backends and their devices.") { json };
        command.SetAction(result => Run(console, result.GetValue(json)));
        return command;
    }

    private static int Run(CliConsole console, bool json)
    {
        BackendReport[] backends = [.. Enum.GetValues<Backend>().Where(b => b != Backend.Auto).Select(Ask)];
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
        foreach ((Backend backend, DeviceInfo device) in backends.SelectMany(r => r.Devices, (r, d) => (r.Backend, d)))
        {
            table.AddRow(new Text(CommonOptions.Spell(backend)), new Text($"{device.Device}"), new Text(device.Name),
                new Text(device.Architecture), new Text(Reports.Bytes(device.MemoryBytes)));
        }
        console.Write(table);
        // Not in the table: a reason is one line, which a table would break.
        foreach (BackendReport report in backends.Where(report => report.Unavailable is not null))
            console.Out.WriteLine($"  {CommonOptions.Spell(report.Backend),-5} -  {report.Unavailable}");
        return ExitCode.Ok;
    }

    private static BackendReport Ask(Backend backend)
    {
        try
        {
            int count = AdzeLibrary.DeviceCount(backend);
            DeviceInfo[] devices = [.. Enumerable.Range(0, count).Select(i => AdzeLibrary.GetDeviceInfo(backend, i))];
            return new BackendReport(backend, devices, count == 0 ? "no device" : null);
        }
        catch (AdzeException exception)
        {
            return new BackendReport(backend, [], exception.Message);
        }
    }
}
