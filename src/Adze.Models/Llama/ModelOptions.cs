using Adze.Native;

namespace Adze.Models;

/// <summary>How a model is run.</summary>
public sealed record ModelOptions
{
    /// <summary>The type of activations and cache; weights keep the checkpoint's. The residual stream and the logits
    /// are F32 always.</summary>
    public DType DType { get; init; } = DType.F32;

    /// <summary>The type of the KV cache; None for that of the activations.</summary>
    public DType CacheDType { get; init; }

    internal DType EffectiveCacheDType => CacheDType == DType.None ? DType : CacheDType;

    /// <summary>Attention's softmax. Unified takes φ from the folder's <c>adze.json</c>, which must be there;
    /// Tuned is Stable without it. Stable does not read it.</summary>
    public Softmax Softmax { get; init; } = Softmax.Tuned;

    /// <summary>The most tokens of one forward pass, over all sequences.</summary>
    public int MaxTokens { get; init; } = 512;

    /// <summary>The most rows of one forward pass that want logits.</summary>
    public int MaxLogitRows { get; init; } = 64;

    /// <summary>BF16 on devices with warps, which have matrix units for it; F32 on others, such as the cpu.</summary>
    public static DType DefaultDType(DeviceInfo device)
    {
        ArgumentNullException.ThrowIfNull(device);
        return device.WarpSize > 1 ? DType.BF16 : DType.F32;
    }
}
