using Adze.Engine.Validation;
using Adze.Native;

namespace Adze.Engine.Tests;

/// <summary>What may change how attention is computed, and not what the bundled model says.</summary>
public sealed class AttentionChoiceTests
{
    private static readonly GreedyReference s_reference = GreedyReference.Load(Repository.OrdersReference);

    private static readonly Lazy<int> s_score = new(() => Score(DType.None));

    public static TheoryData<Softmax, int, int, int> Choices
    {
        get
        {
            TheoryData<Softmax, int, int, int> choices = [];
            foreach (int pageSize in (int[])[1, 2, 3, 16, 17, 64, 256])
                choices.Add(Softmax.Stable, pageSize, 1, 512);
            // Splits: keys among threads, queries into chunks of prompts.
            foreach ((int threads, int maxTokens) in ((int, int)[])[(1, 512), (2, 512), (5, 512), (2, 8), (3, 37)])
                choices.Add(Softmax.Unified, 16, threads, maxTokens);
            return choices;
        }
    }

    [Theory]
    [MemberData(nameof(Choices))]
    public void The_bundled_model_gives_the_same_tokens(Softmax softmax, int pageSize, int threads, int maxTokens)
    {
        using LanguageModel model = LanguageModel.Load(Repository.Orders, OddModel.Small with
        {
            Softmax = softmax,
            PageSize = pageSize,
            NumThreads = threads,
            MaxBatchTokens = maxTokens,
            Deterministic = threads != 5,
        });
        GenerationRequest[] requests = s_reference.Requests[..8];
        Output output = Output.Of(model, requests);
        for (int i = 0; i < requests.Length; i++)
            Assert.Equal(s_reference.Answers[i], output.Tokens(i));
    }

    // On the GPUs' kernels, where there is a softmax to choose: a prefill and a decode, since they are simulated.
    [Theory]
    [InlineData(Softmax.Stable)]
    [InlineData(Softmax.Unified)]
    public void So_it_does_on_a_simulated_gpu(Softmax softmax)
    {
        using LanguageModel model = LanguageModel.Load(Repository.Orders, new EngineOptions
        {
            Backend = Backend.Sim,
            Softmax = softmax,
            MaxSequences = 1,
        });
        Output output = Output.Of(model, s_reference.Requests[0] with { MaxTokens = 2 });
        Assert.Equal(s_reference.Answers[0][..2], output.Tokens(0));
    }

    [Theory]
    [InlineData(DType.F16, 0)]
    [InlineData(DType.BF16, 1)]
    public void A_narrower_cache_costs_few_answers(DType cache, int points)
    {
        int score = Score(cache);
        Assert.True(score >= s_score.Value - 2 * points, $"{cache}: {score} of 200, {s_score.Value} with f32");
    }

    // Of 200 held-out prompts.
    private static int Score(DType cache)
    {
        using LanguageModel model = LanguageModel.Load(
            Repository.Orders, new EngineOptions { Backend = Backend.Cpu, CacheDType = cache });
        Assert.Equal(cache == DType.None ? DType.F32 : cache, model.CacheDType);
        ValidationReport report = Validator.Run(model, Repository.OrdersReference);
        Assert.Equal(cache == DType.None, double.IsFinite(report.Errors[1].RelativeTolerance));
        Assert.True(report.Errors[0].RelativeTolerance == 0 || double.IsFinite(report.Errors[0].RelativeTolerance));
        Assert.Equal(200, report.HeldOut!.Total);
        return report.HeldOut.Right;
    }
}
