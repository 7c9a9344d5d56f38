using Adze.Models;
using Adze.Native;

namespace Adze.Engine.Validation;

/// <summary>
/// Runs the reference's prompts as ragged batches, as generation does, and measures the residual stream after every
/// layer, and the logits of every token, against the reference.
/// </summary>
internal sealed class LayerComparison : IForwardObserver
{
    private readonly LanguageModel _model;
    private readonly ReferenceFile _reference;
    private readonly IProgress<ValidationProgress>? _progress;
    private readonly ErrorMeasure[] _hidden;
    private readonly float[][] _expectedHidden;
    private readonly ErrorMeasure _logits = new();
    private readonly float[] _expectedLogits;
    private readonly float[] _buffer;
    private int _row; // of the reference, where the batch begins

    public LayerComparison(LanguageModel model, ReferenceFile reference, IProgress<ValidationProgress>? progress)
    {
        (_model, _reference, _progress) = (model, reference, progress);
        ModelConfig config = model.Config;
        _hidden = [.. Enumerable.Range(0, config.NumLayers + 1).Select(_ => new ErrorMeasure())];
        _expectedHidden = [.. Enumerable.Range(0, config.NumLayers + 1)
            .Select(i => reference.Values(ReferenceFile.HiddenName(i), config.HiddenSize))];
        _expectedLogits = reference.Values("logits", config.VocabularySize);
        EngineOptions options = model.Options;
        _buffer = new float[Math.Max(
            (long)options.MaxBatchTokens * config.HiddenSize, (long)options.MaxSequences * config.VocabularySize)];
    }

    public IReadOnlyList<ErrorRow> Run(CancellationToken cancellationToken)
    {
        // Tolerances first: a reference that has none for this type is refused before work is spent.
        ErrorRow[] rows =
        [
            .. _hidden.Select((_, i) => Row(i == 0 ? "embedding" : $"layer {i}", ReferenceFile.HiddenName(i))),
            Row("logits", "logits"),
        ];
        PromptBatches.Run(_model, _reference.Prompts, RunBatch, cancellationToken);
        ErrorMeasure[] measures = [.. _hidden, _logits];
        return [.. rows.Select((row, i) =>
            row with { RelativeError = measures[i].Relative, LargestError = measures[i].Largest })];
    }

    public void OnHidden(int index, DeviceTensor hidden)
    {
        if (index < _hidden.Length) // The final norm's output comes last and has no reference.
            Measure(_hidden[index], hidden, _expectedHidden[index], _row);
    }

    private void RunBatch(ModelRunner runner, StepBatch batch)
    {
        int[] rows = [.. Enumerable.Range(0, batch.NumTokens)];
        int most = _model.Options.MaxSequences;
        for (int start = 0; start < rows.Length; start += most)
        {
            // The same forward pass for each part of the logits: it stores the same keys and values again.
            ReadOnlySpan<int> part = rows.AsSpan(start, Math.Min(most, rows.Length - start));
            DeviceTensor logits = runner.Forward(part, start == 0 ? this : null);
            Measure(_logits, logits, _expectedLogits, _row + start);
        }
        _row += batch.NumTokens;
        _progress?.Report(new ValidationProgress("layers", _row, _reference.NumTokens));
    }

    private void Measure(ErrorMeasure measure, DeviceTensor actual, float[] expected, int firstRow)
    {
        int columns = (int)actual.Columns, count = (int)actual.Rows * columns;
        Span<float> values = _buffer.AsSpan(0, count);
        _model.Runner.Read(actual, values);
        measure.Add(values, expected.AsSpan(firstRow * columns, count));
    }

    private ErrorRow Row(string name, string tensor)
    {
        (double relative, double largest) = _reference.Tolerance(tensor, _model.DType);
        // The other implementation's error says nothing about a cache that rounds more than activations do.
        if (_model.CacheDType.Bits() < _model.DType.Bits() && tensor != ReferenceFile.HiddenName(0))
            (relative, largest) = (double.PositiveInfinity, double.PositiveInfinity);
        return new ErrorRow(name, double.NaN, relative, double.NaN, largest);
    }
}
