using Adze.Native;

namespace Adze.Models;

/// <summary>What a configuration says about rotary embeddings, in any of its spellings: <c>rope_theta</c>,
/// <c>rope_scaling</c> with <c>rope_type</c> or <c>type</c>, and, since transformers 5, both in one
/// <c>rope_parameters</c>.</summary>
internal sealed class RopeReader
{
    private const double DefaultTheta = 10000;

    private readonly JsonSection _config;
    private readonly JsonSection? _parameters;

    public RopeReader(JsonSection config)
    {
        (_config, _parameters) = (config, config.Section("rope_parameters"));
        if (_parameters is not null && config.Has("rope_scaling"))
            throw config.Wrong("rope_parameters", "and rope_scaling are both given; expected one of them");
        PartialRotaryFactor = Number("partial_rotary_factor") ?? 1;
        if (PartialRotaryFactor > 1)
            throw config.Wrong("partial_rotary_factor",
                $"is {PartialRotaryFactor}; expected a number above 0 and at most 1");
    }

    public double PartialRotaryFactor { get; }

    public RopeScaling Read()
    {
        double theta = Number("rope_theta") ?? DefaultTheta;
        if ((_parameters ?? _config.Section("rope_scaling")) is not { } scaling)
            return new RopeScaling(theta);
        return TypeOf(scaling) switch
        {
            "default" => new RopeScaling(theta),
            "linear" => new RopeScaling(theta, RopeScalingKind.Linear, scaling.Positive("factor")),
            "llama3" => ReadLlama3(theta, scaling),
            { } other => throw scaling.Wrong("rope_type",
                $"{ModelFormatException.Quote(other)} is not supported; default, linear and llama3 are"),
        };
    }

    private double? Number(string key)
    {
        double? outer = _config.OptionalPositive(key), inner = _parameters?.OptionalPositive(key);
        return outer is null || inner is null || outer == inner
            ? inner ?? outer
            : throw _config.Wrong(key, $"is {outer}, but {inner} in rope_parameters");
    }

    private string TypeOf(JsonSection scaling)
    {
        string? type = scaling.String("rope_type"), oldType = scaling.String("type");
        if (type is not null && oldType is not null && type != oldType)
            throw scaling.Wrong("rope_type", $"{ModelFormatException.Quote(type)} differs from type " +
                ModelFormatException.Quote(oldType));
        return type ?? oldType ?? (_parameters is null ? throw scaling.Wrong("rope_type", "is missing") : "default");
    }

    private static RopeScaling ReadLlama3(double theta, JsonSection scaling)
    {
        double low = scaling.Positive("low_freq_factor"), high = scaling.Positive("high_freq_factor");
        if (high <= low)
            throw scaling.Wrong("high_freq_factor", $"{high} is not above low_freq_factor {low}");
        return new RopeScaling(theta, RopeScalingKind.Llama3, scaling.Positive("factor"), low, high,
            scaling.Positive("original_max_position_embeddings"));
    }
}
