using Adze.Engine.Validation;
using Adze.Native;

namespace Adze.Engine.Tests;

/// <summary>What may change how attention is computed, and not what the bundled model says.</summary>
public sealed class AttentionChoiceTests
{
    private static readonly GreedyReference s_reference = GreedyReference.Load(Repository.OrdersReference);

    private static readonly Lazy<int> s_score = new(() => Score(DType.None));

    // Orders run together, 293 tokens: more than one part of keys. And a short one beside them.
    private static readonly Lazy<(GenerationRequest[] Requests, int[][] Answers)> s_long = new(() =>
    {
        string orders = string.Join(' ', HeldOutSet.Load(Repository.Path("models/orders/heldout.jsonl"))[..14].Select(pair => pair.Prompt));
        GenerationRequest[] requests = [new(orders) { MaxTokens = 6 }, s_reference.Requests[0] with { MaxTokens = 6 }];
        using LanguageModel model = LanguageModel.Load(Repository.Orders, OddModel.Small);
        Assert.InRange(model.Encode(orders).Length, 257, 384);
        Output output = Output.Of(model, requests);
        return (requests, [output.Tokens(0), output.Tokens(1)]);
    });

    [Fact]
    public void The_default_softmax_is_what_is_measured_to_be_faster() =>
        Assert.Equal(Softmax.Tuned, new EngineOptions().Softmax);

    // cpu has one softmax, and splits keys from 2048 on; prompts are split into chunks.
    [Theory]
    [InlineData(1, 1, 512)]
    [InlineData(2, 1, 512)]
    [InlineData(3, 1, 512)]
    [InlineData(17, 1, 512)]
    [InlineData(64, 1, 512)]
    [InlineData(256, 1, 512)]
    [InlineData(16, 2, 512)]
    [InlineData(16, 5, 512)]
    [InlineData(16, 2, 8)]
    [InlineData(16, 3, 37)]
    public void The_bundled_model_gives_the_same_tokens(int pageSize, int threads, int maxTokens)
    {
        using LanguageModel model = LanguageModel.Load(Repository.Orders, OddModel.Small with
        {
            PageSize = pageSize,
            NumThreads = threads,
            MaxBatchTokens = maxTokens,
        });
        GenerationRequest[] requests = s_reference.Requests[..8];
        Output output = Output.Of(model, requests);
        for (int i = 0; i < requests.Length; i++)
            Assert.Equal(s_reference.Answers[i], output.Tokens(i));
    }

    // The kernels of GPUs have both, and split keys where that keeps all processors busy, which is not deterministic.
    [Theory]
    [InlineData(Softmax.Stable, 16, false, 512)]
    [InlineData(Softmax.Stable, 7, true, 512)]
    [InlineData(Softmax.Unified, 16, false, 512)]
    [InlineData(Softmax.Unified, 1, false, 512)]
    [InlineData(Softmax.Unified, 256, false, 100)]
    [InlineData(Softmax.Unified, 16, false, 512, 1)]
    [InlineData(Softmax.Unified, 16, false, 512, 2)]
    [InlineData(Softmax.Unified, 16, false, 512, 3)]
    public void So_it_does_on_simulated_gpus(Softmax softmax, int pageSize, bool whole, int maxTokens, int device = 0)
    {
        using LanguageModel model = LanguageModel.Load(Repository.Orders, new EngineOptions
        {
            Backend = Backend.Sim,
            Device = device,
            Softmax = softmax,
            PageSize = pageSize,
            Deterministic = whole,
            MaxBatchTokens = maxTokens,
        });
        Output output = Output.Of(model, s_long.Value.Requests);
        Assert.Equal(s_long.Value.Answers[0], output.Tokens(0));
        Assert.Equal(s_long.Value.Answers[1], output.Tokens(1));
        // Of the last step, which is more than 60 launches.
        int merges = Enumerable.Range(0, 60).Count(back => model.Runner.Context.GetSimLaunch(back).Kernel == "attention_merge_splits");
        Assert.Equal(whole ? 0 : model.Config.NumLayers, merges);
    }

    // What a phi far off has to be done again is matrix instructions more.
    [Fact]
    public void The_models_phi_comes_to_a_simulated_gpu()
    {
        using ModelCopy far = new(Repository.Orders);
        far.Edit("adze.json", "[-1.625,", "[1000,");
        Assert.InRange(Instructions(far.Directory), Instructions(Repository.Orders) + 1, ulong.MaxValue);

        static ulong Instructions(string folder)
        {
            using LanguageModel model = LanguageModel.Load(folder,
                new EngineOptions { Backend = Backend.Sim, Softmax = Softmax.Unified, Deterministic = false });
            Output output = Output.Of(model, s_long.Value.Requests);
            Assert.Equal(s_long.Value.Answers[0], output.Tokens(0));
            return Enumerable.Range(0, 60).Select(back => model.Runner.Context.GetSimLaunch(back))
                .Where(launch => launch.Kernel.StartsWith("attention_", StringComparison.Ordinal))
                .Aggregate(0ul, (sum, launch) => sum + launch.MatrixInstructions);
        }
    }

    // Of the six shortest answers among ten, since they are simulated.
    [Theory]
    [InlineData(DType.F8E4M3, 6)]
    [InlineData(DType.I8, 6)]
    [InlineData(DType.I4, 5)]
    public void Nor_does_a_quantised_cache_cost_many_on_a_simulated_gpu(DType cache, int least)
    {
        (string Prompt, string Answer)[] pairs =
            [.. HeldOutSet.Load(Repository.Path("models/orders/heldout.jsonl"))[..10].OrderBy(pair => pair.Answer.Length).Take(6)];
        using LanguageModel model = LanguageModel.Load(
            Repository.Orders, new EngineOptions { Backend = Backend.Sim, CacheDType = cache });
        Output output = Output.Of(model, [.. pairs.Select(pair => new GenerationRequest(pair.Prompt))]);
        Assert.InRange(pairs.Index().Count(pair => output.Text(pair.Index) == pair.Item.Answer), least, pairs.Length);
    }

    [Theory]
    [InlineData(DType.F16, 0)]
    [InlineData(DType.BF16, 1)]
    [InlineData(DType.F8E4M3, 1)]
    [InlineData(DType.I8, 1)]
    [InlineData(DType.I4, 3)]
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
