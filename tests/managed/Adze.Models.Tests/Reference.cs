using System.Globalization;

namespace Adze.Models.Tests;

/// <summary>What PyTorch computed for a model, from tests/reference: the truth in float64, rounded to float32, and
/// PyTorch's own error.</summary>
internal sealed class Reference : IDisposable
{
    private readonly SafetensorsFile _file;

    public Reference(string name)
    {
        bool bundled = name == "orders";
        Folder = bundled ? Repository.Path("models", name) : Repository.Path("tests", "reference", name);
        _file = SafetensorsFile.Open(bundled
            ? Repository.Path("tests", "reference", "orders.safetensors")
            : Path.Combine(Folder, "reference.safetensors"));
    }

    public string Folder { get; }

    public int[][] Prompts => Ragged("prompt");

    public int[][] GreedyPrompts => Ragged("greedy_prompt");

    public int[][] Greedy => Ragged("greedy");

    public float[] Values(string name) => _file.CopyFloats(name);

    public void Dispose() => _file.Dispose();

    /// <summary>Both the relative and the largest error may be twice PyTorch's own in the same type.</summary>
    public (double Relative, double Largest) CheckWithinTwicePyTorchs(string precision, string name, float[] actual)
    {
        double[] allowed = [.. _file.Metadata[$"error.{precision}.{name}"].Split(' ')
            .Select(number => 2 * double.Parse(number, CultureInfo.InvariantCulture))];
        (double relative, double largest) = Errors(actual, Values(name));
        Assert.True(relative <= allowed[0] && largest <= allowed[1],
            $"{name}: relative error {relative} of at most {allowed[0]}, largest {largest} of at most {allowed[1]}");
        return (relative, largest);
    }

    public static (double Relative, double Largest) Errors(float[] actual, float[] truth)
    {
        Assert.Equal(truth.Length, actual.Length);
        double squares = 0, truthSquares = 0, largest = 0;
        for (int i = 0; i < truth.Length; i++)
        {
            double error = (double)actual[i] - truth[i];
            Assert.True(double.IsFinite(error), $"element {i} is {actual[i]}; expected {truth[i]}");
            squares += error * error;
            truthSquares += (double)truth[i] * truth[i];
            largest = Math.Max(largest, Math.Abs(error));
        }
        return (Math.Sqrt(squares / truthSquares), largest);
    }

    private int[][] Ragged(string name)
    {
        int[] ids = _file.CopyInt32s($"{name}_ids"), indptr = _file.CopyInt32s($"{name}_indptr");
        return [.. Enumerable.Range(0, indptr.Length - 1).Select(i => ids[indptr[i]..indptr[i + 1]])];
    }
}
