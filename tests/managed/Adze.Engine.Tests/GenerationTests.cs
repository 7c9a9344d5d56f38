using Adze.Models;
using Adze.Text;

namespace Adze.Engine.Tests;

/// <summary>Generation on the device, against what PyTorch computed.</summary>
public sealed class GenerationTests(OddModel odd) : IClassFixture<OddModel>
{
    private readonly LanguageModel _model = odd.Model;

    [Fact]
    public void Greedy_output_is_the_reference_token_for_token() => ExpectReference(_model, Repository.Odd);

    [Fact]
    public void A_sliding_window_shorter_than_the_prompts_gives_the_reference()
    {
        using LanguageModel mistral = LanguageModel.Load(Repository.Mistral, OddModel.Small);
        ExpectReference(mistral, Repository.Mistral);
    }

    [Theory]
    [InlineData("odd")]
    [InlineData("mistral")]
    public void Chunks_waiting_and_preemption_change_nothing(string name)
    {
        string directory = name == "odd" ? Repository.Odd : Repository.Mistral;
        using LanguageModel model = LanguageModel.Load(directory, OddModel.Cramped);
        GenerationStatistics statistics = ExpectReference(model, directory);
        Assert.True(statistics.Preemptions > 0);
    }

    [Fact]
    public void A_prompt_gives_the_same_alone_and_among_others_in_any_order()
    {
        GenerationRequest[] requests = GreedyReference.Load(Repository.OddReference).Requests;
        Output together = Output.Of(_model, requests);
        GenerationRequest[] reversed = [.. requests.Reverse()];
        Output backwards = Output.Of(_model, reversed);
        for (int i = 0; i < requests.Length; i++)
        {
            Assert.Equal(Output.Of(_model, requests[i]).Tokens(0), together.Tokens(i));
            Assert.Equal(backwards.Tokens(requests.Length - 1 - i), together.Tokens(i));
        }
    }

    [Fact]
    public void Sampled_output_repeats_with_its_seed_whatever_else_is_in_the_batch()
    {
        GenerationRequest sampled = new("Once upon") { MaxTokens = 30, Temperature = 1.5f, TopP = 0.95f, Seed = 42 };
        int[] alone = Output.Of(_model, sampled).Tokens(0);
        GenerationRequest[] others =
            [new("a") { MaxTokens = 20 }, sampled with { Seed = 1 }, sampled, new("zz") { MaxTokens = 9 }];
        Assert.Equal(alone, Output.Of(_model, others).Tokens(2));
        using LanguageModel cramped = LanguageModel.Load(Repository.Odd, OddModel.Cramped);
        Assert.Equal(alone, Output.Of(cramped, others).Tokens(2));
        Assert.NotEqual(alone, Output.Of(_model, others).Tokens(1));
        Assert.NotEqual(alone, Output.Of(_model, sampled with { Temperature = 0 }).Tokens(0));
    }

    [Fact]
    public void Top_k_of_one_and_a_high_min_p_are_greedy()
    {
        GenerationRequest greedy = new("Once upon") { MaxTokens = 12 };
        int[] expected = Output.Of(_model, greedy).Tokens(0);
        Assert.Equal(expected, Output.Of(_model, greedy with { Temperature = 2, TopK = 1 }).Tokens(0));
        Assert.Equal(expected, Output.Of(_model, greedy with { Temperature = 2, MinP = 1 }).Tokens(0));
    }

    [Fact]
    public void The_texts_of_the_events_are_the_decoded_completion()
    {
        GenerationRequest request = new("Ünïcödé, 漢字 and 🙂") { MaxTokens = 60, Temperature = 3, Seed = 5 };
        Output output = Output.Of(_model, request);
        Assert.Equal(_model.Tokenizer.Decode(output.Tokens(0), skipSpecialTokens: true), output.Text(0));
        Assert.Equal(FinishReason.MaxTokens, output.Reasons[0]);
    }

