using System.Text;
using Adze.Models;

namespace Adze.Engine.Validation;

/// <summary>What is compared.</summary>
public sealed record ValidationOptions
{
    /// <summary>Held-out prompts answered at most; 0 for none.</summary>
    public int MaxHeldOut { get; init; } = int.MaxValue;

    /// <summary>The share of held-out prompts whose answers must be exact.</summary>
    public double RequiredHeldOutShare { get; init; } = 0.95;

    /// <summary>Told how far it has come.</summary>
    public IProgress<ValidationProgress>? Progress { get; init; }
}

/// <summary>
/// Compares a model with a reference that another implementation computed: each layer's result and the logits against
/// tolerances, greedy continuations token for token, and answers to held-out prompts where the model's folder has them.
/// </summary>
public static class Validator
{
    /// <summary>Runs all comparisons.</summary>
    /// <param name="model">The model.</param>
    /// <param name="referencePath">A safetensors file, as tests/reference/llama.py writes them.</param>
    /// <param name="options">Null for the defaults.</param>
    /// <param name="cancellationToken">Looked at between steps.</param>
    /// <exception cref="ModelFormatException">The reference cannot be used, or belongs to another model.</exception>
    /// <exception cref="GenerationException">The model cannot run the reference's prompts.</exception>
    public static ValidationReport Run(LanguageModel model, string referencePath, ValidationOptions? options = null,
        CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(model);
        options ??= new ValidationOptions();
        using ReferenceFile reference = ReferenceFile.Open(referencePath, model.Config);
        string heldOutPath = Path.Combine(model.Directory, HeldOutSet.FileName);
        (string Prompt, string Answer)[] heldOut =
            options.MaxHeldOut > 0 && File.Exists(heldOutPath) ? HeldOutSet.Load(heldOutPath) : [];
        if (heldOut.Length > options.MaxHeldOut)
            heldOut = heldOut[..options.MaxHeldOut];

        IReadOnlyList<ErrorRow> errors = new LayerComparison(model, reference, options.Progress).Run(cancellationToken);
        double logitTolerance = errors[^1].LargestTolerance;
        (CountRow greedy, GenerationStatistics statistics) =
            CompareGreedy(model, reference, logitTolerance, options.Progress, cancellationToken);
        CountRow? exact = null;
        if (heldOut.Length > 0)
            (exact, statistics) = AnswerHeldOut(model, heldOut, options, cancellationToken);
        return new ValidationReport(model.Device, model.DType, model.CacheDType, errors, greedy, exact, statistics);
    }

    /// <summary>
    /// All greedy tokens must be equal where tolerated errors of two logits cannot swap them; else the count informs.
    /// </summary>
    private static (CountRow, GenerationStatistics) CompareGreedy(LanguageModel model, ReferenceFile reference,
        double logitTolerance, IProgress<ValidationProgress>? progress, CancellationToken cancellationToken)
    {
        int[][] expected = reference.GreedyAnswers;
        GenerationRequest[] requests = [.. reference.GreedyPrompts.Select((prompt, i) => new GenerationRequest(prompt)
        {
            MaxTokens = expected[i].Length,
            IgnoreEndTokens = true, // The reference holds them.
        })];
        int[] equal = new int[requests.Length];
        int done = 0, right = 0;
        int[] position = new int[requests.Length];
        GenerationStatistics statistics = model.Generate(requests, (in TokenEvent token) =>
        {
            int i = token.Request;
            if (token.Finish == FinishReason.None)
            {
                if (expected[i][position[i]++] == token.TokenId)
                    equal[i]++;
                return;
            }
            right += equal[i] == expected[i].Length ? 1 : 0;
            progress?.Report(new ValidationProgress("greedy continuations", ++done, requests.Length));
        }, cancellationToken);
        bool decisive = reference.GreedyMargin is not { } margin || margin > 2 * logitTolerance;
        return (new CountRow("greedy continuations", right, requests.Length, decisive ? 1 : 0), statistics);
    }

    private static (CountRow, GenerationStatistics) AnswerHeldOut(LanguageModel model,
        (string Prompt, string Answer)[] heldOut, ValidationOptions options, CancellationToken cancellationToken)
    {
        const int Spare = 16; // An answer that is spelled with more tokens than need be is exact all the same.
        GenerationRequest[] requests = [.. heldOut.Select(pair => new GenerationRequest(pair.Prompt)
        {
            MaxTokens = model.Tokenizer.Encode(pair.Answer, addSpecialTokens: false).Length + Spare,
        })];
        StringBuilder[] answers = [.. heldOut.Select(_ => new StringBuilder())];
        int done = 0, right = 0;
        GenerationStatistics statistics = model.Generate(requests, (in TokenEvent token) =>
        {
            StringBuilder answer = answers[token.Request].Append(token.Text);
            if (token.Finish == FinishReason.None)
                return;
            if (token.Finish == FinishReason.StopToken && answer.Equals(heldOut[token.Request].Answer))
                right++;
            options.Progress?.Report(new ValidationProgress("held-out prompts", ++done, requests.Length));
        }, cancellationToken);
        return (new CountRow("held-out answers", right, requests.Length, options.RequiredHeldOutShare), statistics);
    }
}
