using System.CommandLine;
using System.Text;
using Adze.Engine;
using Adze.Engine.Validation;
using Adze.Models;

namespace Adze.Cli;

/// <summary><c>adze demo</c>: the bundled model at work, checked against its reference.</summary>
internal static class DemoCommand
{
    private static readonly string[] s_prompts =
    [
        "Mia orders 3 apples and two pears, express delivery.",
        "Pickup: Tara orders five tulips as well as a couple of bowls.",
        "We need 60 melons for Amir, overnight.",
    ];

    public static Command Create(CliConsole console)
    {
        CommonOptions common = new();
        Command command = new("demo",
            "Run the bundled model, which turns orders into JSON, and check it against its reference.");
        common.AddTo(command);
        command.SetAction((result, cancellationToken) => Task.Run(
            () => Run(common.Engine(result), console, cancellationToken), CancellationToken.None));
        return command;
    }

    private static int Run(EngineOptions options, CliConsole console, CancellationToken cancellationToken)
    {
        string directory = Beside("models/orders"), reference = Beside("models/reference/orders.safetensors");
        if (!Directory.Exists(directory) || !File.Exists(reference))
            throw new ModelFormatException($"{directory}: the bundled model is not beside the program; build it again");

        using LanguageModel model = LanguageModel.Load(directory, options);
        console.Out.WriteLine($"A small model turns orders into JSON, {s_prompts.Length} prompts in one batch:");
        GenerationStatistics statistics = Answer(model, console.Out, cancellationToken);
        console.Out.Flush();
        ValidationReport report = console.WithProgress(
            progress => ValidateCommand.Validate(model, reference, int.MaxValue, progress, cancellationToken));
        console.Out.WriteLine();
        Reports.Write(report, console);
        console.Out.WriteLine();
        Reports.Write(statistics, model, console.Out);
        return report.Passed ? ExitCode.Ok : ExitCode.VerdictFailed;
    }

    private static GenerationStatistics Answer(
        LanguageModel model, TextWriter output, CancellationToken cancellationToken)
    {
        StringBuilder[] answers = [.. s_prompts.Select(_ => new StringBuilder())];
        GenerationStatistics statistics = model.Generate([.. s_prompts.Select(prompt => new GenerationRequest(prompt))],
            (in TokenEvent token) => answers[token.Request].Append(token.Text), cancellationToken);
        for (int i = 0; i < s_prompts.Length; i++)
        {
            output.WriteLine();
            output.WriteLine($"  {s_prompts[i]}");
            output.WriteLine($"  {answers[i]}");
        }
        return statistics;
    }

    private static string Beside(string path) => Path.Combine(AppContext.BaseDirectory, path);
}
