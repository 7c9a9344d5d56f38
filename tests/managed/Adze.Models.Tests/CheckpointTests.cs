using System.Text.Json.Nodes;

namespace Adze.Models.Tests;

public sealed class CheckpointTests : IDisposable
{
    private const string Query = "model.layers.1.self_attn.q_proj.weight";

    private readonly TestFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData("F32")]
    [InlineData("F16")]
    [InlineData("BF16")]
    public void OpensASingleFile(string dtype)
    {
        TestCheckpoint made = new TestCheckpoint().AddTensors(_folder, dtype);
        made.Write(_folder);
        using Checkpoint checkpoint = Checkpoint.Open(_folder.Path);
        Assert.Equal(21, checkpoint.TensorNames.Count);
        Assert.Equal($"{dtype} [16, 16]", checkpoint[Query].Description);
        foreach ((string name, _, _, byte[] data) in made.Tensors)
            Assert.Equal(data, checkpoint.GetData(name).Slice(0, data.Length).ToArray());
        Assert.Contains("'none' is missing", Refused.By(() => checkpoint.GetData("none")));
    }

    [Fact]
    public void OpensShards()
    {
        TestCheckpoint made = new TestCheckpoint().AddTensors(_folder);
        made.WriteShards(_folder, 10);
        using Checkpoint checkpoint = Checkpoint.Open(_folder.Path);
        foreach ((string name, _, _, byte[] data) in made.Tensors)
            Assert.Equal(data, checkpoint.GetData(name).Slice(0, data.Length).ToArray());
        Assert.Equal(_folder.File("a.safetensors"), checkpoint.FileOf(made.Tensors[9].Name).Path);
        Assert.Equal(_folder.File("b.safetensors"), checkpoint.FileOf(made.Tensors[10].Name).Path);
    }

    [Fact]
    public void MissingTensorIsNamed()
    {
        TestCheckpoint made = new TestCheckpoint().AddTensors(_folder);
        foreach (string name in made.Tensors.Select(tensor => tensor.Name).ToArray())
        {
            TestCheckpoint lacking = new TestCheckpoint().AddTensors(_folder);
            lacking.Tensors.RemoveAll(tensor => tensor.Name == name);
            lacking.Write(_folder);
            Assert.Contains($"tensor '{name}' is missing", Open());
        }
    }

    [Theory]
    [InlineData("F64", "is F64 [16, 16]; expected F32, F16 or BF16 [16, 16]")]
    [InlineData("I64", "is I64 [16, 16]; expected F32, F16 or BF16 [16, 16]")]
    [InlineData("U8", "is U8 [16, 16]; expected F32, F16 or BF16 [16, 16]")]
    [InlineData("I16", "is I16 [16, 16]; expected F32, F16 or BF16 [16, 16]")]
    public void WrongTypeIsNamed(string dtype, string expected)
    {
        TestCheckpoint made = new TestCheckpoint().AddTensors(_folder);
        made.Change(Query, dtype: dtype);
        made.Write(_folder);
        Assert.Contains($"model.safetensors: tensor '{Query}' {expected}", Open());
    }

    [Theory]
    [InlineData(Query, new long[] { 16, 8 }, "is F32 [16, 8]; expected F32 [16, 16]")]
    [InlineData(Query, new long[] { 256 }, "is F32 [256]; expected F32 [16, 16]")]
    [InlineData(Query, new long[] { 16, 16, 1 }, "is F32 [16, 16, 1]; expected F32 [16, 16]")]
    [InlineData(Query, new long[] { }, "is F32 []; expected F32 [16, 16]")]
    [InlineData(Query, new long[] { 0, 16 }, "is F32 [0, 16]; expected F32 [16, 16]")]
    [InlineData("model.layers.0.self_attn.v_proj.weight", new long[] { 16, 8 }, "is F32 [16, 8]; expected F32 [8, 16]")]
    [InlineData("model.layers.0.mlp.down_proj.weight", new long[] { 24, 16 }, "is F32 [24, 16]; expected F32 [16, 24]")]
    [InlineData("model.norm.weight", new long[] { 1, 16 }, "is F32 [1, 16]; expected F32 [16]")]
    [InlineData("lm_head.weight", new long[] { 16, 32 }, "is F32 [16, 32]; expected F32 [32, 16]")]
    public void WrongShapeIsNamed(string name, long[] shape, string expected)
    {
        TestCheckpoint made = new TestCheckpoint().AddTensors(_folder);
        made.Change(name, shape: shape);
        made.Write(_folder);
        Assert.Contains($"tensor '{name}' {expected}", Open());
    }

    [Theory]
    [InlineData("model.layers.0.self_attn.q_proj.bias")]
    [InlineData("model.layers.0.self_attn.q_norm.weight")]
    [InlineData("model.layers.2.input_layernorm.weight")]
    [InlineData("score.weight")]
    public void TensorThatWouldBeIgnoredIsRefused(string name)
    {
        TestCheckpoint made = new TestCheckpoint().AddTensors(_folder);
        made.Tensors.Add((name, "F32", [16], new byte[64]));
        made.Write(_folder);
        Assert.Contains($"tensor '{name}' is not part of LlamaForCausalLM with this config.json", Open());
    }

    [Fact]
    public void OldRotaryFrequenciesAreIgnored()
    {
        TestCheckpoint made = new TestCheckpoint().AddTensors(_folder);
        made.Tensors.Add(("model.layers.0.self_attn.rotary_emb.inv_freq", "F64", [4], new byte[32]));
        made.Write(_folder);
        Checkpoint.Open(_folder.Path).Dispose();
    }

    [Fact]
    public void BiasesAreExpectedWhereTheConfigurationSaysSo()
    {
        TestCheckpoint made = new TestCheckpoint().With("attention_bias", true).With("mlp_bias", true);
        made.AddTensors(_folder);
        made.Write(_folder);
        using (Checkpoint checkpoint = Checkpoint.Open(_folder.Path))
        {
            Assert.Equal("F32 [8]", checkpoint["model.layers.1.self_attn.k_proj.bias"].Description);
            Assert.Equal("F32 [24]", checkpoint["model.layers.1.mlp.up_proj.bias"].Description);
            Assert.Equal(21 + 2 * 7, checkpoint.TensorNames.Count);
        }
        made.Tensors.RemoveAll(tensor => tensor.Name.EndsWith("o_proj.bias", StringComparison.Ordinal));
        made.Write(_folder);
        Assert.Contains("'model.layers.0.self_attn.o_proj.bias' is missing", Open());
    }

    [Fact]
    public void TiedHeadMayBeStoredOnceMoreButNotDiffer()
    {
        TestCheckpoint made = new TestCheckpoint().With("tie_word_embeddings", true).AddTensors(_folder);
        Assert.DoesNotContain(made.Tensors, tensor => tensor.Name == "lm_head.weight");
        made.Write(_folder);
        Checkpoint.Open(_folder.Path).Dispose();
        (_, string dtype, long[] shape, byte[] data) = made.Tensors[0];
        made.Tensors.Add(("lm_head.weight", dtype, shape, [.. data]));
        made.Write(_folder);
        Checkpoint.Open(_folder.Path).Dispose();
        made.Tensors[^1].Data[^1] ^= 1;
        made.Write(_folder);
        Assert.Contains("'lm_head.weight' differs from model.embed_tokens.weight", Open());
    }

    [Theory]
    [InlineData("\"../a.safetensors\"")]
    [InlineData("\"sub/a.safetensors\"")]
    [InlineData("\"..\\\\a.safetensors\"")]
    [InlineData("\"/etc/passwd\"")]
    [InlineData("\"config.json\"")]
    [InlineData("\"a.safetensors\\u0000\"")]
    [InlineData("\"\"")]
    [InlineData("3")]
    [InlineData("null")]
    public void IndexLeadsNowhereElse(string file)
    {
        JsonObject index = Sharded();
        index["weight_map"]![Query] = JsonNode.Parse(file);
        _folder.Write("model.safetensors.index.json", index);
        string message = Open();
        Assert.StartsWith(_folder.File("model.safetensors.index.json"), message);
        Assert.Contains($"weight_map.{Query} is '", message);
    }

    [Fact]
    public void IndexMustFitTheShards()
    {
        JsonObject index = Sharded();
        index["weight_map"]![Query] = "c.safetensors";
        _folder.Write("model.safetensors.index.json", index);
        Assert.Contains("b.safetensors: holds tensor 'model.layers.1.self_attn.q_proj.weight', which", Open());
        index["weight_map"]![Query] = "a.safetensors";
        _folder.Write("model.safetensors.index.json", index);
        Assert.Contains("b.safetensors: holds tensor", Open());
        index["weight_map"]![Query] = "b.safetensors";
        index["weight_map"]!["more"] = "a.safetensors";
        _folder.Write("model.safetensors.index.json", index);
        Assert.Contains("a.safetensors: tensor 'more' is missing, which model.safetensors.index.json says", Open());
        index["weight_map"]!["more"] = "none.safetensors";
        _folder.Write("model.safetensors.index.json", index);
        Assert.Contains("none.safetensors: no such file", Open());
    }

    [Theory]
    [InlineData("{}", "weight_map is missing")]
    [InlineData("{\"weight_map\":{}}", "weight_map is empty")]
    [InlineData("{\"weight_map\":[]}", "weight_map is '[]'; expected an object")]
    [InlineData("[]", "is not a JSON object")]
    [InlineData("{\"weight_map\":{\"a\":\"a.safetensors\",\"a\":\"b.safetensors\"}}", "is not valid JSON")]
    [InlineData("{\"weight_map\":{\"\\ud800\":\"a.safetensors\"}}", "index.json")]
    public void WrongIndexIsNamed(string json, string expected)
    {
        Sharded();
        _folder.Write("model.safetensors.index.json", json);
        Assert.Contains(expected, Open());
    }

    [Fact]
    public void FoldersWithoutAModelAreNamed()
    {
        Assert.Contains("no such folder", Refused.By(() => Checkpoint.Open(_folder.File("none"))));
        Assert.Contains("no such folder", Refused.By(() => Checkpoint.Open("")));
        Assert.Contains("config.json: no such file", Open());
        new TestCheckpoint().AddTensors(_folder);
        Assert.Contains("has neither model.safetensors nor model.safetensors.index.json", Open());
        string file = _folder.File("config.json");
        Assert.Contains("is a file, not a model folder", Refused.By(() => Checkpoint.Open(file)));
        _folder.Write("model.safetensors", [1, 2, 3]);
        Assert.Contains("model.safetensors: is 3 bytes", Open());
    }

    [Fact]
    public void LayersBeyondReasonAreRefusedAtTheFirstThatIsMissing()
    {
        TestCheckpoint made = new TestCheckpoint().AddTensors(_folder);
        made.With("num_hidden_layers", int.MaxValue).Write(_folder);
        Assert.Contains("tensor 'model.layers.2.input_layernorm.weight' is missing", Open());
    }

    [Fact]
    public void OpensTheReferenceFolders()
    {
        foreach (string name in (string[])["odd", "mistral"])
            using (Checkpoint checkpoint = Checkpoint.Open(Repository.Path("tests/reference", name)))
                Assert.Equal(512, checkpoint.Config.VocabularySize);
    }

    private JsonObject Sharded() => new TestCheckpoint().AddTensors(_folder).WriteShards(_folder, 10);

    private string Open() => Refused.By(() => Checkpoint.Open(_folder.Path).Dispose());
}
