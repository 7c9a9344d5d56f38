using Adze.Native;

namespace Adze.Engine;

/// <summary>Where and how a <see cref="LanguageModel"/> runs. Every default is a sensible one.</summary>
public sealed record EngineOptions
{
    /// <summary>The backend; <see cref="Backend.Auto"/> is the GPU when there is one, else the cpu.</summary>
    public Backend Backend { get; init; } = Backend.Auto;

    /// <summary>Index among the backend's devices.</summary>
    public int Device { get; init; }

    /// <summary>Threads of the cpu and sim backends; 0 is one per available core.</summary>
    public int NumThreads { get; init; }

    /// <summary>
    /// Type of activations, and of the KV cache unless told otherwise. <see cref="DType.None"/> is f32 on the cpu and bf16 elsewhere.
    /// </summary>
    public DType DType { get; init; } = DType.None;

    /// <summary>
    /// Type of the KV cache; <see cref="DType.None"/> is that of the activations. F8E4M3, I8 and I4 have a scale for each
    /// token and head.
    /// </summary>
    public DType CacheDType { get; init; } = DType.None;

    /// <summary>
    /// Attention's softmax. <see cref="Softmax.Unified"/> takes φ from the model's adze.json, which <c>adze tune
    /// attention</c> writes; <see cref="Softmax.Tuned"/> does so where the file is there and unified is measured to be faster.
    /// <see cref="Softmax.Stable"/> does not read the file.
    /// </summary>
    public Softmax Softmax { get; init; } = Softmax.Tuned;

    /// <summary>
    /// Whether a prompt's output is bitwise the same alone and among others. Always so on the cpu. Elsewhere attention's
    /// bits follow from the chunks in which a prompt is computed, so these do not take the room that others leave, what was
    /// generated before a preemption comes back token by token, and the softmax is the stable one. Another
    /// <see cref="MaxBatchTokens"/> or <see cref="MaxSequences"/> may round otherwise.
    /// </summary>
    public bool Deterministic { get; init; } = true;

    /// <summary>Tokens in a page of the KV cache, 1 to 256.</summary>
    public int PageSize { get; init; } = 16;

    /// <summary>
    /// Pages of the KV cache, shared by all sequences. 0 is enough for <see cref="MaxSequences"/> full contexts, but no
    /// more than a quarter of the device's memory (at most 4 GiB).
    /// </summary>
    public int NumPages { get; init; }

    /// <summary>Sequences that one step advances at most; further requests wait.</summary>
    public int MaxSequences { get; init; } = 32;

    /// <summary>
    /// Rows of one forward pass at most: one per generating sequence, the rest for prompts, which are taken in chunks.
    /// At least <see cref="MaxSequences"/>; in a <see cref="Deterministic"/> engine on a GPU a prompt's chunks have
    /// MaxBatchTokens - MaxSequences + 1 tokens, so leave room.
    /// </summary>
    public int MaxBatchTokens { get; init; } = 512;

    internal void Validate()
    {
        ArgumentOutOfRangeException.ThrowIfNegative(Device);
        ArgumentOutOfRangeException.ThrowIfNegative(NumThreads);
        ArgumentOutOfRangeException.ThrowIfNegative(NumPages);
        ArgumentOutOfRangeException.ThrowIfLessThan(PageSize, 1);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(PageSize, 256);
        ArgumentOutOfRangeException.ThrowIfLessThan(MaxSequences, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(MaxBatchTokens, MaxSequences);
        if (DType is not (DType.None or DType.F32 or DType.F16 or DType.BF16))
            throw new ArgumentOutOfRangeException(nameof(DType), DType, "models run in f32, f16 or bf16");
        if (CacheDType == DType.I32 || !Enum.IsDefined(CacheDType))
            throw new ArgumentOutOfRangeException(nameof(CacheDType), CacheDType, "no type of a KV cache");
    }
}
