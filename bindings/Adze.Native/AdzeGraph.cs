namespace Adze.Native;

/// <summary>
/// Calls that were captured once and run together. It keeps the objects that they name alive; their contents may change
/// between launches, and a plan may be updated. It belongs to one thread at a time.
/// </summary>
public sealed class AdzeGraph : IDisposable
{
    private readonly GraphHandle _handle;

    internal AdzeGraph(AdzeContext context, nint created, CapturedHandles captured)
    {
        _handle = new GraphHandle(context.Handle, captured);
        _handle.Complete(adze_status.ADZE_OK, created);
    }

    /// <summary>
    /// Puts all of the captured work on a stream. Launches of one graph must not overlap. Takes no memory and does not
    /// wait.
    /// </summary>
    /// <param name="stream">A stream of the same context; it may not be capturing.</param>
    public void Launch(AdzeStream stream)
    {
        using NativeCall call = new(stream);
        NativeCall.Check(adze_graph_launch(call.Hold(_handle), call.Stream));
    }

    /// <summary>Gives the graph up, and what it kept alive.</summary>
    public void Dispose() => _handle.Dispose();
}
