using System.CommandLine;
using Adze.Engine;
using Adze.Engine.Calibration;
using Adze.Models;
using Adze.Native;

namespace Adze.Cli;

/// <summary><c>adze tune</c>: measures what makes a model faster, and keeps it in the model's folder.</summary>
internal static class TuneCommand
{
    public static Command Create(CliConsole console) =>
        new("tune", "Measure what can make a model faster, and keep it in adze.json in its folder.")
        {
            CreateAttention(console),
        };

    private static Command CreateAttention(CliConsole console)
    {
        Option<string> model = CommonOptions.ModelFolder();
        Option<string> text = CommonOptions.Path("--text", "FILE",
            "Text to run the model on; without it the prompts and answers of the folder's heldout.jsonl.");
        text.Required = false;
        Option<int> context = CommonOptions.Integer("--context", "N", 2048, 16, "Tokens of a sequence at most.");
        Option<bool> json = CommonOptions.Json();
        CommonOptions common = new();
        Command command = new("attention", """
            Find phi of the unified softmax for each layer and query head: run the model on a text, count its logits
            (softmax scale, q, k), and write the phi whose bounds hold most of their maxima to adze.json in the model's
            folder. Results never depend on it, speed may. The table shows quantiles of the logits, the range of the
            maxima, phi, and the share of maxima within its bounds.
            """)
        {
            model, text, context, json,
        };
        common.AddModelTo(command);
        command.SetAction((result, cancellationToken) => Task.Run(() =>
        {
            int tokens = result.GetValue(context);
            // One sequence at a time, whole; and an adze.json that does not fit is there to be replaced.
            EngineOptions engine = common.Engine(result) with
            {
                MaxSequences = 1,
                MaxBatchTokens = tokens,
                Softmax = Softmax.Stable,
            };
            string directory = result.GetRequiredValue(model);
            CalibrationReport report = console.WithProgress(progress =>
                Calibrate(directory, result.GetValue(text), engine, progress, cancellationToken));
            report.Calibration.Save(directory);
            string path = Path.Combine(directory, AttentionCalibration.FileName);
            if (result.GetValue(json))
            {
                console.Out.WriteLine(JsonOutput.Calibration(report, path));
                return ExitCode.Ok;
            }
            Reports.Write(report, console);
            console.Out.WriteLine($"{report.Tokens} tokens of {report.Calibration.Text}: wrote {path}");
            return ExitCode.Ok;
        }, CancellationToken.None));
        return command;
    }

    private static CalibrationReport Calibrate(string directory, string? text, EngineOptions options,
        Action<string, double>? progress, CancellationToken cancellationToken)
    {
        using LanguageModel model = LanguageModel.Load(directory, options, Phase("loading"));
        return AttentionCalibrator.Run(model, CalibrationText.Load(model, text), Phase("counting"), cancellationToken);

        DirectProgress<double>? Phase(string name) =>
            progress is null ? null : new DirectProgress<double>(share => progress(name, share));
    }
}
