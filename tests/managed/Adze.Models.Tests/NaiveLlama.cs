using Adze.Native;

namespace Adze.Models.Tests;

/// <summary>The oracle for what the PyTorch references do not exercise (biases, partial rotary, linear scaling): the
/// forward pass in float64, one token after the other, without a cache of anything but keys and values.</summary>
internal sealed class NaiveLlama(Checkpoint checkpoint)
{
    private readonly ModelConfig _config = checkpoint.Config;
    private readonly Dictionary<string, double[]> _tensors = checkpoint.TensorNames.ToDictionary(
        name => name, name => Array.ConvertAll(checkpoint.FileOf(name).CopyFloats(name), value => (double)value));

    /// <summary>For each layer the rotated queries and keys of the last run.</summary>
    public List<(double[][] Q, double[][] K)> Rotated { get; } = [];

    /// <summary>The logits of every token.</summary>
    public float[][] Run(int[] ids)
    {
        double[][] hidden = [.. ids.Select(id =>
            _tensors["model.embed_tokens.weight"].AsSpan(id * _config.HiddenSize, _config.HiddenSize).ToArray())];
        for (int layer = 0; layer < _config.NumLayers; layer++)
        {
            string name = $"model.layers.{layer}.";
            Add(hidden, Attention($"{name}self_attn.", Norm($"{name}input_layernorm", hidden)));
            Add(hidden, Mlp($"{name}mlp.", Norm($"{name}post_attention_layernorm", hidden)));
        }
        string head = _config.TieWordEmbeddings ? "model.embed_tokens" : "lm_head";
        double[][] logits = Linear(head, Norm("model.norm", hidden));
        return [.. logits.Select(row => Array.ConvertAll(row, value => (float)value))];
    }

    private double[][] Attention(string name, double[][] x)
    {
        double[][] q = Linear($"{name}q_proj", x), k = Linear($"{name}k_proj", x), v = Linear($"{name}v_proj", x);
        for (int position = 0; position < x.Length; position++)
            (q[position], k[position]) = (Rope(q[position], position), Rope(k[position], position));
        Rotated.Add((q, k));
        int dim = _config.HeadDim, group = _config.NumHeads / _config.NumKvHeads;
        return Linear($"{name}o_proj", [.. x.Select((_, position) => Enumerable.Range(0, _config.NumHeads)
            .SelectMany(head => Attend(position, head * dim, head / group * dim)).ToArray())]);

        double[] Attend(int position, int qStart, int kvStart)
        {
            int first = Math.Max(0, position + 1 - (_config.SlidingWindow ?? int.MaxValue));
            double[] weights = [.. Enumerable.Range(first, position + 1 - first).Select(j => Math.Exp(
                Enumerable.Range(0, dim).Sum(d => q[position][qStart + d] * k[j][kvStart + d]) / Math.Sqrt(dim)))];
            return [.. Enumerable.Range(0, dim).Select(d =>
                weights.Select((weight, j) => weight * v[first + j][kvStart + d]).Sum() / weights.Sum())];
        }
    }

    private double[][] Mlp(string name, double[][] x)
    {
        double[][] gate = Linear($"{name}gate_proj", x), up = Linear($"{name}up_proj", x);
        return Linear($"{name}down_proj",
            [.. gate.Zip(up, (g, u) => g.Zip(u, (a, b) => a / (1 + Math.Exp(-a)) * b).ToArray())]);
    }

    private double[] Rope(double[] x, int position)
    {
        double[] turned = [.. x];
        int half = _config.RotaryDim / 2;
        for (int head = 0; head < x.Length; head += _config.HeadDim)
            for (int i = 0; i < half; i++)
            {
                double angle = position * Math.Pow(_config.Rope.Theta, -(double)i / half);
                angle /= _config.Rope.Kind == RopeScalingKind.Linear ? _config.Rope.Factor : 1;
                (double a, double b) = (x[head + i], x[head + half + i]);
                turned[head + i] = a * Math.Cos(angle) - b * Math.Sin(angle);
                turned[head + half + i] = b * Math.Cos(angle) + a * Math.Sin(angle);
            }
        return turned;
    }

    private double[][] Norm(string name, double[][] x) => [.. x.Select(row =>
    {
        double scale = 1 / Math.Sqrt(row.Average(value => value * value) + _config.RmsNormEpsilon);
        return row.Select((value, i) => value * scale * _tensors[$"{name}.weight"][i]).ToArray();
    })];

    private double[][] Linear(string name, double[][] x)
    {
        double[] weight = _tensors[$"{name}.weight"];
        _tensors.TryGetValue($"{name}.bias", out double[]? bias);
        int columns = x[0].Length;
        return [.. x.Select(row => Enumerable.Range(0, weight.Length / columns).Select(n =>
            (bias?[n] ?? 0) + Enumerable.Range(0, columns).Sum(k => row[k] * weight[n * columns + k])).ToArray())];
    }

    private static void Add(double[][] hidden, double[][] update)
    {
        foreach ((double[] row, double[] added) in hidden.Zip(update))
            for (int i = 0; i < row.Length; i++)
                row[i] += added[i];
    }
}
