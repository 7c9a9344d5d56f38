namespace Adze.Engine.Calibration;

/// <summary>How many logits lie where: bins of a quarter from -512 to 512, the outer ones without end.</summary>
public sealed class LogitHistogram
{
    private const double First = -512;
    private const double Width = 0.25;

    private readonly long[] _bins = new long[(int)(-2 * First / Width)];

    /// <summary>How many there are.</summary>
    public long Count { get; private set; }

    /// <summary>The least; +∞ of none.</summary>
    public float Least { get; private set; } = float.PositiveInfinity;

    /// <summary>The greatest; -∞ of none.</summary>
    public float Greatest { get; private set; } = float.NegativeInfinity;

    /// <summary>Counts a finite logit.</summary>
    public void Add(float logit)
    {
        _bins[(int)Math.Clamp((logit - First) / Width, 0, _bins.Length - 1)]++;
        Count++;
        Least = Math.Min(Least, logit);
        Greatest = Math.Max(Greatest, logit);
    }

    /// <summary>What a share of the logits is at or below, to half a bin; NaN of none.</summary>
    public double Quantile(double share)
    {
        long rank = (long)Math.Ceiling(share * Count), seen = 0;
        for (int bin = 0; bin < _bins.Length; bin++)
        {
            seen += _bins[bin];
            if (seen > 0 && seen >= rank)
                return Math.Clamp(First + (bin + 0.5) * Width, Least, Greatest);
        }
        return double.NaN;
    }

    /// <summary>Where an interval of this length begins that holds the most logits, and their share. Of several, the
    /// middle one: it leaves the widest margins.</summary>
    public (double Begin, double Share) BestInterval(double length)
    {
        int bins = (int)(length / Width);
        long inside = 0, most = 0;
        (int first, int last) = (0, 0);
        // The interval ends before `end`; what it takes in and what it leaves are bins where there are any.
        for (int end = 1; end < _bins.Length + bins; end++)
        {
            inside += end <= _bins.Length ? _bins[end - 1] : 0;
            inside -= end > bins ? _bins[end - 1 - bins] : 0;
            if (inside > most)
                (most, first, last) = (inside, end, end);
            else if (inside == most && last == end - 1)
                last = end;
        }
        return (First + ((first + last) / 2.0 - bins) * Width, Count == 0 ? double.NaN : (double)most / Count);
    }
}
