namespace Adze.Engine.Validation;

/// <summary>The distance of two streams of numbers, summed in f64. NaN and infinity stay visible.</summary>
internal sealed class ErrorMeasure
{
    private double _difference;
    private double _reference;
    private double _largest;

    public double Relative => _difference == 0 ? 0 : Math.Sqrt(_difference / _reference);

    public double Largest => _largest;

    public void Add(ReadOnlySpan<float> actual, ReadOnlySpan<float> expected)
    {
        for (int i = 0; i < expected.Length; i++)
        {
            double difference = Math.Abs((double)actual[i] - expected[i]);
            _difference += difference * difference;
            _reference += (double)expected[i] * expected[i];
            _largest = Math.Max(_largest, difference); // NaN wins
        }
    }
}
