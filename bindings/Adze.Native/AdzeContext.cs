namespace Adze.Native;

/// <summary>How a context is made. Every default is sensible.</summary>
public sealed record ContextOptions
{
    /// <summary>Where kernels run.</summary>
    public Backend Backend { get; init; }

    /// <summary>Index among the backend's devices.</summary>
    public int Device { get; init; }

    /// <summary>Threads that work on cpu and sim, the caller's included; 0 is one per available core.</summary>
    public int NumThreads { get; init; }

    /// <summary>Instruction set of the cpu backend.</summary>
    public CpuIsa CpuIsa { get; init; }

    /// <summary>Every result is bitwise equal across runs and across the rest of a batch. Always so on cpu.</summary>
    public bool Deterministic { get; init; }

    /// <summary>
    /// For debugging on GPUs: attention and append check the page ids in device memory, and so wait for their stream. On cpu and
    /// sim they always do.
    /// </summary>
    public bool CheckIndices { get; init; }
}

/// <summary>
/// A device that is ready to work. Threads may share it. What was made from a context keeps it alive: it may be
/// disposed first, and goes with the last of its objects.
/// </summary>
public sealed unsafe class AdzeContext : IDisposable
{
    /// <summary>ADZE_CONTEXT_DETERMINISTIC.</summary>
    internal const uint DeterministicFlag = 1;

    /// <summary>ADZE_CONTEXT_CHECK_INDICES.</summary>
    internal const uint CheckIndicesFlag = 2;

    /// <summary>Makes a context for one device.</summary>
    /// <param name="options">Null is all defaults.</param>
    /// <exception cref="AdzeException">The backend is not built, or there is no such device.</exception>
    public AdzeContext(ContextOptions? options = null)
    {
        if (AdzeLibrary.AbiVersion != AdzeLibrary.ExpectedAbiVersion)
        {
            throw new AdzeException(
                AdzeStatus.Unavailable,
                $"libadze.so has ABI {AdzeLibrary.AbiVersion}; these bindings need {AdzeLibrary.ExpectedAbiVersion}");
        }

        options ??= new ContextOptions();
        adze_context_desc desc = new()
        {
            struct_size = (uint)sizeof(adze_context_desc),
            backend = (adze_backend)options.Backend,
            device = options.Device,
            num_threads = options.NumThreads,
            cpu_isa = (adze_cpu_isa)options.CpuIsa,
            flags = (options.Deterministic ? DeterministicFlag : 0) | (options.CheckIndices ? CheckIndicesFlag : 0),
        };
        nint created = 0;
        adze_status status = adze_context_create((nint)(&desc), &created);
        Handle = new ContextHandle();
        Handle.Complete(status, created);
        Info = ReadInfo(created);
    }

    /// <summary>What the context runs on, Auto resolved.</summary>
    public DeviceInfo Info { get; }

    internal ContextHandle Handle { get; }

    /// <summary>On such backends work is done when a call returns; on the others the stream runs behind.</summary>
    internal bool RunsAtOnce => Info.Backend is Backend.Cpu or Backend.Sim;

    /// <summary>What the simulator counted in a recent kernel launch of this context.</summary>
    /// <param name="back">0 is the latest launch, 1 the one before, up to 255.</param>
    /// <returns>The counts.</returns>
    /// <exception cref="AdzeException">The backend is not sim, or there have not been so many launches.</exception>
    public SimLaunch GetSimLaunch(int back = 0)
    {
        adze_sim_launch launch = new() { struct_size = (uint)sizeof(adze_sim_launch) };
        Handle.Acquire();
        try
        {
            NativeCall.Check(adze_sim_counters(Handle.Raw, back, (nint)(&launch)));
        }
        finally
        {
            Handle.DangerousRelease();
        }

        return SimLaunch.From(launch);
    }

    /// <summary>Gives the context up.</summary>
    public void Dispose() => Handle.Dispose();

    private static DeviceInfo ReadInfo(nint context)
    {
        adze_device_info info = new() { struct_size = (uint)sizeof(adze_device_info) };
        NativeCall.Check(adze_context_info(context, (nint)(&info)));
        return DeviceInfo.From(info);
    }
}
