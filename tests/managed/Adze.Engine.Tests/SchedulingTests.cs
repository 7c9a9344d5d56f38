using Adze.Native;

namespace Adze.Engine.Tests;

/// <summary>Scheduling and paging over a simulated cache, against an oracle that knows neither.</summary>
public sealed class SchedulingTests
{
    private const int Context = 200;

    [Fact]
    public void Any_mix_of_prompts_sizes_and_page_counts_gives_each_request_its_own_output()
    {
        int preempted = 0, mixed = 0, chunked = 0;
        for (int seed = 0; seed < 200; seed++)
        {
            Random random = new(seed);
            int pageSize = random.Next(1, 18);
            int maxSequences = random.Next(1, 9);
            int maxTokens = maxSequences + random.Next(0, 30);
            (GenerationRequest, int[])[] requests =
                [.. Enumerable.Range(0, random.Next(1, 14)).Select(_ => Request(random))];
            int longest = requests.Max(r => Math.Min(r.Item2.Length + r.Item1.MaxTokens, Context) - 1);
            int numPages = (longest + pageSize - 1) / pageSize + random.Next(0, 12);
            Run run = Run.All(requests, pageSize, numPages, maxSequences, maxTokens, ownChunks: seed % 2 == 0);
            for (int i = 0; i < requests.Length; i++)
            {
                (int[] tokens, FinishReason reason) = Oracle(requests[i].Item1, requests[i].Item2);
                Assert.True(tokens.SequenceEqual(run.Tokens[i]), $"seed {seed}, request {i}");
                Assert.True(reason == run.Reasons[i], $"seed {seed}, request {i}: {run.Reasons[i]}");
            }
            Assert.True(run.FreePages == numPages, $"seed {seed}: {run.FreePages} of {numPages} pages came back");
            preempted += run.Statistics.Preemptions > 0 ? 1 : 0;
            mixed += run.Cache.MixedSteps > 0 ? 1 : 0;
            chunked += requests.Max(r => r.Item2.Length) > maxTokens ? 1 : 0;
        }
        // The sweep is only worth something while it meets the hard cases.
        Assert.True(preempted > 30 && mixed > 30 && chunked > 30, $"{preempted} {mixed} {chunked}");
    }

    [Fact]
    public void Requests_beyond_the_slots_wait_and_none_fails()
    {
        (GenerationRequest, int[])[] requests = [.. Enumerable.Range(0, 50).Select(i => Greedy([i, i + 1], 5))];
        Run run = Run.All(requests, pageSize: 4, numPages: 100, maxSequences: 3, maxTokens: 16);
        Assert.Equal(3, run.Cache.MostSequences);
        Assert.All(run.Tokens, tokens => Assert.Equal(5, tokens.Count));
        Assert.Equal(0, run.Statistics.Preemptions);
    }

    [Fact]
    public void Too_few_pages_for_all_make_sequences_wait_or_give_up_their_pages()
    {
        (GenerationRequest, int[])[] requests = [.. Enumerable.Range(0, 6).Select(i => Greedy([1, 2, 3, i], 30))];
        Run run = Run.All(requests, pageSize: 4, numPages: 12, maxSequences: 6, maxTokens: 16);
        Assert.True(run.Statistics.Preemptions > 0);
        for (int i = 0; i < requests.Length; i++)
            Assert.Equal(Oracle(requests[i].Item1, requests[i].Item2).Item1, run.Tokens[i]);
    }

    [Fact]
    public void A_cache_for_exactly_one_request_serves_many_in_turn()
    {
        (GenerationRequest, int[])[] requests = [.. Enumerable.Range(0, 4).Select(i => Greedy([i, 9], 7))];
        Run run = Run.All(requests, pageSize: 4, numPages: 2, maxSequences: 4, maxTokens: 8); // 2 + 7 - 1 = 8 tokens
        Assert.All(run.Tokens, tokens => Assert.Equal(7, tokens.Count));
        Assert.Equal(2, run.FreePages);
    }

    [Fact]
    public void Generation_goes_on_while_a_long_prompt_is_read_in_chunks()
    {
        (GenerationRequest, int[])[] requests = [Greedy([1], 30), Greedy([.. Enumerable.Range(0, 100)], 3)];
        Run run = Run.All(requests, pageSize: 4, numPages: 60, maxSequences: 2, maxTokens: 8);
        Assert.True(run.Cache.MixedSteps >= 13, $"{run.Cache.MixedSteps} mixed steps"); // 7 rows of the prompt in each
        Assert.Equal(8, run.Cache.MostTokens);
        Assert.True(run.Cache.Steps <= 32, $"{run.Cache.Steps} steps"); // none was lost to the other
    }

