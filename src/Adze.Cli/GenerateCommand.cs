using System.CommandLine;
using System.Text;
using Adze.Engine;

namespace Adze.Cli;

/// <summary><c>adze generate</c>: continues one prompt.</summary>
internal static class GenerateCommand
{
    public static Command Create(CliConsole console)
    {
        Option<string> model = CommonOptions.ModelFolder();
        Option<string> prompt = CommonOptions.Text("--prompt", "TEXT", "What the model continues.");
        Option<int> maxTokens = CommonOptions.Integer("--max-tokens", "N", 128, 1, "Tokens to generate at most.");
        Option<float> temperature = CommonOptions.Number("--temperature", "T", 0, float.PositiveInfinity,
            "0 is greedy; above, tokens are drawn.");
        Option<int> topK = CommonOptions.Integer("--top-k", "K", 0, 0,
            "Draw among the K most probable tokens; 0 is all.");
        Option<float> topP = CommonOptions.Number("--top-p", "P", 1, 1,
            "Draw among the fewest most probable tokens that reach this share; 0 and 1 are all.");
        Option<float> minP = CommonOptions.Number("--min-p", "P", 0, 1,
            "Drop tokens less probable than this share of the most probable one.");
        Option<ulong> seed = CommonOptions.Seed();
        Option<bool> echo = new("--echo") { Description = "Print the prompt before the completion." };
        Option<bool> stats = new("--stats")
        {
            Description = "Print tokens/s and time to first token to standard error.",
        };
        Option<bool> json = CommonOptions.Json();
        CommonOptions common = new();

        Command command = new("generate", "Continue a prompt. Standard output holds the completion and nothing else.")
        {
            model, prompt, maxTokens, temperature, topK, topP, minP, seed, echo, stats, json,
        };
        common.AddTo(command);
        command.SetAction((result, cancellationToken) =>
        {
            GenerationRequest request = new(result.GetRequiredValue(prompt))
            {
                MaxTokens = result.GetValue(maxTokens),
                Temperature = result.GetValue(temperature),
                TopK = result.GetValue(topK),
                TopP = result.GetValue(topP),
                MinP = result.GetValue(minP),
                Seed = result.GetValue(seed),
            };
            EngineOptions engine = common.Engine(result) with { MaxSequences = 1 };
            Settings settings = new(result.GetRequiredValue(model), request, engine,
                result.GetValue(echo), result.GetValue(stats), result.GetValue(json));
            return Task.Run(() => Run(settings, console, cancellationToken), CancellationToken.None);
        });
        return command;
    }

    private static int Run(Settings settings, CliConsole console, CancellationToken cancellationToken)
    {
        using LanguageModel model = console.WithProgress(report => LanguageModel.Load(settings.Model, settings.Engine,
            report is null ? null : new DirectProgress<double>(share => report("loading", share))));
        bool stream = !settings.Json;
        StringBuilder completion = new();
        List<int> tokens = [];
        FinishReason reason = FinishReason.None;
        bool begun = false;
        GenerationStatistics statistics = model.Generate([settings.Request], (in TokenEvent token) =>
        {
            reason = token.Finish;
            if (token.TokenId >= 0)
                tokens.Add(token.TokenId);
            if (!stream)
            {
                completion.Append(token.Text);
                return;
            }
            if (settings.Echo && !begun)
                console.Out.Write(settings.Request.Prompt);
            begun = true;
            console.Out.Write(token.Text);
            console.Out.Flush();
        }, cancellationToken);

        if (settings.Json)
        {
            console.Out.WriteLine(JsonOutput.Generation(
                settings.Request.Prompt!, completion.ToString(), tokens, reason, statistics));
        }
        else if (console.OutputIsTerminal)
            console.Out.WriteLine();
        console.Out.Flush();
        if (settings.Stats)
            CliConsole.TryWrite(() => Reports.Write(statistics, model, console.Error));
        return ExitCode.Ok;
    }

    private sealed record Settings(
        string Model, GenerationRequest Request, EngineOptions Engine, bool Echo, bool Stats, bool Json);
}
