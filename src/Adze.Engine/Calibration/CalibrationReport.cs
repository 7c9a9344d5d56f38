using Adze.Models;

namespace Adze.Engine.Calibration;

/// <summary>The logits of one query head, softmax scale · q · k of the keys that a query sees.</summary>
/// <param name="Layer">From 0.</param>
/// <param name="Head">From 0.</param>
/// <param name="Logits">All of them.</param>
/// <param name="Maxima">The largest of each part of a row: of up to <see cref="AttentionCalibrator.PartKeys"/>
/// keys.</param>
public sealed record HeadLogits(int Layer, int Head, LogitHistogram Logits, LogitHistogram Maxima);

/// <summary>How φ suits a head.</summary>
/// <param name="Phi">φ.</param>
/// <param name="Within">Share of the parts of rows whose maximum is within the bounds.</param>
public sealed record HeadPhi(double Phi, double Within);

/// <summary>What a calibration found.</summary>
/// <param name="Calibration">What goes to adze.json.</param>
/// <param name="Tokens">Tokens of the text.</param>
/// <param name="Heads">Layer by layer, head by head.</param>
/// <param name="Phi">For each of them.</param>
public sealed record CalibrationReport(
    AttentionCalibration Calibration, long Tokens, IReadOnlyList<HeadLogits> Heads, IReadOnlyList<HeadPhi> Phi);
