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
        RopeConfig rope = RopeConfig.Read(config);
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
            RopeTheta = rope.Theta,
            RopeScaling = rope.Scaling,
            PartialRotaryFactor = rope.PartialRotaryFactor,
            MaxPositionEmbeddings = config.Int("max_position_embeddings", llama ? 2048 : 131072),
            SlidingWindow = llama ? null : ReadSlidingWindow(config),
            TieWordEmbeddings = config.Bool("tie_word_embeddings", false),
            AttentionBias = llama && config.Bool("attention_bias", false),
            MlpBias = llama && config.Bool("mlp_bias", false),
            BosTokenId = TokenIds("bos_token_id", generation, config) is [int bos, ..] ? bos : null,
            EosTokenIds = TokenIds("eos_token_id", generation, config) ?? [],
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

/// <summary>What the configuration says about rotary embeddings, in any of its spellings: <c>rope_theta</c>,
/// <c>rope_scaling</c> with <c>rope_type</c> or <c>type</c>, and, since transformers 5, both in one
/// <c>rope_parameters</c>.</summary>
internal sealed record RopeConfig(double Theta, double PartialRotaryFactor, RopeScalingConfig? Scaling)
{
    private const double DefaultTheta = 10000;

    public static RopeConfig Read(JsonSection config)
    {
        JsonSection? parameters = config.Section("rope_parameters");
        if (parameters is not null && config.Has("rope_scaling"))
            throw config.Wrong("rope_parameters", "and rope_scaling are both given; expected one of them");
        JsonSection? scaling = parameters ?? config.Section("rope_scaling");
        double partial = Either("partial_rotary_factor", config, parameters) ?? 1;
        if (partial > 1)
            throw config.Wrong("partial_rotary_factor", $"is {partial}; expected a number above 0 and at most 1");
        return new RopeConfig(Either("rope_theta", config, parameters) ?? DefaultTheta, partial,
            scaling is { } section ? ReadScaling(section, absent: parameters is null ? null : "default") : null);
    }

    private static double? Either(string key, JsonSection config, JsonSection? parameters)
    {
        double? outer = config.OptionalPositive(key);
        double? inner = parameters?.OptionalPositive(key);
        return outer is null || inner is null || outer == inner
            ? inner ?? outer
            : throw config.Wrong(key, $"is {outer}, but {inner} in rope_parameters");
    }

    private static RopeScalingConfig? ReadScaling(JsonSection scaling, string? absent)
    {
        string? name = scaling.String("rope_type");
        string? oldName = scaling.String("type");
        if (name is not null && oldName is not null && name != oldName)
            throw scaling.Wrong("rope_type", $"{ModelFormatException.Quote(name)} differs from type " +
                ModelFormatException.Quote(oldName));
        return (name ?? oldName ?? absent) switch
        {
            "default" => null,
            "linear" => new RopeScalingConfig(RopeScalingKind.Linear, scaling.Positive("factor")),
            "llama3" => ReadLlama3(scaling),
            null => throw scaling.Wrong("rope_type", "is missing"),
            { } other => throw scaling.Wrong("rope_type",
                $"{ModelFormatException.Quote(other)} is not supported; default, linear and llama3 are"),
        };
    }

    private static RopeScalingConfig ReadLlama3(JsonSection scaling)
    {
        RopeScalingConfig config = new(RopeScalingKind.Llama3, scaling.Positive("factor"),
            scaling.Positive("low_freq_factor"), scaling.Positive("high_freq_factor"),
            scaling.Positive("original_max_position_embeddings"));
        return config.HighFrequencyFactor > config.LowFrequencyFactor
            ? config
            : throw scaling.Wrong("high_freq_factor", $"{config.HighFrequencyFactor} is not above low_freq_factor " +
                $"{config.LowFrequencyFactor}");
    }
}
