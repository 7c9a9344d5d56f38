using System.Text.Json.Nodes;
using Adze.Native;

namespace Adze.Models.Tests;

public sealed class ModelConfigTests : IDisposable
{
    private readonly TestFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void ReadsWhatIsThere()
    {
        ModelConfig config = Load(new TestCheckpoint());
        Assert.Equal(ModelArchitecture.Llama, config.Architecture);
        Assert.Equal((16, 2), (config.HiddenSize, config.NumLayers));
        Assert.Equal((2, 1, 8), (config.NumHeads, config.NumKvHeads, config.HeadDim));
        Assert.Equal((24, 32, 64), (config.IntermediateSize, config.VocabularySize, config.MaxPositionEmbeddings));
        Assert.Equal((1e-5, 10000.0), (config.RmsNormEpsilon, config.Rope.Theta));
        Assert.Equal((1, 2), (config.BosTokenId, config.EosTokenIds.Single()));
        Assert.Equal(RopeScalingKind.None, config.Rope.Kind);
        Assert.Null(config.SlidingWindow);
        Assert.False(config.TieWordEmbeddings || config.AttentionBias || config.MlpBias);
        Assert.Equal((1.0, 8), (config.PartialRotaryFactor, config.RotaryDim));
    }

    [Fact]
    public void FillsInHuggingFacesDefaults()
    {
        ModelConfig llama = Load("""
            {"model_type":"llama","hidden_size":48,"num_hidden_layers":2,"num_attention_heads":3,"intermediate_size":24,
            "vocab_size":32}
            """);
        Assert.Equal((3, 16), (llama.NumKvHeads, llama.HeadDim));
        Assert.Equal((1e-6, 10000.0, 2048), (llama.RmsNormEpsilon, llama.Rope.Theta, llama.MaxPositionEmbeddings));
        Assert.Null(llama.BosTokenId);
        Assert.Empty(llama.EosTokenIds);
        ModelConfig mistral = Load("""
            {"architectures":["MistralForCausalLM"],"hidden_size":64,"num_hidden_layers":2,"num_attention_heads":16,
            "intermediate_size":24,"vocab_size":32}
            """);
        Assert.Equal(ModelArchitecture.Mistral, mistral.Architecture);
        Assert.Equal((8, 4096, 131072), (mistral.NumKvHeads, mistral.SlidingWindow, mistral.MaxPositionEmbeddings));
    }

    [Theory]
    [InlineData("MistralForCausalLM", "16", 16)]
    [InlineData("MistralForCausalLM", "null", null)]
    [InlineData("LlamaForCausalLM", "16", null)]
    public void OnlyMistralHasAWindow(string architecture, string json, int? window)
    {
        TestCheckpoint checkpoint = new TestCheckpoint().With("architectures", new JsonArray(architecture));
        Assert.Equal(window, Load(checkpoint.With("sliding_window", JsonNode.Parse(json))).SlidingWindow);
    }

    [Theory]
    [InlineData("""{"rope_type":"llama3","factor":8,"low_freq_factor":1,"high_freq_factor":4,"original_max_position_embeddings":8192}""")]
    [InlineData("""{"type":"llama3","factor":8.0,"low_freq_factor":1.0,"high_freq_factor":4.0,"original_max_position_embeddings":8192}""")]
    public void ReadsLlama3Scaling(string json) => Assert.Equal(
        new RopeScaling(10000, RopeScalingKind.Llama3, 8, 1, 4, 8192),
        Load(new TestCheckpoint().With("rope_scaling", JsonNode.Parse(json))).Rope);

    [Fact]
    public void ReadsOtherScalings()
    {
        Assert.Equal(new RopeScaling(10000, RopeScalingKind.Linear, 2.5),
            Load(new TestCheckpoint().With("rope_scaling", JsonNode.Parse("""{"type":"linear","factor":2.5}"""))).Rope);
        Assert.Equal(new RopeScaling(10000),
            Load(new TestCheckpoint().With("rope_scaling", JsonNode.Parse("""{"rope_type":"default"}"""))).Rope);
    }

    [Fact]
    public void ReadsRopeParametersOfTransformers5()
    {
        TestCheckpoint checkpoint = new();
        checkpoint.Config.Remove("rope_theta");
        checkpoint.Config.Remove("rope_scaling");
        ModelConfig config = Load(checkpoint.With("rope_parameters",
            JsonNode.Parse("""{"rope_type":"linear","factor":4,"rope_theta":500000.0,"partial_rotary_factor":0.5}""")));
        Assert.Equal((0.5, 4), (config.PartialRotaryFactor, config.RotaryDim));
        Assert.Equal(new RopeScaling(500000, RopeScalingKind.Linear, 4), config.Rope);
        Assert.Equal(new RopeScaling(700000),
            Load(checkpoint.With("rope_parameters", JsonNode.Parse("""{"rope_theta":7e5}"""))).Rope);
    }

