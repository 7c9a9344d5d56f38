using System.CommandLine;
using Adze.Engine;
using Adze.Engine.Validation;

namespace Adze.Cli;

/// <summary><c>adze validate</c>: compares a model with what another implementation computed.</summary>
internal static class ValidateCommand
{
    public static Command Create(CliConsole console)
    {
        Option<string> model = CommonOptions.ModelFolder();
        Option<string> reference = CommonOptions.Path("--reference", "FILE",
            "The reference outputs, a safetensors file.");
        Option<int> heldOut = CommonOptions.Integer("--held-out", "N", int.MaxValue, 0,
            "Prompts of the folder's heldout.jsonl to answer at most; 0 for none.");
        heldOut.DefaultValueFactory = null; // The help need not say 2147483647.
        Option<bool> json = CommonOptions.Json();
        CommonOptions common = new();
        Command command = new("validate", """
            Compare a model with reference outputs: layer by layer, greedy continuations token for token, and answers
            to held-out prompts. Exits with 1 when an error is over its tolerance, a greedy continuation differs, or
            fewer than 95 % of the answers are exact.
            """)
        {
            model, reference, heldOut, json,
        };
        common.AddTo(command);
        command.SetAction((result, cancellationToken) => Task.Run(() =>
        {
            int most = result.GetResult(heldOut) is null ? int.MaxValue : result.GetValue(heldOut);
            ValidationReport report = console.WithProgress(progress => Validate(result.GetRequiredValue(model),
                result.GetRequiredValue(reference), most, common.Engine(result), progress, cancellationToken));
            if (result.GetValue(json))
                console.Out.WriteLine(JsonOutput.Validation(report));
            else
                Reports.Write(report, console);
            return report.Passed ? ExitCode.Ok : ExitCode.VerdictFailed;
        }, CancellationToken.None));
        return command;
    }

    private static ValidationReport Validate(string modelPath, string referencePath, int heldOut, EngineOptions options,
        Action<string, double>? progress, CancellationToken cancellationToken)
    {
        using LanguageModel model = LanguageModel.Load(modelPath, options,
            progress is null ? null : new DirectProgress<double>(share => progress("loading", share)));
        return Validate(model, referencePath, heldOut, progress, cancellationToken);
    }

    internal static ValidationReport Validate(LanguageModel model, string referencePath, int heldOut,
        Action<string, double>? progress, CancellationToken cancellationToken) =>
        Validator.Run(model, referencePath, new ValidationOptions
        {
            MaxHeldOut = heldOut,
            Progress = progress is null ? null : new DirectProgress<ValidationProgress>(
                value => progress(value.Phase, (double)value.Done / value.Total)),
        }, cancellationToken);
}
