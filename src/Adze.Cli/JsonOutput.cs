using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Serialization;
using Adze.Engine;
using Adze.Engine.Calibration;
using Adze.Engine.Validation;
using Adze.Native;

namespace Adze.Cli;

/// <summary>Results in the form that machines read.</summary>
internal static class JsonOutput
{
    private static readonly CliJson s_json = new(new JsonSerializerOptions
    {
        PropertyNamingPolicy = JsonNamingPolicy.SnakeCaseLower,
        Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping, // It goes to a pipe, not into HTML.
        NumberHandling = JsonNumberHandling.AllowNamedFloatingPointLiterals, // An error may be NaN.
    });

    public static string Generation(string prompt, string completion, IReadOnlyList<int> tokens, FinishReason reason,
        GenerationStatistics statistics) => JsonSerializer.Serialize(
            new GenerationJson(prompt, completion, tokens, Spell(reason), Stats(statistics)), s_json.GenerationJson);

    public static string Validation(ValidationReport report) => JsonSerializer.Serialize(
        new ValidationJson(report.Passed, CommonOptions.Spell(report.Device.Backend), report.Device.Architecture,
            CommonOptions.Spell(report.DType), CommonOptions.Spell(report.CacheDType), report.Errors, report.Greedy,
            report.HeldOut, Stats(report.Statistics)),
        s_json.ValidationJson);

    public static string Info(IReadOnlyList<BackendReport> backends) => JsonSerializer.Serialize(new InfoJson(
        AdzeLibrary.Version.ToString(), AdzeLibrary.AbiVersion, AdzeLibrary.BuildInfo,
        [.. backends.Select(backend => new BackendJson(CommonOptions.Spell(backend.Backend), backend.Unavailable,
            [.. backend.Devices.Select(device => new DeviceJson(device.Device, device.Name, device.Architecture,
                device.NumProcessors, device.MemoryBytes))]))]), s_json.InfoJson);

    public static string Calibration(CalibrationReport report, string path)
    {
        return JsonSerializer.Serialize(new CalibrationJson(path, report.Calibration.Text, report.Tokens,
            AttentionCalibrator.Below, AttentionCalibrator.Above,
            [.. report.Heads.Zip(report.Phi, (head, phi) => new HeadJson(head.Layer, head.Head, Histogram(head.Logits),
                Histogram(head.Maxima), phi.Phi, phi.Within))]),
            s_json.CalibrationJson);

        static HistogramJson Histogram(LogitHistogram logits) => new(logits.Count, logits.Least, logits.Quantile(0.01),
            logits.Quantile(0.5), logits.Quantile(0.99), logits.Greatest);
    }

    public static string AttentionBench(AttentionBenchReport report) =>
        JsonSerializer.Serialize(report, s_json.AttentionBenchReport);

    private static StatsJson Stats(GenerationStatistics statistics) => new(
        statistics.PromptTokens, statistics.GeneratedTokens, statistics.TimeToFirstToken.TotalMilliseconds,
        statistics.Total.TotalMilliseconds, statistics.PrefillTokensPerSecond, statistics.DecodeTokensPerSecond);

    private static string Spell(FinishReason reason) => reason switch
    {
        FinishReason.StopToken => "stop",
        FinishReason.MaxTokens => "max_tokens",
        FinishReason.ContextLimit => "context",
        _ => "none",
    };
}

internal sealed record StatsJson(long PromptTokens, long CompletionTokens, double TimeToFirstTokenMs, double TotalMs,
    double PrefillTokensPerSecond, double DecodeTokensPerSecond);

internal sealed record GenerationJson(
    string Prompt, string Completion, IReadOnlyList<int> Tokens, string FinishReason, StatsJson Stats);

internal sealed record ValidationJson(bool Passed, string Backend, string Architecture, string Dtype, string KvCache,
    IReadOnlyList<ErrorRow> Errors, CountRow Greedy, CountRow? HeldOut, StatsJson Stats);

internal sealed record HistogramJson(
    long Count, float Least, double Quantile01, double Median, double Quantile99, float Greatest);

internal sealed record HeadJson(
    int Layer, int Head, HistogramJson Logits, HistogramJson Maxima, double Phi, double Within);

internal sealed record CalibrationJson(string Path, string Text, long Tokens, float PhiBelow, float PhiAbove,
    IReadOnlyList<HeadJson> Heads);

internal sealed record DeviceJson(int Device, string Name, string Architecture, int NumProcessors, ulong MemoryBytes);

internal sealed record BackendJson(string Backend, string? Unavailable, IReadOnlyList<DeviceJson> Devices);

internal sealed record InfoJson(
    string Version, uint AbiVersion, string BuildInfo, IReadOnlyList<BackendJson> Backends);

[JsonSerializable(typeof(GenerationJson))]
[JsonSerializable(typeof(ValidationJson))]
[JsonSerializable(typeof(InfoJson))]
[JsonSerializable(typeof(CalibrationJson))]
[JsonSerializable(typeof(AttentionBenchReport))]
internal sealed partial class CliJson : JsonSerializerContext;
