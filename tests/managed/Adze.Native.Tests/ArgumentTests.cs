namespace Adze.Native.Tests;

/// <summary>Wrong arguments: native checks come through with their message, and C# checks what native code cannot see.</summary>
public sealed class ArgumentTests
{
    [Fact]
    public void Native_message_names_function_and_argument()
    {
        using Bench bench = new();
        AdzeException error = Assert.Throws<AdzeException>(() =>
            Linear.Run(bench.Stream, bench.Floats(1, 2), bench.Floats(1, 3), bench.Weight(2, 2, 1, 2, 3, 4)));
        Assert.Equal(AdzeStatus.InvalidArgument, error.Status);
        Assert.StartsWith("adze_linear_run: ", error.Message, StringComparison.Ordinal);
        Assert.Contains("x.columns is 3", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Every_operator_reports_its_own_failure()
    {
        using Bench bench = new();
        DeviceTensor wrong = bench.Floats(1, 3), none = default;
        using AttentionPlan plan = new(bench.Context, Operators.PlanOptions);
        KvCacheView cache = new(bench.Floats(1, 64).Buffer!, 0, DType.F32, 1, 32, 8, 8);
        (string Name, Action Call)[] calls =
        [
            ("adze_embedding_run", () => Glue.Embedding(bench.Stream, none, wrong, wrong)),
            ("adze_rms_norm_run", () => Glue.RmsNorm(bench.Stream, none, wrong, wrong, 0)),
            ("adze_rope_run", () => Glue.Rope(bench.Stream, none, wrong, wrong, 2)),
            ("adze_rope_frequencies", () => Glue.RopeFrequencies(new RopeScaling(-1), new float[2])),
            ("adze_silu_gate_run", () => Glue.SiluGate(bench.Stream, none, wrong, wrong)),
            ("adze_sampling_run", () => Sampling.Run(bench.Stream, none, wrong)),
            ("adze_sampling_workspace_size", () => Sampling.WorkspaceSize(bench.Context, -1, 1)),
            ("adze_linear_workspace_size", () => Linear.WorkspaceSize(bench.Weight(1, 1, 1), -1)),
            ("adze_weight_create", () => _ = new Weight(bench.Context, DType.I32, new byte[4], 1, 1)),
            ("adze_attention_run", () => Attention.Run(bench.Stream, none, wrong, cache, cache, wrong, plan)),
            ("adze_attention_merge_run", () => Attention.Merge(bench.Stream, none, wrong, wrong, 1, 1)),
            ("adze_kv_append_run", () => Attention.AppendKv(bench.Stream, cache, cache, none, wrong, wrong, plan)),
            ("adze_attention_plan_update", () => plan.Update([0, -1], [0, 0], [0], bench.Stream)),
            ("adze_attention_plan_create", MakePlan),
            ("adze_buffer_write", () => wrong.Buffer!.Write<float>([1, 2], bench.Stream, 8)),
            ("adze_buffer_read", () => wrong.Buffer!.Read<float>(new float[2], bench.Stream, 8)),
            ("adze_buffer_fill", () => wrong.Buffer!.Fill(0, bench.Stream, 8, 8)),
            ("adze_buffer_fill", () => wrong.Buffer!.Fill(0, bench.Stream, 1000)),
            ("adze_buffer_map", () => wrong.Buffer!.Map(0, 1)),
            ("adze_buffer_unmap", () => wrong.Buffer!.Unmap(0, 1, bench.Stream)),
            ("adze_buffer_reserve", () => DeviceBuffer.Reserve(bench.Context, 0)),
            ("adze_buffer_copy", () => wrong.Buffer!.CopyFrom(wrong.Buffer!, 0, 8, 8, bench.Stream)),
        ];
        foreach ((string name, Action call) in calls)
        {
            AdzeException error = Assert.Throws<AdzeException>(call);
            Assert.StartsWith($"{name}: ", error.Message, StringComparison.Ordinal);
        }

        void MakePlan() => _ = new AttentionPlan(bench.Context, Operators.PlanOptions with { NumQHeads = 0 });
    }

    [Fact]
    public void Options_of_attention_arrive_where_they_belong()
    {
        using Bench bench = new();
        using AttentionPlan plan = new(bench.Context, Operators.PlanOptions with { MaxMaskWords = 2 });
        KvCacheView cache = new(bench.Floats(4, 32).Buffer!, 0, DType.F32, 4, 32, 8, 8);
        DeviceTensor q = bench.Floats(2, 16), o = bench.Floats(2, 16), ids = bench.Tensor<int>(1, 1, 0);
        DeviceTensor heads = bench.Floats(1, 2), wrong = bench.Floats(1, 3), mask = bench.Tensor<int>(1, 2, -1, -1);
        AttentionOptions unified = new() { Softmax = Softmax.Unified, Phi = heads };
        plan.Update([0, 2], [0, 1], [2], bench.Stream, [0, 2]);

        Refused("mask", default);
        Refused("mask.columns is 1; the plan's batch is 2 words", new() { Mask = bench.Tensor<int>(1, 1, 0) });
        Refused("alibi_slopes.columns is 3", new() { Mask = mask, AlibiSlopes = wrong });
        Refused("sinks.columns is 3", new() { Mask = mask, Sinks = wrong });
        Refused("phi.columns is 3", unified with { Mask = mask, Phi = wrong });
        Refused("phi is given; softmax is ADZE_SOFTMAX_STABLE", new() { Mask = mask, Phi = heads });
        Refused("phi_below is -1", unified with { Mask = mask, PhiBelow = -1 });
        Refused("phi_above is -2", unified with { Mask = mask, PhiAbove = -2 });
        Refused("softmax is 3", unified with { Mask = mask, Softmax = (Softmax)3 });
        plan.Update([0, 2], [0, 1], [2], bench.Stream); // without masks
        Attention.Run(bench.Stream, o, q, cache, cache, ids, plan, workspace: bench.Workspace, options: unified);

        void Refused(string message, AttentionOptions options) => Assert.Contains(message, Assert.Throws<AdzeException>(
            () => Attention.Run(bench.Stream, o, q, cache, cache, ids, plan, default, bench.Workspace, options)).Message,
            StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("max_q_len is 3")]
    [InlineData("max_mask_words is -1")]
    [InlineData("sink_tokens is 5")]
    [InlineData("logits_soft_cap is -1")]
    [InlineData("page_size is 0")]
    public void Options_of_a_plan_arrive_where_they_belong(string message)
    {
        using Bench bench = new();
        AttentionPlanOptions good = Operators.PlanOptions;
        AttentionPlanOptions wrong = message.Split(' ')[0] switch
        {
            "max_q_len" => good with { MaxQLen = 3 },
            "max_mask_words" => good with { MaxMaskWords = -1 },
            "sink_tokens" => good with { SinkTokens = 5 },
            "logits_soft_cap" => good with { LogitsSoftCap = -1 },
            _ => good with { PageSize = 0 },
        };
        AdzeException error = Assert.Throws<AdzeException>(() => new AttentionPlan(bench.Context, wrong));
        Assert.Contains(message, error.Message, StringComparison.Ordinal);
        new AttentionPlan(bench.Context, good with { PageSize = 1000, Window = 8, SinkTokens = 5, MaxQLen = 2 }).Dispose();
    }

    [Fact]
    public void A_sequence_is_no_longer_than_the_plan_says_and_masks_are_its_size()
    {
        using Bench bench = new();
        using AttentionPlan plan = new(bench.Context, Operators.PlanOptions with { MaxQLen = 1, MaxMaskWords = 1 });
        Assert.Contains("max_q_len is 1", Refused([0, 2], []), StringComparison.Ordinal);
        Assert.Contains("mask_indptr[1] is 2", Refused([0, 1], [0, 2]), StringComparison.Ordinal);
        plan.Update([0, 1], [0, 1], [2], bench.Stream, [0, 1]);
        Assert.Throws<ArgumentException>(() => plan.Update([0, 1], [0, 1], [2], bench.Stream, [0]));

        string Refused(int[] qoIndptr, long[] maskIndptr) => Assert.Throws<AdzeException>(
            () => plan.Update(qoIndptr, [0, 1], [2], bench.Stream, maskIndptr)).Message;
    }

    [Fact]
    public void Context_reports_what_is_not_there()
    {
        AdzeException error = Assert.Throws<AdzeException>(
            () => new AdzeContext(new ContextOptions { Backend = Backend.Cpu, Device = 7 }));
        Assert.Equal(AdzeStatus.Unavailable, error.Status);
        Assert.Equal(1, AdzeLibrary.DeviceCount(Backend.Cpu));
        Assert.Throws<AdzeException>(() => AdzeLibrary.DeviceCount((Backend)99));
        Assert.Throws<AdzeException>(() => AdzeLibrary.GetDeviceInfo(Backend.Cpu, -1));
        Assert.Equal(Backend.Cpu, AdzeLibrary.GetDeviceInfo(Backend.Cpu, 0).Backend);
    }

    [Fact]
    public void Options_reach_the_context()
    {
        using AdzeContext context = new(new ContextOptions
        {
            Backend = Backend.Cpu,
            CpuIsa = CpuIsa.Portable,
            NumThreads = 2,
            Deterministic = true,
            CheckIndices = true,
        });
        Assert.Equal("portable", context.Info.Architecture);
        Assert.Throws<AdzeException>(() => new AdzeContext(new ContextOptions { NumThreads = -1 }));
    }

    [Fact]
    public void Stream_states_are_checked()
    {
        using Bench bench = new();
        using AdzeEvent never = new(bench.Context);
        Fails(AdzeStatus.InvalidState, () => bench.Stream.EndCapture());
        Fails(AdzeStatus.InvalidState, () => AdzeEvent.ElapsedMicroseconds(never, never));
        Fails(AdzeStatus.NotSupported, () => AdzeStream.Adopt(bench.Context, 1));
        DeviceTensor x = bench.Tensor<float>(1, 1, 1);
        bench.Stream.BeginCapture();
        Assert.Throws<AdzeException>(bench.Stream.BeginCapture);
        Assert.True(bench.Stream.IsCapturing);
        Assert.Throws<AdzeException>(bench.Stream.Synchronize);
        Assert.Throws<InvalidOperationException>(() => x.Write<float>([1], bench.Stream));
        Assert.Throws<InvalidOperationException>(() => x.Read<float>(new float[1], bench.Stream));
        bench.Stream.EndCapture().Dispose();
        Assert.False(bench.Stream.IsCapturing);

        static void Fails(AdzeStatus status, Action call) =>
            Assert.Equal(status, Assert.Throws<AdzeException>(call).Status);
    }

    [Fact]
    public void Tensors_lie_within_their_buffers()
    {
        using Bench bench = new();
        using DeviceBuffer buffer = new(bench.Context, 64);
        _ = new DeviceTensor(buffer, 0, DType.F32, 4, 4, 4);
        _ = new DeviceTensor(buffer, 8, DType.F32, 4, 2, 4);
        _ = new DeviceTensor(buffer, 56, DType.F32, 1, 2, 1000);
        _ = new DeviceTensor(buffer, 64, DType.F32, 0, 4, 4);
        Assert.Throws<ArgumentException>(() => new DeviceTensor(buffer, 4, DType.F32, 4, 4, 4));
        Assert.Throws<ArgumentException>(() => new DeviceTensor(buffer, 0, DType.F32, 4, 4, 5));
        Assert.Throws<ArgumentException>(() => new DeviceTensor(buffer, 68, DType.F32, 0, 0, 0));
        Assert.Throws<ArgumentException>(() => new DeviceTensor(buffer, ulong.MaxValue, DType.F32, 1, 1, 1));
        const long Most = long.MaxValue;
        Assert.Throws<ArgumentException>(() => new DeviceTensor(buffer, 0, DType.F32, Most, Most, Most));
        Assert.Throws<ArgumentOutOfRangeException>(() => new DeviceTensor(buffer, 0, DType.F32, -1, 4, 4));
        Assert.Throws<ArgumentOutOfRangeException>(() => new DeviceTensor(buffer, 0, DType.F32, 1, -4, 4));
        Assert.Throws<ArgumentOutOfRangeException>(() => new DeviceTensor(buffer, 0, DType.F32, 2, 4, 3));
        Assert.Throws<ArgumentOutOfRangeException>(() => new DeviceTensor(buffer, 0, DType.None, 1, 1, 1));
        Assert.Throws<ArgumentNullException>(() => new DeviceTensor(null!, 0, DType.F32, 1, 1, 1));
        Assert.True(default(DeviceTensor).IsAbsent);
    }

    [Fact]
    public void Slices_view_the_same_memory()
    {
        using Bench bench = new();
        DeviceTensor whole = bench.Tensor<float>(3, 4, 0, 1, 2, 3, 10, 11, 12, 13, 20, 21, 22, 23);
        DeviceTensor part = whole.SliceRows(1, 2).SliceColumns(2, 2);
        Assert.Equal((2, 2, 4, 24UL), (part.Rows, part.Columns, part.RowStride, part.OffsetBytes));
        DeviceTensor sum = bench.Floats(2, 2);
        Linear.Run(bench.Stream, sum, part, bench.Weight(2, 2, 1, 0, 0, 1), workspace: bench.Workspace);
        Assert.Equal([12, 13, 22, 23], bench.Read<float>(sum));
        Assert.Equal([10, 11, 12, 13], bench.Read<float>(whole.SliceRows(1, 1)));
        Assert.Equal(0, whole.SliceRows(3, 0).Rows);
        Assert.Throws<InvalidOperationException>(() => bench.Read<float>(part));
        Assert.Throws<ArgumentOutOfRangeException>(() => whole.SliceRows(2, 2));
        Assert.Throws<ArgumentOutOfRangeException>(() => whole.SliceRows(-1, 1));
        Assert.Throws<ArgumentOutOfRangeException>(() => whole.SliceColumns(0, 5));
        Assert.Throws<ArgumentOutOfRangeException>(() => whole.SliceColumns(1, long.MaxValue));
    }

    [Fact]
    public void Spans_have_the_length_that_shapes_ask_for()
    {
        using Bench bench = new();
        DeviceTensor tensor = bench.Floats(2, 2);
        Assert.Throws<ArgumentException>(() => tensor.Write<float>([1, 2, 3], bench.Stream));
        Assert.Throws<ArgumentException>(() => tensor.Read<float>(new float[5], bench.Stream));
        Assert.Throws<ArgumentException>(() => new Weight(bench.Context, DType.F32, new byte[15], 2, 2));
        using AttentionPlan plan = new(bench.Context, Operators.PlanOptions);
        Assert.Throws<ArgumentException>(() => plan.Update([0], [0, 0], [0], bench.Stream));
        Assert.Throws<ArgumentException>(() => plan.Update([0, 0], [0], [0], bench.Stream));
        Assert.Throws<ArgumentException>(() => plan.Update([], [], [], bench.Stream));
        using DeviceBuffer small = new(bench.Context, 63);
        Assert.Throws<ArgumentException>(() => Sampling.Run(bench.Stream, bench.Tensor<int>(1, 2), tensor, small));
    }

    [Theory]
    [InlineData(4, 32, 8, 8, 0, true)]
    [InlineData(5, 32, 8, 8, 0, false)]
    [InlineData(4, 32, 8, 8, 4, false)]
    [InlineData(4, 33, 8, 8, 0, false)]
    [InlineData(1, 0, 41, 0, 0, false)]
    [InlineData(4, long.MaxValue, 8, 8, 0, false)]
    [InlineData(4, 32, -8, 8, 0, false)]
    public void Caches_lie_within_their_buffers(long pages, long page, long token, long head, ulong offset, bool fits)
    {
        using Bench bench = new();
        KvCacheView good = new(bench.Floats(4, 32).Buffer!, 0, DType.F32, 4, 32, 8, 8);
        KvCacheView view = new(bench.Floats(4, 32).Buffer!, offset, DType.F32, pages, page, token, head);
        using AttentionPlan plan = new(bench.Context, Operators.PlanOptions);
        plan.Update([0, 1], [0, 1], [1], bench.Stream);
        DeviceTensor q = bench.Tensor<float>(1, 16, new float[16]), k = bench.Tensor<float>(1, 8, new float[8]);
        DeviceTensor ids = bench.Tensor<int>(1, 1, 0);
        DeviceTensor o = bench.Floats(1, 16);
        Action[] calls =
        [
            () => Attention.AppendKv(bench.Stream, view, good, k, k, ids, plan),
            () => Attention.AppendKv(bench.Stream, good, view, k, k, ids, plan),
            () => Attention.Run(bench.Stream, o, q, view, good, ids, plan, workspace: bench.Workspace),
            () => Attention.Run(bench.Stream, o, q, good, view, ids, plan, workspace: bench.Workspace),
        ];
        foreach (Action call in calls)
        {
            Exception? error = Record.Exception(call);
            Assert.True(fits ? error is null : error is ArgumentException, $"{error}");
        }
    }

    [Theory]
    [InlineData(DType.I4, 32, 256, true)]
    [InlineData(DType.I4, 32, 272, false)]
    [InlineData(DType.I8, 8, 384, true)]
    [InlineData(DType.F8E4M3, 8, 385, false)]
    public void Quantised_caches_lie_within_their_buffers(DType dtype, long vector, ulong offset, bool fits)
    {
        using Bench bench = new();
        KvCacheView Cache() => new(bench.Floats(4, 32).Buffer!, offset, dtype, 4, 4 * vector, vector, vector)
        {
            Scales = bench.Floats(4, 4),
            ScalePageStride = 4,
            ScaleTokenStride = 1,
        };
        KvCacheView keys = Cache();
        using AttentionPlan plan = new(bench.Context, Operators.PlanOptions);
        plan.Update([0, 1], [0, 1], [1], bench.Stream);
        DeviceTensor k = bench.Tensor<float>(1, 8, [1, 2, 3, 4, 5, 6, 7, 14]), ids = bench.Tensor<int>(1, 1, 2);
        Exception? error = Record.Exception(() => Attention.AppendKv(bench.Stream, keys, Cache(), k, k, ids, plan));
        Assert.True(fits ? error is null : error is ArgumentException, $"{error}");
        if (fits)
        {
            float[] scales = new float[16];
            keys.Scales.Read(scales, bench.Stream);
            Assert.Equal(14f / (dtype == DType.I4 ? 7 : 127), scales[8]);
        }
    }

    [Fact]
    public void Scales_lie_within_their_buffer()
    {
        using Bench bench = new();
        KvCacheView good = new(bench.Floats(4, 32).Buffer!, 0, DType.F32, 4, 32, 8, 8);
        KvCacheView other = new(bench.Floats(4, 32).Buffer!, 0, DType.F32, 4, 32, 8, 8);
        DeviceTensor scales = bench.Tensor<float>(1, 4, 2, 2, 2, 2), k = bench.Tensor<float>(1, 8, new float[8]);
        DeviceTensor ids = bench.Tensor<int>(1, 1, 0);
        using AttentionPlan plan = new(bench.Context, Operators.PlanOptions);
        plan.Update([0, 1], [0, 1], [1], bench.Stream);
        Run(good with { Scales = scales, ScalePageStride = 1 });
        Assert.Throws<ArgumentException>(() => Run(good with { Scales = scales, ScalePageStride = 2 }));
        Assert.Throws<ArgumentException>(() => Run(good with { Scales = scales.SliceColumns(1, 3), ScaleTokenStride = 1 }));
        Assert.Throws<ArgumentException>(() => Run(good with { Scales = ids }));

        void Run(KvCacheView cache) => Attention.AppendKv(bench.Stream, cache, other, k, k, ids, plan);
    }

    [Fact]
    public void Memory_of_another_context_is_refused()
    {
        using Bench bench = new(), other = new();
        DeviceTensor here = bench.Floats(1, 2), there = other.Floats(1, 2);
        ArgumentException error = Assert.Throws<ArgumentException>(() => Glue.SiluGate(bench.Stream, here, here, there));
        Assert.Equal("up", error.ParamName);
    }

    [Fact]
    public void Null_is_named()
    {
        using Bench bench = new();
        Assert.Throws<ArgumentNullException>(() => new AdzeStream(null!));
        Assert.Throws<ArgumentNullException>(() => new DeviceBuffer(null!, 1));
        Assert.Throws<ArgumentNullException>(() => DeviceBuffer.Reserve(null!, 1));
        Assert.Throws<ArgumentNullException>(() => new AdzeEvent(null!));
        Assert.Throws<ArgumentNullException>(() => Linear.Run(bench.Stream, default, default, null!));
        Assert.Throws<ArgumentNullException>(() => Linear.Run(null!, default, default, bench.Weight(1, 1, 1)));
        Assert.Throws<ArgumentNullException>(() => bench.Floats(1, 1).Write<float>([1], null!));
    }
}
