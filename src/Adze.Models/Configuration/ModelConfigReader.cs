namespace Adze.Models;

/// <summary>Reads <c>config.json</c> and <c>generation_config.json</c>. Absent keys take the defaults of Hugging
/// Face's LlamaConfig and MistralConfig, except for the sizes, which must be there.</summary>
internal static class ModelConfigReader
{
    private static readonly (string Name, string ModelType, ModelArchitecture Architecture)[] Known =
    [
        ("LlamaForCausalLM", "llama", ModelArchitecture.Llama),
        ("MistralForCausalLM", "mistral", ModelArchitecture.Mistral),
    ];

    public static ModelConfig Load(string directory)
    {
        JsonSection config = JsonSection.Load(Path.Combine(directory, "config.json"));
        string generationPath = Path.Combine(directory, "generation_config.json");
        JsonSection? generation = File.Exists(generationPath) ? JsonSection.Load(generationPath) : null;
        ModelArchitecture architecture = ReadArchitecture(config);
        RefuseWhatChangesTheModel(config);
        return Check(config, Read(config, generation, architecture));
    }

    private static ModelArchitecture ReadArchitecture(JsonSection config)
    {
        string[] names = config.Strings("architectures");
        if (names.Length > 1)
            throw config.Wrong("architectures", $"names {names.Length} architectures; expected one");
        string? modelType = config.String("model_type");
        (string key, string? given) = names.Length == 1 ? ("architectures", names[0]) : ("model_type", modelType);
        foreach (var known in Known)
            if (given == (names.Length == 1 ? known.Name : known.ModelType))
                return known.Architecture;
        string supported = string.Join(" and ", Known.Select(known => known.Name));
        throw config.Wrong(key, given is null
            ? $"is missing; {supported} are supported"
            : $"{ModelFormatException.Quote(given)} is not supported; {supported} are");
    }

    private static void RefuseWhatChangesTheModel(JsonSection config)
    {
        if (config.String("hidden_act") is { } activation && activation != "silu")
            throw config.Wrong("hidden_act", $"{ModelFormatException.Quote(activation)} is not supported; silu is");
        if (config.Has("quantization_config"))
            throw config.Wrong("quantization_config", "is not supported; weights must be F32, F16 or BF16");
    }

    private static ModelConfig Read(JsonSection config, JsonSection? generation, ModelArchitecture architecture)
    {
        bool llama = architecture == ModelArchitecture.Llama;
        int heads = config.Int("num_attention_heads");
        int hidden = config.Int("hidden_size");
        RopeReader rope = new(config);
        return new ModelConfig
        {
            Architecture = architecture,
            HiddenSize = hidden,
            NumLayers = config.Int("num_hidden_layers"),
            NumHeads = heads,
            NumKvHeads = config.Int("num_key_value_heads", llama ? heads : 8),
            HeadDim = config.OptionalInt("head_dim") ?? DefaultHeadDim(config, hidden, heads),
            IntermediateSize = config.Int("intermediate_size"),
            VocabularySize = config.Int("vocab_size"),
            RmsNormEpsilon = config.Positive("rms_norm_eps", 1e-6),
            Rope = rope.Read(),
            PartialRotaryFactor = rope.PartialRotaryFactor,
            MaxPositionEmbeddings = config.Int("max_position_embeddings", llama ? 2048 : 131072),
            SlidingWindow = llama ? null : ReadSlidingWindow(config),
            TieWordEmbeddings = config.Bool("tie_word_embeddings", false),
            AttentionBias = llama && config.Bool("attention_bias", false),
            MlpBias = llama && config.Bool("mlp_bias", false),
            BosTokenId = TokenIds("bos_token_id", generation, config) is [int bos, ..] ? bos : null,
            EosTokenIds = ReadEosTokenIds(generation, config),
        };
    }

    private static int DefaultHeadDim(JsonSection config, int hidden, int heads) => hidden % heads == 0
        ? hidden / heads
        : throw config.Wrong("head_dim", $"is missing, and hidden_size {hidden} is no multiple of " +
            $"num_attention_heads {heads}");

    // MistralConfig has a window of 4096 unless told otherwise; null turns it off.
    private static int? ReadSlidingWindow(JsonSection config) =>
        config.Names("sliding_window") ? config.OptionalInt("sliding_window") : 4096;

    private static int[]? TokenIds(string key, JsonSection? generation, JsonSection config) =>
        generation?.TokenIds(key) ?? config.TokenIds(key);

    // One outside the vocabulary would never come, and the text would not end.
    private static int[] ReadEosTokenIds(JsonSection? generation, JsonSection config)
    {
        JsonSection source = generation is { } first && first.TokenIds("eos_token_id") is not null ? first : config;
        int[] ids = source.TokenIds("eos_token_id") ?? [];
        int vocabularySize = config.Int("vocab_size");
        return Array.FindIndex(ids, id => id >= vocabularySize) is >= 0 and int at
            ? throw source.Wrong("eos_token_id", $"{ids[at]} is no token: vocab_size is {vocabularySize}")
            : ids;
    }

    private static ModelConfig Check(JsonSection file, ModelConfig config)
    {
        if (config.NumHeads % config.NumKvHeads != 0)
            throw file.Wrong("num_attention_heads",
                $"{config.NumHeads} is no multiple of num_key_value_heads {config.NumKvHeads}");
        if ((long)config.NumHeads * config.HeadDim > int.MaxValue)
            throw file.Wrong("head_dim", $"{config.HeadDim} times num_attention_heads {config.NumHeads} is too large");
        if (config.RotaryDim is var rotary && (rotary < 2 || rotary % 2 != 0))
            throw file.Wrong("partial_rotary_factor", $"{config.PartialRotaryFactor} of head_dim {config.HeadDim} is " +
                $"{rotary}; expected an even number of at least 2");
        return config;
    }
}
