namespace Adze.Native;

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
    public static void Run(
        AdzeStream stream,
        DeviceTensor o,
        DeviceTensor q,
        KvCacheView k,
        KvCacheView v,
        DeviceTensor kvIndices,
        AttentionPlan plan,
        DeviceTensor lse = default,
        DeviceBuffer? workspace = null)
    {
        ArgumentNullException.ThrowIfNull(plan);
        NativeCall call = new(stream);
        try
        {
            adze_attention_desc desc = new()
            {
                struct_size = (uint)sizeof(adze_attention_desc),
                plan = call.Hold(plan.Handle),
                q = call.Tensor(q),
                o = call.Tensor(o),
                lse = call.Tensor(lse),
                kv_indices = call.Tensor(kvIndices),
                k = k.ToNative(ref call, plan.Options, plan.Options.HeadDimQk, nameof(k)),
                v = v.ToNative(ref call, plan.Options, plan.Options.HeadDimV, nameof(v)),
                workspace = call.Workspace(workspace, out ulong bytes),
                workspace_bytes = bytes,
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
}
