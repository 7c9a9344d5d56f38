namespace Adze.Models;

/// <summary>Names and shapes of the tensors of a Llama or Mistral checkpoint.</summary>
internal static class LlamaTensors
{
    public const string Embedding = "model.embed_tokens.weight";
    public const string FinalNorm = "model.norm.weight";
    public const string Head = "lm_head.weight";
    public const string InputNorm = "input_layernorm.weight";
    public const string PostAttentionNorm = "post_attention_layernorm.weight";

    /// <summary>The full name of a tensor of one layer.</summary>
    public static string InLayer(int layer, string name) => $"model.layers.{layer}.{name}";

    /// <summary>All tensors that the forward pass reads, and their shapes.</summary>
    public static IEnumerable<(string Name, long[] Shape)> All(ModelConfig config)
    {
        yield return (Embedding, [config.VocabularySize, config.HiddenSize]);
        for (int layer = 0; layer < config.NumLayers; layer++)
        {
            yield return (InLayer(layer, InputNorm), [config.HiddenSize]);
            yield return (InLayer(layer, PostAttentionNorm), [config.HiddenSize]);
            foreach ((string name, long rows, long columns, bool bias) in Projections(config))
            {
                yield return (InLayer(layer, $"{name}.weight"), [rows, columns]);
                if (bias)
                    yield return (InLayer(layer, $"{name}.bias"), [rows]);
            }
        }
        yield return (FinalNorm, [config.HiddenSize]);
        if (!config.TieWordEmbeddings)
            yield return (Head, [config.VocabularySize, config.HiddenSize]);
    }

    /// <summary>Left over from old versions of transformers: computed, never trained, and computed here anew.</summary>
    public static bool IsHarmless(string name) => name.EndsWith(".rotary_emb.inv_freq", StringComparison.Ordinal);

    private static IEnumerable<(string Name, long Rows, long Columns, bool Bias)> Projections(ModelConfig config)
    {
        long hidden = config.HiddenSize, mlp = config.IntermediateSize;
        long q = (long)config.NumHeads * config.HeadDim, kv = (long)config.NumKvHeads * config.HeadDim;
        yield return ("self_attn.q_proj", q, hidden, config.AttentionBias);
        yield return ("self_attn.k_proj", kv, hidden, config.AttentionBias);
        yield return ("self_attn.v_proj", kv, hidden, config.AttentionBias);
        yield return ("self_attn.o_proj", hidden, q, config.AttentionBias);
        yield return ("mlp.gate_proj", mlp, hidden, config.MlpBias);
        yield return ("mlp.up_proj", mlp, hidden, config.MlpBias);
        yield return ("mlp.down_proj", hidden, mlp, config.MlpBias);
    }
}
