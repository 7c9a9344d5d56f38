namespace Adze.Native;

/// <summary>How rotary frequencies are stretched to longer contexts.</summary>
public enum RopeScalingKind
{
    /// <summary>Not at all.</summary>
    None = 0,

    /// <summary>Every frequency divided by the factor.</summary>
    Linear = 1,

    /// <summary>Llama 3.1: long wavelengths divided by the factor, short ones kept, a blend between.</summary>
    Llama3 = 2,
}

/// <summary>Rotary frequencies of a model.</summary>
/// <param name="Theta">The base, such as 10 000.</param>
/// <param name="Kind">The scaling; the values after it belong to it.</param>
/// <param name="Factor">Linear and Llama3.</param>
/// <param name="LowFreqFactor">Llama3.</param>
/// <param name="HighFreqFactor">Llama3; more than <paramref name="LowFreqFactor"/>.</param>
/// <param name="OriginalContext">Llama3: tokens of the original training.</param>
public readonly record struct RopeScaling(
    double Theta,
    RopeScalingKind Kind = RopeScalingKind.None,
    double Factor = 0,
    double LowFreqFactor = 0,
    double HighFreqFactor = 0,
    double OriginalContext = 0);

/// <summary>The small operators between the large ones. Tensors are F32, F16 or BF16 unless said otherwise.</summary>
public static unsafe class Glue
{
    /// <summary>y[m] = table[ids[m]]: token embedding, and the gathering of rows.</summary>
    /// <param name="stream">The stream.</param>
    /// <param name="y">[M, D].</param>
    /// <param name="ids">[1, M] I32, below V.</param>
    /// <param name="table">[V, D].</param>
    public static void Embedding(AdzeStream stream, DeviceTensor y, DeviceTensor ids, DeviceTensor table)
    {
        using NativeCall call = new(stream);
        adze_embedding_desc desc = new()
        {
            struct_size = (uint)sizeof(adze_embedding_desc),
            ids = call.Tensor(ids),
            table = call.Tensor(table),
            y = call.Tensor(y),
        };
        NativeCall.Check(adze_embedding_run(call.Stream, (nint)(&desc)));
    }

    /// <summary>y = h · weight / √(mean h² + ε) per row, h = x, or residual + x, which is also stored to residual.</summary>
    /// <param name="stream">The stream.</param>
    /// <param name="y">[M, D]; may be x.</param>
    /// <param name="x">[M, D].</param>
    /// <param name="weight">[1, D].</param>
    /// <param name="epsilon">0 or more.</param>
    /// <param name="residual">[M, D], read and written; or absent.</param>
    public static void RmsNorm(
        AdzeStream stream,
        DeviceTensor y,
        DeviceTensor x,
        DeviceTensor weight,
        float epsilon,
        DeviceTensor residual = default)
    {
        using NativeCall call = new(stream);
        adze_rms_norm_desc desc = new()
        {
            struct_size = (uint)sizeof(adze_rms_norm_desc),
            epsilon = epsilon,
            x = call.Tensor(x),
            weight = call.Tensor(weight),
            residual = call.Tensor(residual),
            y = call.Tensor(y),
        };
        NativeCall.Check(adze_rms_norm_run(call.Stream, (nint)(&desc)));
    }

    /// <summary>Rotary position embedding in place, in the half-split form of Hugging Face checkpoints.</summary>
    /// <param name="stream">The stream.</param>
    /// <param name="x">[M, heads · headDim], read and written.</param>
    /// <param name="positions">[1, M] I32.</param>
    /// <param name="inverseFrequencies">[1, R] F32; 2 R elements of each head turn.</param>
    /// <param name="headDim">At least 2 R.</param>
    public static void Rope(
        AdzeStream stream,
        DeviceTensor x,
        DeviceTensor positions,
        DeviceTensor inverseFrequencies,
        int headDim)
    {
        using NativeCall call = new(stream);
        adze_rope_desc desc = new()
        {
            struct_size = (uint)sizeof(adze_rope_desc),
            head_dim = headDim,
            x = call.Tensor(x),
            positions = call.Tensor(positions),
            inv_freq = call.Tensor(inverseFrequencies),
        };
        NativeCall.Check(adze_rope_run(call.Stream, (nint)(&desc)));
    }

    /// <summary>The frequencies of <see cref="Rope"/>, on the host: θ^(−2 i / rotaryDim), then scaled.</summary>
    /// <param name="scaling">Base and scaling.</param>
    /// <param name="inverseFrequencies">rotaryDim / 2 values, written.</param>
    public static void RopeFrequencies(RopeScaling scaling, Span<float> inverseFrequencies)
    {
        adze_rope_frequencies_desc desc = new()
        {
            struct_size = (uint)sizeof(adze_rope_frequencies_desc),
            rotary_dim = checked(2 * inverseFrequencies.Length),
            theta = scaling.Theta,
            scaling = (adze_rope_scaling)scaling.Kind,
            factor = scaling.Factor,
            low_freq_factor = scaling.LowFreqFactor,
            high_freq_factor = scaling.HighFreqFactor,
            original_context = scaling.OriginalContext,
        };
        fixed (float* pointer = inverseFrequencies)
        {
            NativeCall.Check(adze_rope_frequencies((nint)(&desc), pointer));
        }
    }

    /// <summary>y = silu(gate) · up.</summary>
    /// <param name="stream">The stream.</param>
    /// <param name="y">[M, D]; may be gate or up.</param>
    /// <param name="gate">[M, D].</param>
    /// <param name="up">[M, D].</param>
    public static void SiluGate(AdzeStream stream, DeviceTensor y, DeviceTensor gate, DeviceTensor up)
    {
        using NativeCall call = new(stream);
        adze_silu_gate_desc desc = new()
        {
            struct_size = (uint)sizeof(adze_silu_gate_desc),
            gate = call.Tensor(gate),
            up = call.Tensor(up),
            y = call.Tensor(y),
        };
        NativeCall.Check(adze_silu_gate_run(call.Stream, (nint)(&desc)));
    }
}
