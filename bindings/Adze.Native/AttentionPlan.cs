namespace Adze.Native;

/// <summary>Shape and capacities of a plan.</summary>
public sealed record AttentionPlanOptions
{
    /// <summary>A multiple of <see cref="NumKvHeads"/>.</summary>
    public required int NumQHeads { get; init; }

    /// <summary>1 or more.</summary>
    public required int NumKvHeads { get; init; }

    /// <summary>Of q and k; a multiple of 8.</summary>
    public required int HeadDimQk { get; init; }

    /// <summary>Of v and o; a multiple of 8.</summary>
    public required int HeadDimV { get; init; }

    /// <summary>Tokens of a page, 1 or more; contiguous sequences are pages as long as their reservation.</summary>
    public required int PageSize { get; init; }

    /// <summary>A query sees positions up to its own; otherwise all of its sequence.</summary>
    public bool Causal { get; init; } = true;

    /// <summary>0: no limit; W: a query at position p sees positions above p − W only.</summary>
    public int Window { get; init; }

    /// <summary>With a window: the first so many positions are seen whatever the window is. 0 without.</summary>
    public int SinkTokens { get; init; }

    /// <summary>Multiplies q·k; 0 is 1 / √<see cref="HeadDimQk"/>.</summary>
    public float SoftmaxScale { get; init; }

    /// <summary>c above 0: a logit x becomes c · tanh(x / c), before ALiBi and masks; 0: none.</summary>
    public float LogitsSoftCap { get; init; }

    /// <summary>Most sequences of a batch.</summary>
    public required int MaxSequences { get; init; }

    /// <summary>Most query tokens of a batch.</summary>
    public required long MaxQTokens { get; init; }

    /// <summary>
    /// Most query tokens of one sequence; 0 is <see cref="MaxQTokens"/>. What is small (1 for decode) saves a captured run
    /// the kernels for longer ones, and memory.
    /// </summary>
    public int MaxQLen { get; init; }

    /// <summary>Most pages of a batch.</summary>
    public required long MaxKvPages { get; init; }

    /// <summary>Most 32-bit words of a batch's masks; 0: batches bring none.</summary>
    public long MaxMaskWords { get; init; }
}

/// <summary>
/// A schedule of attention: made once with capacities, updated once a step, run once a layer. One thread at a time. Making
/// one takes memory for every batch within the capacities; on a GPU that waits for the device, and so does disposal.
/// </summary>
public sealed unsafe class AttentionPlan : IDisposable
{
    /// <summary>Makes a plan.</summary>
    /// <param name="context">Whose device.</param>
    /// <param name="options">Shape and capacities.</param>
    /// <exception cref="AdzeException">An option is wrong, the backend has no kernel for it, or memory ran out.</exception>
    public AttentionPlan(AdzeContext context, AttentionPlanOptions options)
    {
        ArgumentNullException.ThrowIfNull(context);
        ArgumentNullException.ThrowIfNull(options);
        Options = options;
        adze_attention_plan_desc desc = Describe(options);
        Handle = new PlanHandle(context.Handle);
        nint created = 0;
        adze_status status = adze_attention_plan_create(context.Handle.Raw, (nint)(&desc), &created);
        Handle.Complete(status, created);
        ulong bytes = 0;
        NativeCall.Check(adze_attention_workspace_size(created, &bytes));
        WorkspaceBytes = bytes;
    }

    /// <summary>Shape and capacities.</summary>
    public AttentionPlanOptions Options { get; }

    /// <summary>Workspace of <see cref="Attention.Run"/> for every batch within the capacities.</summary>
    public ulong WorkspaceBytes { get; }

    internal PlanHandle Handle { get; }

    /// <summary>
    /// Takes over a new batch for the runs that are put on the stream after it, in graphs too. The spans are read before
    /// the call returns; runs on other streams follow only after an event. Takes no memory; on a GPU it waits, if it must,
    /// for the copy of the update before the last one.
    /// </summary>
    /// <param name="qoIndptr">[sequences + 1]: query tokens of sequence s are qoIndptr[s] up to qoIndptr[s + 1].</param>
    /// <param name="kvIndptr">[sequences + 1]: likewise, places in the page ids.</param>
    /// <param name="kvLastPageLen">[sequences]: tokens of the last page; 0 where there is no page.</param>
    /// <param name="stream">The stream; it may not be capturing.</param>
    /// <param name="maskIndptr">
    /// [sequences + 1]: words maskIndptr[s] up to maskIndptr[s + 1] of <see cref="AttentionOptions.Mask"/> are the mask of
    /// sequence s: none, or query tokens · ⌈KV tokens / 32⌉. Empty: no sequence has a mask.
    /// </param>
    /// <exception cref="ArgumentException">The lengths do not fit each other.</exception>
    public void Update(
        ReadOnlySpan<int> qoIndptr,
        ReadOnlySpan<int> kvIndptr,
        ReadOnlySpan<int> kvLastPageLen,
        AdzeStream stream,
        ReadOnlySpan<long> maskIndptr = default)
    {
        CheckLength(qoIndptr.Length, kvLastPageLen.Length + 1, nameof(qoIndptr));
        CheckLength(kvIndptr.Length, kvLastPageLen.Length + 1, nameof(kvIndptr));
        if (!maskIndptr.IsEmpty)
        {
            CheckLength(maskIndptr.Length, kvLastPageLen.Length + 1, nameof(maskIndptr));
        }

        using NativeCall call = new(stream);
        nint plan = call.Hold(Handle);
        fixed (int* qo = qoIndptr, kv = kvIndptr, last = kvLastPageLen)
        fixed (long* mask = maskIndptr)
        {
            adze_attention_batch batch = new()
            {
                struct_size = (uint)sizeof(adze_attention_batch),
                num_sequences = kvLastPageLen.Length,
                qo_indptr = (nint)qo,
                kv_indptr = (nint)kv,
                kv_last_page_len = (nint)last,
                mask_indptr = (nint)mask,
            };
            NativeCall.Check(adze_attention_plan_update(plan, (nint)(&batch), call.Stream));
        }
    }

    /// <summary>Gives the plan up.</summary>
    public void Dispose() => Handle.Dispose();

    private static adze_attention_plan_desc Describe(AttentionPlanOptions options) => new()
    {
        struct_size = (uint)sizeof(adze_attention_plan_desc),
        num_q_heads = options.NumQHeads,
        num_kv_heads = options.NumKvHeads,
        head_dim_qk = options.HeadDimQk,
        head_dim_v = options.HeadDimV,
        page_size = options.PageSize,
        causal = options.Causal ? 1 : 0,
        window = options.Window,
        softmax_scale = options.SoftmaxScale,
        max_sequences = options.MaxSequences,
        max_q_tokens = options.MaxQTokens,
        max_kv_pages = options.MaxKvPages,
        max_mask_words = options.MaxMaskWords,
        max_q_len = options.MaxQLen,
        sink_tokens = options.SinkTokens,
        logits_soft_cap = options.LogitsSoftCap,
    };

    private static void CheckLength(int length, int expected, string name)
    {
        if (length != expected)
        {
            throw new ArgumentException($"It has {length} entries; one more than the sequences is {expected}.", name);
        }
    }
}
