namespace Adze.Engine.Tests;

/// <summary>Cancellation, streams, disposal, and what a token costs on the managed heap.</summary>
[Collection("alone")]
public sealed class LifetimeTests(OddModel odd) : IClassFixture<OddModel>
{
    private readonly LanguageModel _model = odd.Model;

    private static GenerationRequest[] Long => [.. Enumerable.Range(0, 12).Select(i => new GenerationRequest($"prompt {i}")
    {
        MaxTokens = 100 + i,
        IgnoreEndTokens = true,
        Temperature = i % 2,
        Seed = 3,
    })];

    [Fact]
    public void Cancellation_frees_the_pages_and_the_model_goes_on()
    {
        int[] before = Output.Of(_model, Long[0]).Tokens(0);
        using CancellationTokenSource source = new();
        int tokens = 0;
        Assert.Throws<OperationCanceledException>(() => _model.Generate(Long, (in TokenEvent _) =>
        {
            Assert.True(_model.FreePages < _model.NumPages);
            if (++tokens == 50)
                source.Cancel();
        }, source.Token));
        Assert.InRange(tokens, 50, 50 + 8); // the step that was under way
        Assert.Equal(_model.NumPages, _model.FreePages);
        Assert.Equal(before, Output.Of(_model, Long[0]).Tokens(0));
    }

    [Fact]
    public void What_the_callback_throws_reaches_the_caller()
    {
        Assert.Throws<NotSupportedException>(
            () => _model.Generate(Long, (in TokenEvent _) => throw new NotSupportedException()));
        Assert.Equal(_model.NumPages, _model.FreePages);
    }

    [Fact]
    public void A_token_allocates_nothing_on_the_managed_heap()
    {
        const int FirstMeasured = 40;
        using LanguageModel cramped = LanguageModel.Load(Repository.Odd, OddModel.Cramped with { NumPages = 60 });
        foreach (LanguageModel model in new[] { _model, cramped })
        {
            GenerationRequest[] requests = Long; // waits, grows, ends and begins while it is measured
            int events = 0;
            long seen = 0, perToken = 0, characters = 0;
            void Watch(in TokenEvent token)
            {
                characters += token.Text.Length;
                long now = GC.GetAllocatedBytesForCurrentThread();
                if (++events > FirstMeasured)
                    perToken += now - seen;
                seen = now;
            }
            model.Generate(requests, Watch);
            Assert.True(events > 1200, $"{events} events");
            Assert.Equal(0, perToken);
            Assert.True(characters > 0);
        }
    }

    [Fact]
    public async Task The_stream_gives_what_the_callback_gives()
    {
        GenerationRequest[] requests = Long[..3];
        Output expected = Output.Of(_model, requests);
        List<int>[] tokens = [[], [], []];
        string[] texts = ["", "", ""];
        await foreach (GeneratedToken token in _model.GenerateAsync(requests))
        {
            texts[token.Request] += token.Text;
            if (token.Finish == FinishReason.None)
                tokens[token.Request].Add(token.TokenId);
        }
        for (int i = 0; i < requests.Length; i++)
        {
            Assert.Equal(expected.Tokens(i), tokens[i]);
            Assert.Equal(expected.Text(i), texts[i]);
        }
    }

    [Fact]
    public async Task Leaving_the_stream_early_stops_the_work()
    {
        await foreach (GeneratedToken _ in _model.GenerateAsync(Long))
            break;
        Assert.Equal(_model.NumPages, _model.FreePages);
        Assert.NotEmpty(Output.Of(_model, Long[0]).Tokens(0));
    }

    [Fact]
    public async Task Cancelling_the_stream_ends_it_with_the_exception()
    {
        using CancellationTokenSource source = new();
        int tokens = 0;
        OperationCanceledException e = await Assert.ThrowsAnyAsync<OperationCanceledException>(async () =>
        {
            await foreach (GeneratedToken _ in _model.GenerateAsync(Long).WithCancellation(source.Token))
            {
                if (++tokens == 5)
                    await source.CancelAsync();
            }
        });
        Assert.Equal(source.Token, e.CancellationToken);
        Assert.Equal(_model.NumPages, _model.FreePages);
    }

    [Fact]
    public async Task A_refused_request_ends_the_stream_with_its_message() =>
        await Assert.ThrowsAsync<GenerationException>(async () =>
        {
            await foreach (GeneratedToken _ in _model.GenerateAsync([new GenerationRequest("")]))
                Assert.Fail();
        });

    [Fact]
    public void A_second_generation_at_the_same_time_is_refused() =>
        _model.Generate([new GenerationRequest("a") { MaxTokens = 2 }], (in TokenEvent _) =>
            Assert.Throws<InvalidOperationException>(() => Output.Of(_model, new GenerationRequest("b"))));

    [Fact]
    public void Disposing_twice_is_fine_and_a_disposed_model_says_so()
    {
        LanguageModel model = LanguageModel.Load(Repository.Odd, OddModel.Small);
        model.Dispose();
        model.Dispose();
        Assert.Throws<ObjectDisposedException>(() => Output.Of(model, new GenerationRequest("b")));
    }

    [Fact]
    public void Disposing_during_a_generation_ends_it_first()
    {
        LanguageModel model = LanguageModel.Load(Repository.Odd, OddModel.Small);
        int tokens = 0;
        Assert.Throws<ObjectDisposedException>(() => model.Generate([Long[0]], (in TokenEvent _) =>
        {
            if (++tokens == 3)
                model.Dispose();
        }));
        Assert.Equal(3, tokens);
        Assert.Throws<ObjectDisposedException>(() => Output.Of(model, Long[0]));
    }

    [Fact]
    public void Options_out_of_range_are_refused()
    {
        foreach (EngineOptions options in new EngineOptions[]
        {
            new() { PageSize = 0 }, new() { PageSize = 257 }, new() { NumPages = -1 }, new() { MaxSequences = 0 },
            new() { MaxSequences = 9, MaxBatchTokens = 8 }, new() { NumThreads = -1 }, new() { Device = -1 },
            new() { DType = Native.DType.I32 },
        })
            Assert.ThrowsAny<ArgumentException>(() => LanguageModel.Load(Repository.Odd, options));
    }
}

/// <summary>Alone: what others allocate and compute at the same time would blur the measurements.</summary>
[CollectionDefinition("alone", DisableParallelization = true)]
public sealed class Alone;
