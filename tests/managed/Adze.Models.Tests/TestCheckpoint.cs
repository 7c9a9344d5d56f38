using System.Text.Json.Nodes;

namespace Adze.Models.Tests;

/// <summary>A small correct checkpoint whose parts a test can change before it is written.</summary>
internal sealed class TestCheckpoint
{
    public JsonObject Config { get; } = (JsonObject)JsonNode.Parse("""
        {"architectures":["LlamaForCausalLM"],"model_type":"llama","hidden_size":16,"num_hidden_layers":2,
        "num_attention_heads":2,"num_key_value_heads":1,"head_dim":8,"intermediate_size":24,"vocab_size":32,
        "hidden_act":"silu","rms_norm_eps":1e-5,"rope_theta":10000.0,"rope_scaling":null,
        "max_position_embeddings":64,"tie_word_embeddings":false,"bos_token_id":1,"eos_token_id":2}
        """)!;

    /// <summary>Tensors in the order in which they are stored; filled by <see cref="AddTensors"/>.</summary>
    public List<(string Name, string DType, long[] Shape, byte[] Data)> Tensors { get; private set; } = [];

    public TestCheckpoint With(string key, JsonNode? value)
    {
        Config[key] = value;
        return this;
    }

    /// <summary>Adds all tensors that the configuration wants, with random values.</summary>
    public TestCheckpoint AddTensors(TestFolder folder, string dtype = "F32", int seed = 1)
    {
        folder.Write("config.json", Config);
        Random random = new(seed);
        foreach ((string name, long[] shape) in LlamaTensors.All(ModelConfig.Load(folder.Path)))
            Tensors.Add((name, dtype, shape, Values(shape, dtype, random, centre: shape.Length == 1 ? 1 : 0)));
        return this;
    }

    public void Change(string name, string? newName = null, string? dtype = null, long[]? shape = null)
    {
        int at = Tensors.FindIndex(tensor => tensor.Name == name);
        (string Name, string DType, long[] Shape, byte[] Data) tensor = Tensors[at];
        (tensor.Name, tensor.DType, tensor.Shape) = (newName ?? name, dtype ?? tensor.DType, shape ?? tensor.Shape);
        tensor.Data = new byte[tensor.Shape.Aggregate(1L, (a, b) => a * b) * Bytes(tensor.DType)];
        Tensors[at] = tensor;
    }

    public void Write(TestFolder folder)
    {
        folder.Write("config.json", Config);
        folder.Write("model.safetensors", Safetensors.File(Tensors));
    }

    /// <summary>Writes the first tensors to one shard and the others to a second.</summary>
    public JsonObject WriteShards(TestFolder folder, int inFirst)
    {
        folder.Write("config.json", Config);
        folder.Write("a.safetensors", Safetensors.File(Tensors[..inFirst]));
        folder.Write("b.safetensors", Safetensors.File(Tensors[inFirst..]));
        JsonObject map = [];
        for (int i = 0; i < Tensors.Count; i++)
            map[Tensors[i].Name] = i < inFirst ? "a.safetensors" : "b.safetensors";
        JsonObject index = new() { ["metadata"] = new JsonObject { ["total_size"] = 1 }, ["weight_map"] = map };
        folder.Write("model.safetensors.index.json", index);
        return index;
    }

    private static byte[] Values(long[] shape, string dtype, Random random, float centre)
    {
        MemoryStream stream = new();
        BinaryWriter writer = new(stream);
        for (long i = shape.Aggregate(1L, (a, b) => a * b); i > 0; i--)
        {
            float value = centre + (random.NextSingle() - 0.5f);
            if (dtype == "F32")
                writer.Write(value);
            else if (dtype == "F16")
                writer.Write((Half)value);
            else
                writer.Write((ushort)(BitConverter.SingleToUInt32Bits(value) >> 16));
        }
        return stream.ToArray();
    }

    private static int Bytes(string dtype) => dtype switch { "F64" or "I64" => 8, "F32" => 4, "U8" => 1, _ => 2 };
}
