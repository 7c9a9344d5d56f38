using Adze.Native;

namespace Adze.Models;

/// <summary>One forward pass of Llama (arXiv 2302.13971) and Mistral (arXiv 2310.06825), over a ragged batch of T
/// tokens. For each layer
/// <code>
/// hidden = hidden + Attention(RmsNorm(hidden))
/// hidden = hidden + Mlp(RmsNorm(hidden))
/// </code>
/// where each sum is computed together with the norm that follows it. Every function writes one of the preallocated
/// activations and returns its first T rows; nothing is allocated.</summary>
internal readonly ref struct LlamaForward(
    ModelConfig config, LlamaWeights weights, Activations activations, AdzeStream stream, ForwardBatch batch,
    IForwardObserver? observer)
{
    private readonly long _tokens = batch.Ids.Columns;
    private readonly float _epsilon = (float)config.RmsNormEpsilon;

    public DeviceTensor Run()
    {
        DeviceTensor hidden = Embed();
        observer?.OnHidden(0, hidden);
        DeviceTensor normed = RmsNorm(hidden, NormBefore(layer: 0));
        for (int i = 0; i < weights.Layers.Length; i++)
        {
            LlamaLayer layer = weights.Layers[i];
            normed = AddRmsNorm(hidden, Attention(normed, layer, i), layer.PostAttentionNorm);
            normed = AddRmsNorm(hidden, Mlp(normed, layer), NormBefore(i + 1));
            observer?.OnHidden(i + 1, hidden);
        }
        return batch.LogitRows.IsAbsent ? default : Logits(normed);
    }

    /// <summary>softmax(q kᵀ / √d + causal mask) v, with rotary positions, grouped heads and the paged cache.</summary>
    private DeviceTensor Attention(DeviceTensor x, LlamaLayer layer, int index)
    {
        DeviceTensor q = Rope(Project(activations.Query, x, layer.Query));
        DeviceTensor k = Rope(Project(activations.Key, x, layer.Key));
        DeviceTensor v = Project(activations.Value, x, layer.Value);
        (KvCacheView keys, KvCacheView values) = (batch.Cache.Keys(index), batch.Cache.Values(index));
        observer?.OnAttention(index, q, k);
        Native.Attention.AppendKv(stream, keys, values, k, v, batch.KvIndices, batch.Plan);
        DeviceTensor attended = Rows(activations.Attended);
        Native.Attention.Run(stream, attended, q, keys, values, batch.KvIndices, batch.Plan,
            workspace: batch.AttentionWorkspace, options: layer.Softmax);
        return Project(activations.Update, attended, layer.Output);
    }

    /// <summary>down(silu(gate(x)) · up(x)): SwiGLU (arXiv 2002.05202).</summary>
    private DeviceTensor Mlp(DeviceTensor x, LlamaLayer layer)
    {
        DeviceTensor gate = Project(activations.Gate, x, layer.Gate);
        DeviceTensor up = Project(activations.Up, x, layer.Up);
        Glue.SiluGate(stream, gate, gate, up);
        return Project(activations.Update, gate, layer.Down);
    }

    private DeviceTensor Embed()
    {
        DeviceTensor hidden = Rows(activations.Hidden);
        Glue.Embedding(stream, hidden, batch.Ids, weights.Embedding);
        return hidden;
    }

    /// <summary>The head, for the rows that want logits only.</summary>
    private DeviceTensor Logits(DeviceTensor normed)
    {
        long count = batch.LogitRows.Columns;
        DeviceTensor chosen = activations.Chosen.SliceRows(0, count), logits = activations.Logits.SliceRows(0, count);
        Glue.Embedding(stream, chosen, batch.LogitRows, normed);
        Linear.Run(stream, logits, chosen, weights.Head, workspace: activations.Workspace);
        return logits;
    }

    private DeviceTensor NormBefore(int layer) =>
        layer < weights.Layers.Length ? weights.Layers[layer].InputNorm : weights.FinalNorm;

    private DeviceTensor RmsNorm(DeviceTensor x, DeviceTensor weight)
    {
        DeviceTensor normed = Rows(activations.Normed);
        Glue.RmsNorm(stream, normed, x, weight, _epsilon);
        return normed;
    }

    /// <summary>hidden = hidden + update; RmsNorm(hidden).</summary>
    private DeviceTensor AddRmsNorm(DeviceTensor hidden, DeviceTensor update, DeviceTensor weight)
    {
        DeviceTensor normed = Rows(activations.Normed);
        Glue.RmsNorm(stream, normed, update, weight, _epsilon, residual: hidden);
        return normed;
    }

    private DeviceTensor Rope(DeviceTensor x)
    {
        Glue.Rope(stream, x, batch.Positions, weights.InverseFrequencies, config.HeadDim);
        return x;
    }

    private DeviceTensor Project(DeviceTensor target, DeviceTensor x, Projection projection)
    {
        DeviceTensor y = Rows(target);
        Linear.Run(stream, y, x, projection.Weight, projection.Bias, activations.Workspace);
        return y;
    }

    private DeviceTensor Rows(DeviceTensor tensor) => tensor.SliceRows(0, _tokens);
}
