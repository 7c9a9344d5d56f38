using System.Globalization;
using Adze.Engine;
using Adze.Engine.Validation;
using Adze.Native;
using Spectre.Console;

namespace Adze.Cli;

using Text = Spectre.Console.Text; // not the namespace Adze.Text

/// <summary>Results in the form that people read.</summary>
internal static class Reports
{
    private static readonly Style s_good = new(Color.Green);
    private static readonly Style s_bad = new(Color.Red, decoration: Decoration.Bold);

    public static void Write(ValidationReport report, CliConsole console)
    {
        Table errors = new() { Border = TableBorder.Simple };
        errors.AddColumn("");
        foreach (string title in (string[])["relative error", "tolerance", "largest error", "tolerance"])
            errors.AddColumn(new TableColumn(title).RightAligned());
        errors.AddColumn("");
        foreach (ErrorRow row in report.Errors)
        {
            errors.AddRow(new Text(row.Name), Cell(row.RelativeError), Cell(row.RelativeTolerance),
                Cell(row.LargestError), Cell(row.LargestTolerance), Verdict(row.Passed));
        }
        console.Write(errors);

        Table counts = new() { Border = TableBorder.Simple };
        counts.AddColumns(new TableColumn(""), new TableColumn("right").RightAligned(),
            new TableColumn("required").RightAligned(), new TableColumn(""));
        foreach (CountRow row in Counts(report))
        {
            string required = row.RequiredShare == 0
                ? "for information"
                : Invariant($"{row.RequiredShare * 100:0.#} %");
            counts.AddRow(new Text(row.Name), new Text(Invariant($"{row.Right}/{row.Total}")), new Text(required),
                row.RequiredShare == 0 ? new Text("-") : Verdict(row.Passed));
        }
        console.Write(counts);
        string verdict = report.Passed ? "passed" : $"FAILED: {Failures(report)}";
        console.Out.WriteLine($"{Where(report.Device, report.DType)}: {verdict}");
    }

    public static void Write(GenerationStatistics statistics, LanguageModel model, TextWriter writer)
    {
        double firstToken = statistics.TimeToFirstToken.TotalMilliseconds;
        (double prefill, double decode) = (statistics.PrefillTokensPerSecond, statistics.DecodeTokensPerSecond);
        writer.WriteLine(Invariant($"time to first token  {firstToken:0.0} ms"));
        writer.WriteLine(Invariant($"prompt               {statistics.PromptTokens} tokens, {prefill:0.0} tokens/s"));
        writer.WriteLine(Invariant($"completion           {statistics.GeneratedTokens} tokens, {decode:0.0} tokens/s"));
        writer.WriteLine($"on                   {Where(model.Device, model.DType)}");
    }

    public static string Bytes(ulong bytes) => Invariant($"{bytes / (double)(1UL << 30):0.0} GiB");

    private static IEnumerable<CountRow> Counts(ValidationReport report) =>
        report.HeldOut is { } heldOut ? [report.Greedy, heldOut] : [report.Greedy];

    private static string Failures(ValidationReport report) => string.Join(", ", [
        .. report.Errors.Where(row => !row.Passed).Select(row => row.Name),
        .. Counts(report).Where(row => !row.Passed).Select(row => row.Name)]);

    private static string Where(DeviceInfo device, DType dtype) =>
        $"{CommonOptions.Spell(device.Backend)} ({device.Architecture}), {CommonOptions.Spell(dtype)}";

    private static Text Cell(double value) =>
        new(value == 0 ? "0" : value.ToString("0.00e+00", CultureInfo.InvariantCulture));

    private static Text Verdict(bool passed) => passed ? new Text("ok", s_good) : new Text("OVER", s_bad);

    private static string Invariant(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);
}
