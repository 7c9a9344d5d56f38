using System.Diagnostics.CodeAnalysis;

namespace Adze.Native;

/// <summary>
/// An order of work. On cpu and sim a call's work is done when it returns; on a GPU it runs behind. A stream belongs to
/// one thread at a time. The operators take no memory and never wait for the device; wrong arguments are an
/// <see cref="AdzeException"/> before anything is launched, also in a capture.
/// </summary>
[SuppressMessage("Naming", "CA1711", Justification = "A stream of device work, as in CUDA and HIP.")]
public sealed unsafe class AdzeStream : IDisposable
{
    /// <summary>Makes a stream that is not ordered with any other.</summary>
    /// <param name="context">Whose device.</param>
    public AdzeStream(AdzeContext context)
    {
        ArgumentNullException.ThrowIfNull(context);
        Context = context;
        Handle = new StreamHandle(context.Handle);
        nint created = 0;
        adze_status status = adze_stream_create(context.Handle.Raw, &created);
        Handle.Complete(status, created);
    }

    private AdzeStream(AdzeContext context, nint nativeStream)
    {
        ArgumentNullException.ThrowIfNull(context);
        Context = context;
        Handle = new StreamHandle(context.Handle);
        nint created = 0;
        adze_status status = adze_stream_adopt(context.Handle.Raw, nativeStream, &created);
        Handle.Complete(status, created);
    }

    /// <summary>Whether a capture is under way that <see cref="BeginCapture"/> began.</summary>
    public bool IsCapturing => Handle.Captured is not null;

    internal AdzeContext Context { get; }

    internal StreamHandle Handle { get; }

    /// <summary>
    /// Uses a native stream (CUstream, hipStream_t) of the context's device that the caller owns and keeps alive. Its
    /// owner may put it into capture, too: what the captured calls name is then the caller's to keep alive.
    /// </summary>
    /// <param name="context">Whose device.</param>
    /// <param name="nativeStream">The native stream.</param>
    /// <returns>A stream whose disposal leaves the native one alone.</returns>
    /// <exception cref="AdzeException">NotSupported on cpu and sim.</exception>
    public static AdzeStream Adopt(AdzeContext context, nint nativeStream) => new(context, nativeStream);

    /// <summary>Returns when all that was put on the stream is done; it may not be capturing.</summary>
    /// <exception cref="AdzeException">Some of it failed.</exception>
    public void Synchronize()
    {
        using NativeCall call = new(this);
        NativeCall.Check(adze_stream_synchronize(call.Stream));
    }

    /// <summary>What is put on the stream from now on runs after the event as last recorded.</summary>
    /// <param name="awaited">The event.</param>
    public void WaitEvent(AdzeEvent awaited)
    {
        ArgumentNullException.ThrowIfNull(awaited);
        using NativeCall call = new(this);
        NativeCall.Check(adze_stream_wait_event(call.Stream, call.Hold(awaited.Handle)));
    }

    /// <summary>
    /// From here to <see cref="EndCapture"/> calls on the stream are checked and recorded, not run. The graph keeps the
    /// buffers, weights and plans that they name alive. Copies between host and device cannot be captured.
    /// </summary>
    public void BeginCapture()
    {
        using NativeCall call = new(this);
        NativeCall.Check(adze_stream_begin_capture(call.Stream));
        Handle.Captured = new CapturedHandles();
    }

    /// <summary>Ends a capture. Takes memory for the graph.</summary>
    /// <returns>What was recorded, ready to launch.</returns>
    /// <exception cref="AdzeException">There is no capture, or something made it invalid.</exception>
    public AdzeGraph EndCapture()
    {
        using NativeCall call = new(this);
        nint created = 0;
        adze_status status = adze_stream_end_capture(call.Stream, &created);
        CapturedHandles? captured = Handle.Captured;
        Handle.Captured = null;
        if (status != adze_status.ADZE_OK)
        {
            AdzeException failure = AdzeException.FromLastError(status);
            captured?.Release();
            throw failure;
        }

        return new AdzeGraph(Context, created, captured ?? new CapturedHandles());
    }

    /// <summary>Gives the stream up; a capture under way is thrown away.</summary>
    public void Dispose() => Handle.Dispose();
}
