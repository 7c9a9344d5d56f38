using System.Runtime.InteropServices;

namespace Adze.Native;

/// <summary>
/// One native object. It keeps its parent alive: whatever the order of Dispose or of the finaliser, a context goes
/// after everything that was made from it.
/// </summary>
internal abstract unsafe class AdzeHandle : SafeHandle
{
    private readonly AdzeHandle? _parent;
    private readonly Type _owner;
    private volatile bool _disposed;

    protected AdzeHandle(AdzeHandle? parent, Type owner)
        : base(0, ownsHandle: true)
    {
        _owner = owner;
        parent?.Acquire();
        _parent = parent;
    }

    // Never invalid: a handle whose creation failed still has to give its parent back.
    public sealed override bool IsInvalid => false;

    /// <summary>The native address; the caller holds a reference.</summary>
    public nint Raw => handle;

    /// <summary>Keeps the object alive until <see cref="SafeHandle.DangerousRelease"/>.</summary>
    /// <exception cref="ObjectDisposedException">Dispose was called, even if others still hold the object.</exception>
    public void Acquire()
    {
        ThrowIfDisposed();
        AcquireForCapture();
    }

    /// <summary>As <see cref="Acquire"/>, by someone who holds the object already.</summary>
    public void AcquireForCapture()
    {
        bool added = false;
        DangerousAddRef(ref added);
    }

    public void ThrowIfDisposed() => ObjectDisposedException.ThrowIf(_disposed, _owner);

    /// <summary>Takes over what a create function made, or throws what it said.</summary>
    public void Complete(adze_status status, nint created)
    {
        if (status != adze_status.ADZE_OK)
        {
            AdzeException failure = AdzeException.FromLastError(status);
            Dispose();
            throw failure;
        }

        SetHandle(created);
    }

    protected abstract adze_status Destroy();

    protected override void Dispose(bool disposing)
    {
        _disposed = true;
        base.Dispose(disposing);
    }

    protected override bool ReleaseHandle()
    {
        bool destroyed = handle == 0 || Destroy() == adze_status.ADZE_OK;
        _parent?.DangerousRelease();
        return destroyed;
    }
}

internal sealed class ContextHandle() : AdzeHandle(null, typeof(AdzeContext))
{
    protected override adze_status Destroy() => adze_context_destroy(handle);
}

internal sealed class BufferHandle(ContextHandle context) : AdzeHandle(context, typeof(DeviceBuffer))
{
    protected override adze_status Destroy() => adze_buffer_destroy(handle);
}

internal sealed class EventHandle(ContextHandle context) : AdzeHandle(context, typeof(AdzeEvent))
{
    protected override adze_status Destroy() => adze_event_destroy(handle);
}

internal sealed class WeightHandle(ContextHandle context) : AdzeHandle(context, typeof(Weight))
{
    protected override adze_status Destroy() => adze_weight_destroy(handle);
}

internal sealed class PlanHandle(ContextHandle context) : AdzeHandle(context, typeof(AttentionPlan))
{
    protected override adze_status Destroy() => adze_attention_plan_destroy(handle);
}

internal sealed class StreamHandle(ContextHandle context) : AdzeHandle(context, typeof(AdzeStream))
{
    /// <summary>What the capture under way names; null when there is none.</summary>
    public CapturedHandles? Captured { get; set; }

    protected override unsafe adze_status Destroy()
    {
        if (Captured is { } captured)
        {
            // A stream that captures cannot be destroyed: end the capture and throw its graph away.
            nint graph = 0;
            if (adze_stream_end_capture(handle, &graph) == adze_status.ADZE_OK)
            {
                _ = adze_graph_destroy(graph);
            }

            Captured = null;
            captured.Release();
        }

        return adze_stream_destroy(handle);
    }
}

internal sealed class GraphHandle(ContextHandle context, CapturedHandles captured)
    : AdzeHandle(context, typeof(AdzeGraph))
{
    protected override adze_status Destroy()
    {
        adze_status status = adze_graph_destroy(handle);
        captured.Release();
        return status;
    }
}

/// <summary>The objects whose addresses a graph holds: they live until it is destroyed.</summary>
internal sealed class CapturedHandles
{
    private readonly HashSet<AdzeHandle> _handles = new(ReferenceEqualityComparer.Instance);

    public void Add(AdzeHandle handle)
    {
        if (_handles.Add(handle))
        {
            handle.AcquireForCapture();
        }
    }

    public void Release()
    {
        foreach (AdzeHandle handle in _handles)
        {
            handle.DangerousRelease();
        }

        _handles.Clear();
    }
}