    [Fact]
    public void A_completion_keeps_the_space_that_it_begins_with()
    {
        using ModelCopy copy = new(Repository.Odd);
        WriteSentencePieceTokenizer(copy["tokenizer.json"]);
        using LanguageModel model = LanguageModel.Load(copy.Directory, OddModel.Small);
        int[] prompt = [300, 301];
        Output output = Output.Of(model, new GenerationRequest(prompt) { MaxTokens = 4 });
        Assert.Equal("p300 p301", model.Tokenizer.Decode(prompt)); // at the beginning of a text it is stripped
        Assert.Equal(model.Tokenizer.Decode([.. prompt, .. output.Tokens(0)]), "p300 p301" + output.Text(0));
        Assert.StartsWith(" p", output.Text(0), StringComparison.Ordinal);
    }

    [Fact]
    public void A_stop_token_is_neither_reported_nor_in_the_text()
    {
        GenerationRequest request = new("Once upon") { MaxTokens = 20 };
        int[] all = Output.Of(_model, request).Tokens(0);
        int stop = FirstLater(all);
        Output stopped = Output.Of(_model, request with { StopTokenIds = [stop] });
        Assert.Equal(all[..Array.IndexOf(all, stop)], stopped.Tokens(0));
        Assert.Equal(FinishReason.StopToken, stopped.Reasons[0]);
        Assert.Equal(_model.Tokenizer.Decode(stopped.Tokens(0)), stopped.Text(0));
    }

    [Fact]
    public void The_models_end_tokens_stop_and_come_from_generation_config()
    {
        int[] all = Output.Of(_model, new GenerationRequest("Once upon") { MaxTokens = 20 }).Tokens(0);
        int end = FirstLater(all);
        using ModelCopy copy = new(Repository.Odd);
        File.WriteAllText(copy["generation_config.json"], $$"""{"eos_token_id": [511, {{end}}]}""");
        using LanguageModel model = LanguageModel.Load(copy.Directory, OddModel.Small);
        Output output = Output.Of(model, new GenerationRequest("Once upon") { MaxTokens = 20 });
        Assert.Equal(all[..Array.IndexOf(all, end)], output.Tokens(0));
        Assert.Equal(FinishReason.StopToken, output.Reasons[0]);
    }

    [Fact]
    public void Special_tokens_around_a_text_are_the_post_processors_and_no_others()
    {
        using ModelCopy copy = new(Repository.Odd);
        File.WriteAllText(copy["generation_config.json"], """{"bos_token_id": 7}""");
        using (LanguageModel model = LanguageModel.Load(copy.Directory, OddModel.Small))
            Assert.Equal(_model.Encode("Once"), model.Encode("Once"));
        string json = File.ReadAllText(copy["tokenizer.json"]);
        File.WriteAllText(copy["tokenizer.json"], RemoveMember(json, "post_processor"));
        using (LanguageModel model = LanguageModel.Load(copy.Directory, OddModel.Small))
            Assert.Equal(_model.Encode("Once"), model.Encode("Once"));
    }

    [Fact]
    public void The_context_is_the_limit()
    {
        int[] prompt = [.. Enumerable.Range(0, 250)];
        Output output = Output.Of(_model, new GenerationRequest(prompt) { MaxTokens = 100, IgnoreEndTokens = true });
        Assert.Equal(6, output.Tokens(0).Length);
        Assert.Equal(FinishReason.ContextLimit, output.Reasons[0]);
    }

    [Fact]
    public void What_cannot_be_served_is_refused_before_anything_runs()
    {
        Refuse("context holds 256", new GenerationRequest(new int[256]));
        Refuse("no token", new GenerationRequest(ReadOnlyMemory<int>.Empty));
        Refuse("no token", new GenerationRequest(""));
        Refuse("token 512", new GenerationRequest(new[] { 1, 512 }));
        Refuse("token -1", new GenerationRequest(new[] { -1 }));
        using LanguageModel cramped = LanguageModel.Load(Repository.Odd, OddModel.Cramped);
        GenerationException refused = Assert.Throws<GenerationException>(
            () => Output.Of(cramped, new GenerationRequest("a") { MaxTokens = 255 }));
        Assert.Contains("KV cache, which holds 120", refused.Message, StringComparison.Ordinal);

        void Refuse(string why, GenerationRequest request)
        {
            int events = 0;
            GenerationException exception = Assert.Throws<GenerationException>(
                () => _model.Generate([new GenerationRequest("fine"), request], (in TokenEvent _) => events++));
            Assert.Contains(why, exception.Message, StringComparison.Ordinal);
            Assert.Equal(0, events);
        }
    }

