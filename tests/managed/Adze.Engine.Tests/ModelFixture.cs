using System.Text;
using Adze.Models;

namespace Adze.Engine.Tests;

/// <summary>A tiny model and the greedy continuations that PyTorch gives for it.</summary>
public sealed class OddModel : IDisposable
{
    public LanguageModel Model { get; } = LanguageModel.Load(Repository.Odd, Small);

    public static EngineOptions Small { get; } =
        new() { Backend = Native.Backend.Cpu, NumThreads = 1, MaxSequences = 8 };

    /// <summary>So little room that sequences wait, prompts come in chunks and pages are given up.</summary>
    public static EngineOptions Cramped { get; } = Small with
    {
        PageSize = 3,
        NumPages = 40,
        MaxSequences = 4,
        MaxBatchTokens = 7,
    };

    public void Dispose() => Model.Dispose();
}

/// <summary>Greedy continuations out of a reference file.</summary>
internal sealed record GreedyReference(int[][] Prompts, int[][] Answers)
{
    public static GreedyReference Load(string path)
    {
        using SafetensorsFile file = SafetensorsFile.Open(path);
        return new GreedyReference(Rows("greedy_prompt"), Rows("greedy"));

        int[][] Rows(string name)
        {
            int[] ids = file.CopyInt32s($"{name}_ids"), indptr = file.CopyInt32s($"{name}_indptr");
            return [.. Enumerable.Range(0, indptr.Length - 1).Select(i => ids[indptr[i]..indptr[i + 1]])];
        }
    }

    public GenerationRequest[] Requests => [.. Prompts.Select((prompt, i) => new GenerationRequest(prompt)
    {
        MaxTokens = Answers[i].Length,
        IgnoreEndTokens = true,
    })];
}

/// <summary>All that a generation gave.</summary>
internal sealed class Output
{
    private readonly List<int>[] _tokens;
    private readonly StringBuilder[] _texts;

    private Output(int requests)
    {
        _tokens = [.. Enumerable.Range(0, requests).Select(_ => new List<int>())];
        _texts = [.. Enumerable.Range(0, requests).Select(_ => new StringBuilder())];
        Reasons = new FinishReason[requests];
    }

    public FinishReason[] Reasons { get; }

    public GenerationStatistics Statistics { get; private set; } = new();

    public int[] Tokens(int request) => [.. _tokens[request]];

    public string Text(int request) => _texts[request].ToString();

    public static Output Of(LanguageModel model, params GenerationRequest[] requests)
    {
        Output output = new(requests.Length);
        output.Statistics = model.Generate(requests, (in TokenEvent token) =>
        {
            output.Reasons[token.Request] = token.Finish;
            output._texts[token.Request].Append(token.Text);
            if (token.TokenId >= 0)
                output._tokens[token.Request].Add(token.TokenId);
        });
        Assert.Equal(model.NumPages, model.FreePages);
        return output;
    }
}
