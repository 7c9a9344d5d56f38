using System.Globalization;
using System.Text.Json;

namespace Adze.Cli;

/// <summary>One shape of attention: medians, or why there are none.</summary>
/// <param name="Work">decode, drafts:TOKENS or prefill.</param>
/// <param name="Batch">Sequences.</param>
/// <param name="Context">Tokens of each.</param>
/// <param name="Cache">Type of the KV cache.</param>
/// <param name="PageSize">In tokens; 0 where a sequence is one page.</param>
/// <param name="Kernel">By its softmax, stable or unified; or a peer's name.</param>
/// <param name="Microseconds">Of one run.</param>
/// <param name="BytesPerSecond">Of keys, values, queries and output, each once.</param>
/// <param name="ShareOfCopy">Of the copy measured in the same run.</param>
/// <param name="FlopsPerSecond">A multiply-add is two.</param>
/// <param name="ShareOfFma">Of the multiply-add peak measured in the same run; null where there is none.</param>
/// <param name="Refused">The backend's message where it does not have the shape.</param>
internal sealed record AttentionBenchRow(string Work, int Batch, long Context, string Cache, int PageSize, string Kernel,
    double Microseconds, double BytesPerSecond, double ShareOfCopy, double FlopsPerSecond, double? ShareOfFma,
    string? Refused);

/// <summary>What <c>adze_bench</c> said of attention, and perhaps bench/peers/attention_peers.py.</summary>
internal sealed record AttentionBenchReport(
    string Device, string Architecture, string Build, IReadOnlyList<AttentionBenchRow> Rows)
{
    /// <summary>Reads Google Benchmark's JSON; names are as in bench/native/attention_bench.cpp.</summary>
    /// <exception cref="BenchFailedException">It holds no benchmark of attention.</exception>
    public static AttentionBenchReport Parse(byte[] output)
    {
        try
        {
            using JsonDocument json = JsonDocument.Parse(output);
            JsonElement context = json.RootElement.GetProperty("context");
            AttentionBenchRow[] rows = [.. json.RootElement.GetProperty("benchmarks").EnumerateArray()
                .Where(IsResult).Select(Row).DistinctBy(row => row with { Refused = null })];
            return rows.Length > 0
                ? new AttentionBenchReport(
                    Text(context, "adze_device"), Text(context, "adze_isa"), Text(context, "adze"), rows)
                : throw new BenchFailedException("adze_bench ran no benchmark of attention");
        }
        catch (Exception exception) when (exception is JsonException or KeyNotFoundException or FormatException
            or InvalidOperationException or IndexOutOfRangeException)
        {
            throw new BenchFailedException($"adze_bench's output is not understood: {exception.Message}");
        }
    }

    /// <summary>One report of several of the same device: what has the same shape is side by side.</summary>
    public static AttentionBenchReport Join(IReadOnlyList<AttentionBenchReport> reports) => reports[0] with
    {
        Build = string.Join("; ", reports.Select(report => report.Build)),
        Rows = [.. reports.SelectMany(report => report.Rows)
            .OrderBy(row => row.Work == "prefill").ThenBy(row => row.Context).ThenBy(row => row.Batch)],
    };

    private static bool Failed(JsonElement benchmark) => benchmark.TryGetProperty("error_occurred", out _);

    // One that failed has no aggregates, and is there once for each repetition; nor has the only repetition.
    private static bool IsResult(JsonElement benchmark) =>
        Text(benchmark, "run_name").Split('/', ':')[0] is "decode" or "drafts" or "prefill"
        && (Failed(benchmark) || (benchmark.TryGetProperty("aggregate_name", out JsonElement name)
            ? name.ValueEquals("median")
            : benchmark.GetProperty("repetitions").GetInt32() == 1));

    private static AttentionBenchRow Row(JsonElement benchmark)
    {
        // decode/bf16/page:16/stable/batch:8/context:512/..., drafts:4/ likewise, prefill/bf16/contiguous/stable/tokens:512/...
        string[] name = Text(benchmark, "run_name").Split('/');
        bool prefill = name[0] == "prefill", failed = Failed(benchmark);
        return new AttentionBenchRow(name[0], prefill ? 1 : Number(name[4]), Number(name[prefill ? 4 : 5]), name[1],
            name[2] == "contiguous" ? 0 : Number(name[2]), name[3],
            failed ? 0 : benchmark.GetProperty("real_time").GetDouble(), Counter("bytes/s") ?? 0, Counter("of_copy") ?? 0,
            Counter("FLOP/s") ?? 0, Counter("of_fma"), failed ? Text(benchmark, "error_message") : null);

        double? Counter(string name) =>
            benchmark.TryGetProperty(name, out JsonElement value) ? value.GetDouble() : null;
    }

    private static int Number(string part) =>
        int.Parse(part.AsSpan(part.IndexOf(':') + 1), NumberStyles.None, CultureInfo.InvariantCulture);

    private static string Text(JsonElement element, string name) => element.GetProperty(name).GetString() ?? "";
}
