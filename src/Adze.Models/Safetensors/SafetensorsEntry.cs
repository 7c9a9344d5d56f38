using System.Collections.Immutable;

namespace Adze.Models;

/// <summary>One tensor of a safetensors file, as its header describes it. All numbers have been checked against the
/// file: <paramref name="Bytes"/> is exactly what shape and type need, and the range lies within the file.</summary>
/// <param name="Name">The tensor's name.</param>
/// <param name="DType">Its element type.</param>
/// <param name="Shape">Its dimensions, outermost first; empty for a scalar. Dimensions may be 0.</param>
/// <param name="Offset">Where its first byte is, from the beginning of the file.</param>
/// <param name="Bytes">Its size; may pass 2 GiB, or be 0.</param>
public sealed record SafetensorsEntry(
    string Name, SafetensorsDType DType, ImmutableArray<long> Shape, long Offset, long Bytes)
{
    private const int MostDimensionsShown = 8;

    /// <summary>The number of elements: the product of the dimensions.</summary>
    public long ElementCount => Shape.Aggregate(1L, (product, dimension) => product * dimension);

    /// <summary>Type and shape in words, such as <c>BF16 [512, 64]</c>.</summary>
    public string Description => $"{DType.FormatName()} {Format(Shape)}";

    /// <summary>A shape in brackets; one of very many dimensions is cut.</summary>
    internal static string Format(IReadOnlyList<long> shape) => shape.Count <= MostDimensionsShown
        ? $"[{string.Join(", ", shape)}]"
        : $"[{string.Join(", ", shape.Take(MostDimensionsShown))}, and {shape.Count - MostDimensionsShown} more]";
}
