using Adze.Models;

namespace Adze.Engine.Calibration;

/// <summary>The logits of one query head, softmax scale · q · k of the keys that a query sees.</summary>
/// <param name="Layer">From 0.</param>
/// <param name="Head">From 0.</param>
/// <param name="Logits">All of them.</param>
/// <param name="Maxima">The largest of each part of a row: of up to <see cref="AttentionCalibrator.PartKeys"/>
/// keys.</param>
public sealed record HeadLogits(int Layer, int Head, LogitHistogram Logits, LogitHistogram Maxima);

/// <summary>How φ suits a head, for weights in BF16 and in F16.</summary>
/// <param name="BF16">φ.</param>
/// <param name="BF16Within">Share of the parts of rows whose maximum is within the bounds.</param>
/// <param name="F16">φ.</param>
/// <param name="F16Within">Share of the parts of rows whose maximum is within the bounds.</param>
public sealed record HeadPhi(double BF16, double BF16Within, double F16, double F16Within);

/// <summary>What a calibration found.</summary>
/// <param name="Calibration">What goes to adze.json.</param>
/// <param name="Tokens">Tokens of the text.</param>
/// <param name="Heads">Layer by layer, head by head.</param>
/// <param name="Phi">For each of them.</param>
public sealed record CalibrationReport(
    AttentionCalibration Calibration, long Tokens, IReadOnlyList<HeadLogits> Heads, IReadOnlyList<HeadPhi> Phi);