    [Theory]
    [InlineData(-1, 0, 0, 1)]
    [InlineData(float.NaN, 0, 0, 1)]
    [InlineData(float.PositiveInfinity, 0, 0, 1)]
    [InlineData(1, -0.1f, 0, 1)]
    [InlineData(1, 1.1f, 0, 1)]
    [InlineData(1, float.NaN, 0, 1)]
    [InlineData(1, 0, 1.5f, 1)]
    [InlineData(1, 0, float.NaN, 1)]
    [InlineData(1, 0, 0, 0)]
    [InlineData(1, 0, 0, -3)]
    public void Settings_out_of_range_are_refused(float temperature, float topP, float minP, int maxTokens) =>
        Assert.Throws<ArgumentOutOfRangeException>(() => Output.Of(_model, new GenerationRequest("a")
        {
            Temperature = temperature,
            TopP = topP,
            MinP = minP,
            MaxTokens = maxTokens,
        }));

    [Fact]
    public void No_requests_are_no_work() =>
        Assert.Equal(0, _model.Generate([], (in TokenEvent _) => Assert.Fail()).Steps);

    [Fact]
    public void Logits_that_are_not_numbers_are_a_clear_error_and_free_the_pages()
    {
        using ModelCopy copy = new(Repository.Odd);
        SafetensorsBytes.Fill(copy["model-00002-of-00002.safetensors"], "model.norm.weight", 0xff); // NaN in every type
        using LanguageModel model = LanguageModel.Load(copy.Directory, OddModel.Small);
        GenerationException exception = Assert.Throws<GenerationException>(
            () => model.Generate([new GenerationRequest("a")], (in TokenEvent _) => { }));
        Assert.Contains("not finite", exception.Message, StringComparison.Ordinal);
        Assert.Equal(model.NumPages, model.FreePages);
    }

    [Fact]
    public void Unusable_folders_are_named()
    {
        Assert.Throws<ModelFormatException>(() => LanguageModel.Load("/no/such/folder"));
        using ModelCopy copy = new(Repository.Odd);
        File.WriteAllText(copy["tokenizer.json"], "{\"model\": ");
        Assert.Contains("tokenizer.json", Assert.Throws<TokenizerException>(
            () => LanguageModel.Load(copy.Directory, OddModel.Small)).Message, StringComparison.Ordinal);
        File.Delete(copy["tokenizer.json"]);
        Assert.Throws<TokenizerException>(() => LanguageModel.Load(copy.Directory, OddModel.Small));
    }

    private static GenerationStatistics ExpectReference(LanguageModel model, string directory)
    {
        GreedyReference reference = GreedyReference.Load(Path.Combine(directory, "reference.safetensors"));
        Output output = Output.Of(model, reference.Requests);
        for (int i = 0; i < reference.Prompts.Length; i++)
            Assert.Equal(reference.Answers[i], output.Tokens(i));
        return output.Statistics;
    }

    /// <summary>A token that is not among the first three.</summary>
    private static int FirstLater(int[] tokens) => tokens.Skip(3).First(token => Array.IndexOf(tokens, token) >= 3);

    /// <summary>A vocabulary of words, as Llama 2 spells and decodes them.</summary>
    private static void WriteSentencePieceTokenizer(string path)
    {
        IEnumerable<string> vocabulary = Enumerable.Range(0, 512).Select(i => $"\"\u2581p{i}\": {i}");
        File.WriteAllText(path, $$"""
            {
              "added_tokens": [], "normalizer": null, "pre_tokenizer": null, "post_processor": null,
              "decoder": {"type": "Sequence", "decoders": [
                {"type": "Replace", "pattern": {"String": "\u2581"}, "content": " "}, {"type": "ByteFallback"},
                {"type": "Fuse"}, {"type": "Strip", "content": " ", "start": 1, "stop": 0}]},
              "model": {"type": "BPE", "vocab": { {{string.Join(", ", vocabulary)}} }, "merges": []}
            }
            """);
    }

    private static string RemoveMember(string json, string name)
    {
        System.Text.Json.Nodes.JsonNode root = System.Text.Json.Nodes.JsonNode.Parse(json)!;
        Assert.True(root.AsObject().Remove(name));
        return root.ToJsonString();
    }
}
