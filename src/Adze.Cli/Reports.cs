using System.Globalization;
using Adze.Engine;
using Adze.Engine.Calibration;
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
                Cell(row.LargestError), Cell(row.LargestTolerance), Verdict(row));
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
        console.Out.WriteLine($"{Where(report.Device, report.DType, report.CacheDType)}: {verdict}");
    }

    public static void Write(GenerationStatistics statistics, LanguageModel model, TextWriter writer)
    {
        double firstToken = statistics.TimeToFirstToken.TotalMilliseconds;
        (double prefill, double decode) = (statistics.PrefillTokensPerSecond, statistics.DecodeTokensPerSecond);
        writer.WriteLine(Invariant($"time to first token  {firstToken:0.0} ms"));
        writer.WriteLine(Invariant($"prompt               {statistics.PromptTokens} tokens, {prefill:0.0} tokens/s"));
        writer.WriteLine(Invariant($"completion           {statistics.GeneratedTokens} tokens, {decode:0.0} tokens/s"));
        writer.WriteLine($"on                   {Where(model.Device, model.DType, model.CacheDType)}");
    }

    public static void Write(CalibrationReport report, CliConsole console)
    {
        Table table = Columns("layer", "head", "1 %", "50 %", "99 %", "maxima", "phi", "% in");
        foreach ((HeadLogits head, HeadPhi phi) in report.Heads.Zip(report.Phi))
        {
            (LogitHistogram logits, LogitHistogram maxima) = (head.Logits, head.Maxima);
            AddRow(table,
                Invariant($"{head.Layer}"), Invariant($"{head.Head}"), Invariant($"{logits.Quantile(0.01):0.0}"),
                Invariant($"{logits.Quantile(0.5):0.0}"), Invariant($"{logits.Quantile(0.99):0.0}"),
                Invariant($"{maxima.Least:0.0} to {maxima.Greatest:0.0}"),
                Invariant($"{phi.Phi:0.0}"), Share(phi.Within));
        }
        console.Write(table);

        // Rounded down: 100 is all of them.
        static string Share(double share) => Invariant($"{Math.Floor(share * 1000) / 10:0.0}");
    }

    public static void Write(AttentionBenchReport report, CliConsole console)
    {
        console.Out.WriteLine($"Attention, 32 query heads on 8 KV heads of 128, on {report.Device} ({report.Architecture})");
        Table decode = Columns("batch", "context", "cache", "page", "kernel", "ms", "GB/s", "% of copy");
        foreach (AttentionBenchRow row in report.Rows.Where(row => row.Work != "prefill"))
        {
            AddRow(decode, Invariant($"{row.Batch}"), Invariant($"{row.Context}"), row.Cache, Page(row),
                row.Work == "decode" ? row.Kernel : $"{row.Kernel}, {row.Work}",
                Milliseconds(row), Figure(row, $"{row.BytesPerSecond / 1e9:0.0}"), Figure(row, $"{row.ShareOfCopy * 100:0}"));
        }
        Table prefill = Columns("tokens", "cache", "page", "kernel", "ms", "TFLOP/s", "% of FMA");
        foreach (AttentionBenchRow row in report.Rows.Where(row => row.Work == "prefill"))
        {
            AddRow(prefill, Invariant($"{row.Context}"), row.Cache, Page(row), row.Kernel, Milliseconds(row),
                Figure(row, $"{row.FlopsPerSecond / 1e12:0.000}"),
                row.ShareOfFma is { } ofFma ? Figure(row, $"{ofFma * 100:0}") : "-");
        }
        console.Out.WriteLine("decode");
        console.Write(decode);
        console.Out.WriteLine("prefill, causal");
        console.Write(prefill);
        foreach (string message in report.Rows.Select(row => row.Refused).OfType<string>().Distinct())
            console.Out.WriteLine($"not supported: {message}");

        static string Page(AttentionBenchRow row) => row.PageSize == 0 ? "contiguous" : Invariant($"{row.PageSize}");
        static string Milliseconds(AttentionBenchRow row) => Figure(row, $"{row.Microseconds / 1000:0.000}");
        static string Figure(AttentionBenchRow row, FormattableString value) => row.Refused is null ? Invariant(value) : "-";
    }

    public static string Bytes(ulong bytes) => Invariant($"{bytes / (double)(1UL << 30):0.0} GiB");

    private static Table Columns(params ReadOnlySpan<string> titles)
    {
        Table table = new() { Border = TableBorder.Simple };
        foreach (string title in titles)
            table.AddColumn(new TableColumn(title) { Padding = new Padding(1, 0, 0, 0), NoWrap = true }.RightAligned());
        return table;
    }

    private static void AddRow(Table table, params IEnumerable<string> cells) =>
        table.AddRow(cells.Select(cell => new Text(cell)));

    private static IEnumerable<CountRow> Counts(ValidationReport report) =>
        report.HeldOut is { } heldOut ? [report.Greedy, heldOut] : [report.Greedy];

    private static string Failures(ValidationReport report) => string.Join(", ", [
        .. report.Errors.Where(row => !row.Passed).Select(row => row.Name),
        .. Counts(report).Where(row => !row.Passed).Select(row => row.Name)]);

    private static string Where(DeviceInfo device, DType dtype, DType cache) =>
        $"{CommonOptions.Spell(device.Backend)} ({device.Architecture}), {CommonOptions.Spell(dtype)}"
        + (cache == dtype ? "" : $", KV cache in {CommonOptions.Spell(cache)}");

    private static Text Cell(double value) =>
        new(value == 0 ? "0" : double.IsPositiveInfinity(value) ? "-" : value.ToString("0.00e+00", CultureInfo.InvariantCulture));

    private static Text Verdict(ErrorRow row) =>
        row.Passed && double.IsPositiveInfinity(row.RelativeTolerance) ? new Text("-") : Verdict(row.Passed);

    private static Text Verdict(bool passed) => passed ? new Text("ok", s_good) : new Text("OVER", s_bad);

    private static string Invariant(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);
}
