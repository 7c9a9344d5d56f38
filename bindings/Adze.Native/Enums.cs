namespace Adze.Native;

/// <summary>Where kernels run.</summary>
public enum Backend
{
    /// <summary>The GPU when there is one for which code was built, else the cpu.</summary>
    Auto = 0,

    /// <summary>Multi-threaded SIMD code on the host.</summary>
    Cpu = 1,

    /// <summary>GPU kernels executed and checked on the host.</summary>
    Sim = 2,

    /// <summary>NVIDIA GPUs.</summary>
    Cuda = 3,

    /// <summary>AMD GPUs.</summary>
    Hip = 4,
}

/// <summary>Instruction set of the cpu backend.</summary>
public enum CpuIsa
{
    /// <summary>The widest that both the processor and the build have.</summary>
    Auto = 0,

    /// <summary>What every processor of the architecture has.</summary>
    Portable = 1,

    /// <summary>AVX2, FMA and F16C.</summary>
    Avx2 = 2,

    /// <summary>AVX-512 F, BW, DQ and VL.</summary>
    Avx512 = 3,
}

/// <summary>Element type of a tensor; the last three are of KV caches alone.</summary>
public enum DType
{
    /// <summary>No type: an absent tensor.</summary>
    None = 0,

    /// <summary>32-bit float.</summary>
    F32 = 1,

    /// <summary>IEEE half: <see cref="Half"/>.</summary>
    F16 = 2,

    /// <summary>bfloat16: the upper half of a float, in a 16-bit word.</summary>
    BF16 = 3,

    /// <summary>32-bit signed integer.</summary>
    I32 = 4,

    /// <summary>FP8 E4M3: largest 448, no infinity.</summary>
    F8E4M3 = 5,

    /// <summary>8-bit signed integer.</summary>
    I8 = 6,

    /// <summary>4-bit signed integer, two in a byte, the first in the lower half.</summary>
    I4 = 7,
}

/// <summary>How attention keeps exponentials within range. Results differ by rounding only, for every input.</summary>
public enum Softmax
{
    /// <summary>By the running maximum of a row's logits.</summary>
    Stable = 0,

    /// <summary>
    /// By φ, known beforehand (<see cref="AttentionOptions.Phi"/>; FlashDecoding++, arXiv 2311.01282): a part of the keys in
    /// which a row's logits leave the bounds around it is done again with maxima, for all rows of the tile.
    /// <see cref="Stable"/> instead are the cpu, deterministic contexts, caches of F16, prefill on sm_90a, and F8E4M3 and I8 with
    /// heads of 256 on sm_80 and sm_89.
    /// </summary>
    Unified = 1,

    /// <summary>
    /// <see cref="Unified"/> where the library's table of measurements says that it is faster, else <see cref="Stable"/>.
    /// φ is given either way.
    /// </summary>
    Tuned = 2,
}

/// <summary>What a native call returned.</summary>
public enum AdzeStatus
{
    /// <summary>Success.</summary>
    Ok = 0,

    /// <summary>An argument breaks its documented contract; nothing was launched.</summary>
    InvalidArgument = 1,

    /// <summary>A legal request that this backend or build does not implement.</summary>
    NotSupported = 2,

    /// <summary>The backend is not built, its plug-in is not found, or it has no such device.</summary>
    Unavailable = 3,

    /// <summary>Host or device memory ran out.</summary>
    OutOfMemory = 4,

    /// <summary>The call does not fit the object's state.</summary>
    InvalidState = 5,

    /// <summary>The device or its driver reported a failure.</summary>
    Device = 6,

    /// <summary>A defect of Adze.</summary>
    Internal = 7,
}

/// <summary>Facts about element types.</summary>
public static class DTypeExtensions
{
    /// <summary>Whether values are stored divided by a scale: a format of KV caches alone.</summary>
    /// <param name="dtype">Any type.</param>
    /// <returns>True of <see cref="DType.F8E4M3"/>, <see cref="DType.I8"/> and <see cref="DType.I4"/>.</returns>
    public static bool IsQuantised(this DType dtype) => dtype is DType.F8E4M3 or DType.I8 or DType.I4;

    /// <summary>Size of a tensor's element.</summary>
    /// <param name="dtype">An element type of whole bytes.</param>
    /// <returns>4, 2 or 1.</returns>
    public static int Bytes(this DType dtype) => dtype.Bits() is var bits && bits % 8 == 0
        ? bits / 8
        : throw new ArgumentOutOfRangeException(nameof(dtype), dtype, "Not of whole bytes.");

    /// <summary>Size of an element.</summary>
    /// <param name="dtype">An element type other than <see cref="DType.None"/>.</param>
    /// <returns>32, 16, 8 or 4.</returns>
    public static int Bits(this DType dtype) => dtype switch
    {
        DType.F32 or DType.I32 => 32,
        DType.F16 or DType.BF16 => 16,
        DType.F8E4M3 or DType.I8 => 8,
        DType.I4 => 4,
        _ => throw new ArgumentOutOfRangeException(nameof(dtype), dtype, "Not an element type."),
    };
}
