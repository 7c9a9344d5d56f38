namespace Adze.Native;

/// <summary>What a run of attention may have besides q, K and V. The default is nothing, and a stable softmax.</summary>
public readonly record struct AttentionOptions
{
    /// <summary>How exponentials are kept within range.</summary>
    public Softmax Softmax { get; init; }

    /// <summary>
    /// [1, n] I32, n at least the last of the plan's maskIndptr: where a sequence has a mask, bit j % 32 (lowest first) of
    /// word i · ⌈KV tokens / 32⌉ + j / 32 of it says whether query i sees position j, if causality and window let it.
    /// </summary>
    public DeviceTensor Mask { get; init; }

    /// <summary>[1, query heads] F32: slope · (key's position − query's) is added to logits (ALiBi, arXiv 2108.12409).</summary>
    public DeviceTensor AlibiSlopes { get; init; }

    /// <summary>[1, query heads] F32: a logit of each head that takes part in the softmax and has no value.</summary>
    public DeviceTensor Sinks { get; init; }

    /// <summary>
    /// [1, query heads] F32, absent for <see cref="Softmax.Stable"/>: finite, near the largest logits (natural units, after
    /// scale and soft cap) of each head.
    /// </summary>
    public DeviceTensor Phi { get; init; }

    /// <summary>
    /// A part of the keys in which a row's largest logit is below φ by more than this is done with maxima; 0, and what is
    /// larger, is the most that the kernels allow.
    /// </summary>
    public float PhiBelow { get; init; }

    /// <summary>So is one in which a row has a logit above φ by more than this; likewise.</summary>
    public float PhiAbove { get; init; }
}

/// <summary>Attention of ragged queries over a paged KV cache: decode, prefill and any mix of them in one call.</summary>
public static unsafe class Attention
{
    /// <summary>
    /// o = softmax(scale · q kᵀ + mask) v, per query head. Rows beyond the batch are left alone. In a capture q, o, lse and
    /// kvIndices must be large enough for the plan's capacities.
    /// </summary>
    /// <param name="stream">The stream.</param>
    /// <param name="o">[tokens or more, query heads · HeadDimV].</param>
    /// <param name="q">[tokens or more, query heads · HeadDimQk].</param>
    /// <param name="k">The keys, the batch's own included: see <see cref="AppendKv"/>.</param>
    /// <param name="v">The values.</param>
    /// <param name="kvIndices">[1, pages or more] I32: page ids.</param>
    /// <param name="plan">The batch.</param>
    /// <param name="lse">[tokens or more, query heads] F32: logarithm of the sum of exponentials; or absent.</param>
    /// <param name="workspace">At least <see cref="AttentionPlan.WorkspaceBytes"/>; null when that is 0.</param>
    /// <param name="options">Masks and the softmax.</param>
    public static void Run(
        AdzeStream stream,
        DeviceTensor o,
        DeviceTensor q,
        KvCacheView k,
        KvCacheView v,
        DeviceTensor kvIndices,
        AttentionPlan plan,
        DeviceTensor lse = default,
        DeviceBuffer? workspace = null,
        AttentionOptions options = default)
    {
        ArgumentNullException.ThrowIfNull(plan);
        NativeCall call = new(stream);
        try
        {
            adze_attention_desc desc = new()
            {
                struct_size = (uint)sizeof(adze_attention_desc),
                softmax = (adze_softmax)options.Softmax,
                plan = call.Hold(plan.Handle),
                q = call.Tensor(q),
                o = call.Tensor(o),
                lse = call.Tensor(lse),
                kv_indices = call.Tensor(kvIndices),
                k = k.ToNative(ref call, plan.Options, plan.Options.HeadDimQk, nameof(k)),
                v = v.ToNative(ref call, plan.Options, plan.Options.HeadDimV, nameof(v)),
                workspace = call.Workspace(workspace, out ulong bytes),
                workspace_bytes = bytes,
                mask = call.Tensor(options.Mask),
                alibi_slopes = call.Tensor(options.AlibiSlopes),
                sinks = call.Tensor(options.Sinks),
                phi = call.Tensor(options.Phi),
                phi_below = options.PhiBelow,
                phi_above = options.PhiAbove,
            };
            NativeCall.Check(adze_attention_run(call.Stream, (nint)(&desc)));
        }
        finally
        {
            call.Dispose();
        }
    }

    /// <summary>Stores the keys and values of a batch's query tokens at their positions in the cache.</summary>
    /// <param name="stream">The stream.</param>
    /// <param name="kCache">Where the keys go.</param>
    /// <param name="vCache">Where the values go.</param>
    /// <param name="k">[tokens or more, KV heads · HeadDimQk].</param>
    /// <param name="v">[tokens or more, KV heads · HeadDimV], the same type as k.</param>
    /// <param name="kvIndices">[1, pages or more] I32: page ids.</param>
    /// <param name="plan">The batch.</param>
    public static void AppendKv(
        AdzeStream stream,
        KvCacheView kCache,
        KvCacheView vCache,
        DeviceTensor k,
        DeviceTensor v,
        DeviceTensor kvIndices,
        AttentionPlan plan)
    {
        ArgumentNullException.ThrowIfNull(plan);
        NativeCall call = new(stream);
        try
        {
            adze_kv_append_desc desc = new()
            {
                struct_size = (uint)sizeof(adze_kv_append_desc),
                plan = call.Hold(plan.Handle),
                k = call.Tensor(k),
                v = call.Tensor(v),
                kv_indices = call.Tensor(kvIndices),
                k_cache = kCache.ToNative(ref call, plan.Options, plan.Options.HeadDimQk, nameof(kCache)),
                v_cache = vCache.ToNative(ref call, plan.Options, plan.Options.HeadDimV, nameof(vCache)),
            };
            NativeCall.Check(adze_kv_append_run(call.Stream, (nint)(&desc)));
        }
        finally
        {
            call.Dispose();
        }
    }

    /// <summary>
    /// One attention from several over disjoint sets of keys: lse = log Σ exp(lseᵢ), o = Σ exp(lseᵢ − lse) oᵢ. Where no
    /// part saw a key, o = 0 and lse = −∞.
    /// </summary>
    /// <param name="stream">The stream.</param>
    /// <param name="o">[tokens, heads · head dim].</param>
    /// <param name="parts">[parts · tokens, heads · head dim]: row i · tokens + t is token t of part i.</param>
    /// <param name="partsLse">[parts · tokens, heads] F32, as <see cref="Run"/> gives them.</param>
    /// <param name="numParts">1 or more.</param>
    /// <param name="numHeads">Query heads.</param>
    /// <param name="lse">[tokens, heads] F32; or absent.</param>
    public static void Merge(
        AdzeStream stream,
        DeviceTensor o,
        DeviceTensor parts,
        DeviceTensor partsLse,
        int numParts,
        int numHeads,
        DeviceTensor lse = default)
    {
        using NativeCall call = new(stream);
        adze_attention_merge_desc desc = new()
        {
            struct_size = (uint)sizeof(adze_attention_merge_desc),
            num_parts = numParts,
            num_heads = numHeads,
            parts = call.Tensor(parts),
            parts_lse = call.Tensor(partsLse),
            o = call.Tensor(o),
            lse = call.Tensor(lse),
        };
        NativeCall.Check(adze_attention_merge_run(call.Stream, (nint)(&desc)));
    }
}