    /// <summary>Also where sequences are preempted and computed again.</summary>
    [Fact]
    public void Own_chunks_are_the_same_alone_and_among_others()
    {
        int preempted = 0, chunked = 0;
        for (int seed = 0; seed < 60; seed++)
        {
            Random random = new(seed);
            int pageSize = random.Next(1, 9);
            int maxSequences = random.Next(2, 7);
            int maxTokens = maxSequences + random.Next(0, 20);
            (GenerationRequest, int[])[] requests =
                [.. Enumerable.Range(0, random.Next(2, 9)).Select(_ => Request(random))];
            int longest = requests.Max(r => Math.Min(r.Item2.Length + r.Item1.MaxTokens, Context) - 1);
            int numPages = (longest + pageSize - 1) / pageSize + random.Next(0, 6);
            Run among = Run.All(requests, pageSize, numPages, maxSequences, maxTokens, ownChunks: true);
            HashSet<(uint, int)> alone = [];
            foreach ((GenerationRequest, int[]) request in requests)
            {
                Run run = Run.All([request], pageSize, numPages, maxSequences, maxTokens, ownChunks: true);
                alone.UnionWith(run.Cache.Chunks);
            }
            Assert.True(alone.SetEquals(among.Cache.Chunks), $"seed {seed}");
            preempted += among.Statistics.Preemptions > 0 ? 1 : 0;
            chunked += requests.Max(r => r.Item2.Length) > maxTokens ? 1 : 0;
        }
        Assert.True(preempted > 10 && chunked > 10, $"{preempted} {chunked}");
    }

    [Fact]
    public void Draws_depend_on_seed_and_position_alone()
    {
        GenerationRequest sampled = new(new[] { 5, 6, 7 }) { MaxTokens = 20, Temperature = 1, Seed = 11 };
        Run alone = Run.All([(sampled, [5, 6, 7])], 4, 40, 8, 16);
        Run among = Run.All([Greedy([1, 2], 9), (sampled, [5, 6, 7]), Greedy([3], 30)], 4, 12, 8, 16);
        Assert.Equal(alone.Tokens[0], among.Tokens[1]);
        Run other = Run.All([(sampled with { Seed = 12 }, [5, 6, 7])], 4, 40, 8, 16);
        Assert.NotEqual(alone.Tokens[0], other.Tokens[0]);
        Assert.Equal(Oracle(sampled, [5, 6, 7]).Item1, alone.Tokens[0]);
    }

    [Fact]
    public void A_stop_token_ends_the_text_and_is_not_part_of_it()
    {
        int[] all = Oracle(Greedy([1, 2, 3], 10).Item1, [1, 2, 3]).Item1;
        GenerationRequest request = new(new[] { 1, 2, 3 }) { MaxTokens = 10, StopTokenIds = [-5, all[4]] };
        Run run = Run.All([(request, [1, 2, 3])], 4, 40, 8, 16);
        Assert.Equal(all[..4], run.Tokens[0]);
        Assert.Equal(FinishReason.StopToken, run.Reasons[0]);
        Assert.Equal(4, run.Statistics.GeneratedTokens);
        Assert.Equal(3, run.Statistics.PromptTokens);
    }

    [Fact]
    public void End_tokens_of_the_model_stop_unless_ignored()
    {
        int[] all = Oracle(Greedy([1, 2, 3], 10).Item1, [1, 2, 3]).Item1;
        (GenerationRequest, int[]) request = Greedy([1, 2, 3], 10);
        Assert.Equal(all[..2], Run.All([request], 4, 40, 8, 16, endToken: all[2]).Tokens[0]);
        request.Item1 = request.Item1 with { IgnoreEndTokens = true };
        Assert.Equal(all, Run.All([request], 4, 40, 8, 16, endToken: all[2]).Tokens[0]);
    }

    [Fact]
    public void Statistics_count_what_was_done()
    {
        Run run = Run.All([Greedy([1, 2, 3], 10), Greedy([4, 5], 1)], 4, 40, 8, 16);
        Assert.Equal(5, run.Statistics.PromptTokens);
        Assert.Equal(11, run.Statistics.GeneratedTokens);
        Assert.Equal(10, run.Statistics.Steps);
        Assert.True(run.Statistics.TimeToFirstToken > TimeSpan.Zero);
        Assert.True(run.Statistics.TimeToFirstToken <= run.Statistics.Total);
        Assert.True(run.Statistics.PrefillTokensPerSecond > 0 && run.Statistics.DecodeTokensPerSecond > 0);
    }

