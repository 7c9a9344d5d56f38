using System.Numerics;
using System.Runtime.ExceptionServices;
using Adze.Engine.Validation;
using Adze.Models;
using Adze.Native;

namespace Adze.Engine.Calibration;

/// <summary>
/// Finds φ of the unified softmax (FlashDecoding++, arXiv 2311.01282) for each layer and query head: runs a model over
/// a text, counts its logits, and lays the bounds around φ so that they hold the most maxima. docs/calibration.md says
/// why.
/// </summary>
public sealed class AttentionCalibrator : IForwardObserver
{
    /// <summary>Keys of the smallest parts that a row's keys are split into; each is held to the bounds on its
    /// own.</summary>
    public const int PartKeys = 128;

    /// <summary>How far below φ the largest logit of a part may be, kMostBelowPhi in kernels/attention/attention_softmax.cuh.</summary>
    public const float Below = 49;

    /// <summary>How far above φ a logit may be, kMostAbovePhi there.</summary>
    public const float Above = 66;

    private readonly ModelRunner _runner;
    private readonly ModelConfig _config;
    private readonly HeadLogits[] _heads;
    private readonly float[] _q, _k;

    private AttentionCalibrator(LanguageModel model)
    {
        (_runner, _config) = (model.Runner, model.Config);
        _heads = [.. Enumerable.Range(0, _config.NumLayers * _config.NumHeads).Select(i => new HeadLogits(
            i / _config.NumHeads, i % _config.NumHeads, new LogitHistogram(), new LogitHistogram()))];
        int tokens = model.Options.MaxBatchTokens;
        _q = new float[(long)tokens * _config.NumHeads * _config.HeadDim];
        _k = new float[(long)tokens * _config.NumKvHeads * _config.HeadDim];
    }

    /// <summary>Runs the model over a text.</summary>
    /// <param name="model">The model.</param>
    /// <param name="text">From the same model.</param>
    /// <param name="progress">Told the share of the text that is done.</param>
    /// <param name="cancellationToken">Looked at between pieces.</param>
    /// <exception cref="GenerationException">A logit is not a finite number.</exception>
    public static CalibrationReport Run(LanguageModel model, CalibrationText text, IProgress<double>? progress = null,
        CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(model);
        ArgumentNullException.ThrowIfNull(text);
        AttentionCalibrator calibrator = new(model);
        for (int i = 0; i < text.Pieces.Count; i++)
        {
            // Alone in its batch, it is there with all of its keys.
            PromptBatches.Run(model, [text.Pieces[i]], (runner, _) => runner.Forward([], calibrator), cancellationToken);
            progress?.Report((i + 1.0) / text.Pieces.Count);
        }
        return calibrator.Report(text);
    }

    void IForwardObserver.OnAttention(int layer, DeviceTensor q, DeviceTensor k)
    {
        int tokens = (int)q.Rows;
        _runner.Read(q, _q.AsSpan(0, tokens * _config.NumHeads * _config.HeadDim));
        _runner.Read(k, _k.AsSpan(0, tokens * _config.NumKvHeads * _config.HeadDim));
        try
        {
            Parallel.For(0, _config.NumHeads, head => Count(_heads[layer * _config.NumHeads + head], tokens));
        }
        catch (AggregateException exception) // of a head, or of several alike
        {
            ExceptionDispatchInfo.Throw(exception.InnerExceptions[0]);
        }
    }

    private void Count(HeadLogits head, int tokens)
    {
        int dim = _config.HeadDim, kvHead = head.Head / (_config.NumHeads / _config.NumKvHeads);
        float scale = 1 / MathF.Sqrt(dim);
        for (int query = 0; query < tokens; query++)
        {
            ReadOnlySpan<float> q = _q.AsSpan((query * _config.NumHeads + head.Head) * dim, dim);
            int first = _config.SlidingWindow is { } window ? Math.Max(0, query + 1 - window) : 0;
            float maximum = float.NegativeInfinity;
            for (int key = first; key <= query; key++)
            {
                float logit = scale * Dot(q, _k.AsSpan((key * _config.NumKvHeads + kvHead) * dim, dim));
                if (!float.IsFinite(logit))
                    throw new GenerationException(
                        $"layer {head.Layer}, query head {head.Head}: the logit of query {query} and key {key} is {logit}");
                head.Logits.Add(logit);
                maximum = Math.Max(maximum, logit);
                if (key != query && (key + 1) % PartKeys != 0)
                    continue;
                head.Maxima.Add(maximum);
                maximum = float.NegativeInfinity;
            }
        }
    }

    private static float Dot(ReadOnlySpan<float> a, ReadOnlySpan<float> b)
    {
        Vector<float> sums = Vector<float>.Zero;
        int i = 0;
        for (; i + Vector<float>.Count <= a.Length; i += Vector<float>.Count)
            sums += new Vector<float>(a[i..]) * new Vector<float>(b[i..]);
        float sum = Vector.Sum(sums);
        for (; i < a.Length; i++)
            sum += a[i] * b[i];
        return sum;
    }

    private CalibrationReport Report(CalibrationText text)
    {
        HeadPhi[] phi = [.. _heads.Select(head =>
        {
            (double begin, double within) = head.Maxima.BestInterval(Below + Above);
            return new HeadPhi(begin + Below, within);
        })];
        AttentionCalibration calibration = new(
            text.Name, [.. phi.Select(head => (float)head.Phi).Chunk(_config.NumHeads)]);
        return new CalibrationReport(calibration, text.Pieces.Sum(piece => (long)piece.Length), _heads, phi);
    }
}