    [Fact]
    public void GenerationConfigComesFirst()
    {
        _folder.Write("generation_config.json", """{"eos_token_id":[5,6],"max_new_tokens":9}""");
        ModelConfig config = Load(new TestCheckpoint());
        Assert.Equal([5, 6], config.EosTokenIds);
        Assert.Equal(1, config.BosTokenId);
        _folder.Write("generation_config.json", """{"eos_token_id":null,"bos_token_id":0}""");
        config = Load(new TestCheckpoint());
        Assert.Equal([2], config.EosTokenIds);
        Assert.Equal(0, config.BosTokenId);
        _folder.Write("generation_config.json", "{");
        Assert.Contains("generation_config.json: is not valid JSON", Refused.By(() => Load(new TestCheckpoint())));
        _folder.Write("generation_config.json", """{"eos_token_id":"</s>"}""");
        string message = Refused.By(() => Load(new TestCheckpoint()));
        Assert.Contains("eos_token_id is '\"</s>\"'; expected a token id", message);
        _folder.Write("generation_config.json", """{"eos_token_id":[5,99999]}""");
        message = Refused.By(() => Load(new TestCheckpoint()));
        Assert.Contains("generation_config.json", message);
        Assert.Contains("99999 is no token", message);
    }

    [Theory]
    [InlineData("hidden_size", "null", "hidden_size is missing")]
    [InlineData("hidden_size", "0", "hidden_size is '0'; expected a whole number from 1")]
    [InlineData("hidden_size", "-16", "expected a whole number from 1")]
    [InlineData("hidden_size", "16.0", "expected a whole number")]
    [InlineData("hidden_size", "\"16\"", "expected a whole number")]
    [InlineData("hidden_size", "4294967312", "expected a whole number")]
    [InlineData("hidden_size", "[16]", "expected a whole number")]
    [InlineData("num_hidden_layers", "0", "num_hidden_layers is '0'")]
    [InlineData("num_attention_heads", "true", "num_attention_heads is 'true'")]
    [InlineData("num_key_value_heads", "3", "num_attention_heads 2 is no multiple of num_key_value_heads 3")]
    [InlineData("num_key_value_heads", "4", "num_attention_heads 2 is no multiple of num_key_value_heads 4")]
    [InlineData("head_dim", "7", "partial_rotary_factor 1 of head_dim 7 is 7; expected an even number")]
    [InlineData("head_dim", "2147483647", "head_dim 2147483647 times num_attention_heads 2 is too large")]
    [InlineData("intermediate_size", "{}", "intermediate_size is '{}'")]
    [InlineData("vocab_size", "-1", "vocab_size is '-1'")]
    [InlineData("rms_norm_eps", "0", "rms_norm_eps is '0'; expected a number above 0")]
    [InlineData("rms_norm_eps", "\"small\"", "expected a number above 0")]
    [InlineData("rope_theta", "-1", "rope_theta is '-1'; expected a number above 0")]
    [InlineData("rope_theta", "1e999", "rope_theta is '1e999'; expected a number above 0")]
    [InlineData("partial_rotary_factor", "1.5", "partial_rotary_factor is 1.5; expected a number above 0 and at most 1")]
    [InlineData("partial_rotary_factor", "0.1", "partial_rotary_factor 0.1 of head_dim 8 is 0; expected an even number")]
    [InlineData("max_position_embeddings", "0", "max_position_embeddings is '0'")]
    [InlineData("tie_word_embeddings", "1", "tie_word_embeddings is '1'; expected true or false")]
    [InlineData("attention_bias", "\"no\"", "attention_bias is '\"no\"'; expected true or false")]
    [InlineData("hidden_act", "\"gelu\"", "hidden_act 'gelu' is not supported; silu is")]
    [InlineData("hidden_act", "3", "hidden_act is '3'; expected a string")]
    [InlineData("eos_token_id", "-1", "eos_token_id is '-1'; expected a token id or a list of them")]
    [InlineData("eos_token_id", "[2,\"x\"]", "eos_token_id is '\"x\"'; expected a token id or a list of them")]
    [InlineData("quantization_config", "{\"quant_method\":\"awq\"}", "quantization_config is not supported")]
    [InlineData("architectures", "[\"BertModel\"]", "architectures 'BertModel' is not supported; LlamaForCausalLM and MistralForCausalLM are")]
    [InlineData("architectures", "[\"LlamaForSequenceClassification\"]", "is not supported")]
    [InlineData("architectures", "[\"LlamaForCausalLM\",\"X\"]", "names 2 architectures")]
    [InlineData("architectures", "\"LlamaForCausalLM\"", "expected a list of strings")]
    [InlineData("architectures", "[7]", "architectures is '7'; expected a string")]
    [InlineData("rope_scaling", "3", "rope_scaling is '3'; expected an object")]
    [InlineData("rope_scaling", "{}", "rope_scaling.rope_type is missing")]
    [InlineData("rope_scaling", "{\"rope_type\":\"yarn\",\"factor\":2}", "rope_scaling.rope_type 'yarn' is not supported; default, linear and llama3 are")]
    [InlineData("rope_scaling", "{\"rope_type\":\"linear\",\"type\":\"yarn\"}", "rope_scaling.rope_type 'linear' differs from type 'yarn'")]
    [InlineData("rope_scaling", "{\"rope_type\":\"linear\"}", "rope_scaling.factor is missing")]
    [InlineData("rope_scaling", "{\"rope_type\":\"linear\",\"factor\":-2}", "rope_scaling.factor is '-2'; expected a number above 0")]
    [InlineData("rope_scaling", "{\"rope_type\":\"llama3\",\"factor\":8}", "rope_scaling.low_freq_factor is missing")]
    [InlineData("rope_scaling", "{\"type\":\"llama3\",\"factor\":8,\"low_freq_factor\":4,\"high_freq_factor\":4,\"original_max_position_embeddings\":9}", "high_freq_factor 4 is not above low_freq_factor 4")]
    [InlineData("rope_parameters", "{\"rope_type\":\"default\",\"rope_theta\":5}", "rope_theta is 10000, but 5 in rope_parameters")]
    public void WrongValuesAreNamed(string key, string json, string expected)
    {
        string message = Refused.By(() => Load(new TestCheckpoint().With(key, JsonNode.Parse(json))));
        Assert.StartsWith(_folder.File("config.json"), message);
        Assert.Contains(expected, message);
    }