    [Theory]
    [InlineData(0, 5, "the prompt is empty: it gives no token")]
    [InlineData(100, 1, "the prompt has 100 tokens; the model's context holds 100 with the completion")]
    [InlineData(40, 30, "a prompt of 40 tokens and up to 30 more need 69 tokens of KV cache, which holds 64")]
    [InlineData(40, int.MaxValue,
        "a prompt of 40 tokens and up to 2147483647 more need 99 tokens of KV cache, which holds 64")]
    [InlineData(40, 25, null)]
    [InlineData(64, 1, null)]
    public void What_can_never_be_served_is_refused(int prompt, int maxTokens, string? message) =>
        Assert.Equal(message, new SequenceLimits(Context: 100, PageSize: 16, NumPages: 4).Refuse(prompt, maxTokens));

    [Fact]
    public void A_page_cannot_be_returned_twice()
    {
        PageAllocator pages = new(2);
        int page = pages.Rent();
        pages.Return([page]);
        Assert.Throws<InvalidOperationException>(() => pages.Return([page]));
        _ = pages.Rent();
        _ = pages.Rent();
        Assert.Throws<InvalidOperationException>(() => pages.Rent());
    }

    private static (GenerationRequest, int[]) Greedy(int[] prompt, int maxTokens) =>
        (new GenerationRequest(prompt) { MaxTokens = maxTokens }, prompt);

    private static (GenerationRequest, int[]) Request(Random random)
    {
        int[] prompt = [.. Enumerable.Range(0, random.Next(1, 70)).Select(_ => random.Next(SimulatedCache.Vocabulary))];
        return (new GenerationRequest(prompt)
        {
            MaxTokens = random.Next(4) == 0 ? 1000 : random.Next(1, 60),
            Temperature = random.Next(2),
            Seed = (ulong)random.Next(),
            StopTokenIds = random.Next(2) == 0 ? [] : [.. Enumerable.Range(0, 30)],
        }, prompt);
    }

    private static (int[], FinishReason) Oracle(GenerationRequest request, int[] prompt)
    {
        List<int> context = [.. prompt];
        while (true)
        {
            SamplingParams sampling = new(request.Temperature, 0, 0, 0, request.Seed, (ulong)context.Count);
            int next = SimulatedCache.Next([.. context], sampling);
            if (request.StopTokenIds.Contains(next))
                return ([.. context[prompt.Length..]], FinishReason.StopToken);
            context.Add(next);
            if (context.Count == prompt.Length + request.MaxTokens)
                return ([.. context[prompt.Length..]], FinishReason.MaxTokens);
            if (context.Count == Context)
                return ([.. context[prompt.Length..]], FinishReason.ContextLimit);
        }
    }

    private sealed class Run
    {
        public required List<int>[] Tokens { get; init; }

        public required FinishReason[] Reasons { get; init; }

        public required GenerationStatistics Statistics { get; init; }

        public required SimulatedCache Cache { get; init; }

        public required int FreePages { get; init; }

        public static Run All((GenerationRequest Request, int[] Prompt)[] requests, int pageSize, int numPages,
            int maxSequences, int maxTokens, int? endToken = null, bool ownChunks = false)
        {
            SequenceLimits limits = new(Context, pageSize, numPages);
            int[] endTokens = endToken is { } end ? [end] : [];
            Sequence[] sequences = [.. requests.Select(
                (r, i) => new Sequence(i, r.Request, r.Prompt, limits, endTokens, decoder: null))];
            PageAllocator pages = new(numPages);
            SimulatedCache cache = new(numPages, pageSize, maxTokens, maxSequences);
            Scheduler scheduler = new(pages, maxSequences, maxTokens, sequences, ownChunks);
            StepBatch batch = new(maxSequences, maxTokens, numPages, pageSize);
            List<int>[] tokens = [.. requests.Select(_ => new List<int>())];
            FinishReason[] reasons = new FinishReason[requests.Length];
            Generator generator = new(scheduler, batch, cache, maxSequences, 0, (in TokenEvent token) =>
            {
                Assert.Equal(FinishReason.None, reasons[token.Request]);
                Assert.Equal(token.Finish == FinishReason.None, token.TokenId >= 0);
                reasons[token.Request] = token.Finish;
                if (token.TokenId >= 0)
                    tokens[token.Request].Add(token.TokenId);
            });
            for (int step = 0; generator.HasWork; step++)
            {
                Assert.True(step < 20000, "the scheduler makes no progress");
                generator.Step();
            }
            return new Run
            {
                Tokens = tokens,
                Reasons = reasons,
                Statistics = generator.Statistics(),
                Cache = cache,
                FreePages = pages.NumFree,
            };
        }
    }
}
