using Adze.Native;

namespace Adze.Engine.Validation;

/// <summary>How far one result is from the reference, beside what it may be.</summary>
/// <param name="Name">Which result, such as <c>layer 1</c>.</param>
/// <param name="RelativeError">‖out − ref‖ / ‖ref‖.</param>
/// <param name="RelativeTolerance">Twice PyTorch's own, in the same precision; infinite where none is known.</param>
/// <param name="LargestError">Of one element.</param>
/// <param name="LargestTolerance">Likewise.</param>
public sealed record ErrorRow(
    string Name, double RelativeError, double RelativeTolerance, double LargestError, double LargestTolerance)
{
    /// <summary>Whether both errors are numbers within tolerance.</summary>
    public bool Passed => double.IsFinite(RelativeError) && RelativeError <= RelativeTolerance
        && double.IsFinite(LargestError) && LargestError <= LargestTolerance;
}

/// <summary>How many of some answers are right.</summary>
/// <param name="Name">Of what.</param>
/// <param name="Right">Answers that are right.</param>
/// <param name="Total">All answers.</param>
/// <param name="RequiredShare">From 0 to 1; 0 where the count is for information.</param>
public sealed record CountRow(string Name, int Right, int Total, double RequiredShare)
{
    /// <summary>Whether enough are right.</summary>
    public bool Passed => Right >= RequiredShare * Total;
}

/// <summary>A model compared with its reference.</summary>
/// <param name="Device">What it ran on.</param>
/// <param name="DType">Type of its activations.</param>
/// <param name="CacheDType">Type of its KV cache.</param>
/// <param name="Errors">The residual stream after the embedding and after each layer, and the logits.</param>
/// <param name="Greedy">Greedy continuations equal to the reference's, token for token.</param>
/// <param name="HeldOut">Held-out prompts answered exactly; null where the model's folder has none.</param>
/// <param name="Statistics">Of the largest generation among them.</param>
public sealed record ValidationReport(DeviceInfo Device, DType DType, DType CacheDType,
    IReadOnlyList<ErrorRow> Errors, CountRow Greedy, CountRow? HeldOut, GenerationStatistics Statistics)
{
    /// <summary>Whether every row passed.</summary>
    public bool Passed => Errors.All(row => row.Passed) && Greedy.Passed && HeldOut is null or { Passed: true };
}

/// <summary>How far a validation has come.</summary>
/// <param name="Phase">What it is doing.</param>
/// <param name="Done">Units done.</param>
/// <param name="Total">Units in all.</param>
public readonly record struct ValidationProgress(string Phase, int Done, int Total);