    [Theory]
    [InlineData("", "is not valid JSON")]
    [InlineData("{", "is not valid JSON")]
    [InlineData("[]", "is not a JSON object")]
    [InlineData("null", "is not a JSON object")]
    [InlineData("{\"hidden_size\":NaN}", "is not valid JSON")]
    [InlineData("{\"hidden_size\":1,\"hidden_size\":2}", "is not valid JSON")]
    [InlineData("{\"\\ud800\":1}", "config.json")]
    [InlineData("{\"model_type\":\"\\ud800\"}", "model_type is not valid text")]
    [InlineData("{}", "model_type is missing; LlamaForCausalLM and MistralForCausalLM are supported")]
    [InlineData("{\"model_type\":\"qwen9\"}", "model_type 'qwen9' is not supported")]
    [InlineData("{\"model_type\":\"llama\",\"hidden_size\":10,\"num_attention_heads\":4,\"num_hidden_layers\":1}", "head_dim is missing, and hidden_size 10 is no multiple")]
    public void WrongFilesAreNamed(string json, string expected) =>
        Assert.Contains(expected, Refused.By(() => Load(json)));

    [Fact]
    public void ByteOrderMarkIsSkipped()
    {
        _folder.Write("config.json", "\ufeff" + new TestCheckpoint().Config.ToJsonString());
        Assert.Equal(16, ModelConfig.Load(_folder.Path).HiddenSize);
    }

    [Fact]
    public void UnreadableFilesAreNamed()
    {
        Assert.Contains("config.json: no such file", Refused.By(() => ModelConfig.Load(_folder.Path)));
        Assert.Contains("none/config.json: no such file", Refused.By(() => ModelConfig.Load(_folder.File("none"))));
        Directory.CreateDirectory(_folder.File("config.json"));
        Assert.Contains("is a folder", Refused.By(() => ModelConfig.Load(_folder.Path)));
    }

    [Fact]
    public void HugeFilesAreNotRead()
    {
        using (FileStream stream = File.Create(_folder.File("config.json")))
            stream.SetLength(1L << 40);
        Assert.Contains("is larger than the 16777216 bytes", Refused.By(() => ModelConfig.Load(_folder.Path)));
        File.Delete(_folder.File("config.json"));
        File.CreateSymbolicLink(_folder.File("config.json"), "/dev/zero");
        Assert.Contains("is larger than the 16777216 bytes", Refused.By(() => ModelConfig.Load(_folder.Path)));
    }

    [Fact]
    public void MutationsLoadOrAreRefused()
    {
        using TestFolder folder = TestFolder.InMemory();
        string whole = new TestCheckpoint().Config.ToJsonString();
        for (int seed = 0; seed < 3000; seed++)
        {
            folder.Write("config.json", Mutate(whole, new Random(seed)));
            try
            {
                ModelConfig config = ModelConfig.Load(folder.Path);
                Assert.True(config.NumHeads % config.NumKvHeads == 0 && config.RotaryDim > 0, $"seed {seed}");
            }
            catch (ModelFormatException refused)
            {
                Assert.True(!refused.Message.Contains('\n'), $"seed {seed}: {refused.Message}");
            }
        }
    }

    private static string Mutate(string text, Random random)
    {
        string[] splices = ["null", "-1", "0", "1e99", "\"", "[", "]", "{", "}", ",", "\\ud800", "99999999999", "true"];
        int at = random.Next(text.Length), length = random.Next(Math.Min(6, text.Length - at));
        return text[..at] + splices[random.Next(splices.Length)] + text[(at + length)..];
    }

    private ModelConfig Load(TestCheckpoint checkpoint) => Load(checkpoint.Config.ToJsonString());

    private ModelConfig Load(string json)
    {
        _folder.Write("config.json", json);
        return ModelConfig.Load(_folder.Path);
    }
}
