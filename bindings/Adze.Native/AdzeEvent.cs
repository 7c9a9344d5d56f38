namespace Adze.Native;

/// <summary>A point in a stream's work. It belongs to one thread at a time.</summary>
public sealed unsafe class AdzeEvent : IDisposable
{
    /// <summary>Makes an event.</summary>
    /// <param name="context">Whose device.</param>
    public AdzeEvent(AdzeContext context)
    {
        ArgumentNullException.ThrowIfNull(context);
        Handle = new EventHandle(context.Handle);
        nint created = 0;
        adze_status status = adze_event_create(context.Handle.Raw, &created);
        Handle.Complete(status, created);
    }

    internal EventHandle Handle { get; }

    /// <summary>Time from one event to another; both were recorded and have happened.</summary>
    /// <param name="start">The earlier.</param>
    /// <param name="end">The later.</param>
    /// <returns>Microseconds.</returns>
    public static double ElapsedMicroseconds(AdzeEvent start, AdzeEvent end)
    {
        ArgumentNullException.ThrowIfNull(start);
        ArgumentNullException.ThrowIfNull(end);
        start.Handle.Acquire();
        try
        {
            end.Handle.Acquire();
            try
            {
                double microseconds = 0;
                NativeCall.Check(adze_event_elapsed(start.Handle.Raw, end.Handle.Raw, &microseconds));
                return microseconds;
            }
            finally
            {
                end.Handle.DangerousRelease();
            }
        }
        finally
        {
            start.Handle.DangerousRelease();
        }
    }

    /// <summary>Marks the end of what is on the stream now; in a capture, whenever the graph runs.</summary>
    /// <param name="stream">The stream.</param>
    public void Record(AdzeStream stream)
    {
        using NativeCall call = new(stream);
        NativeCall.Check(adze_event_record(call.Hold(Handle), call.Stream));
    }

    /// <summary>Returns when the work before the last record is done; at once if it was never recorded.</summary>
    public void Synchronize()
    {
        Handle.Acquire();
        try
        {
            NativeCall.Check(adze_event_synchronize(Handle.Raw));
        }
        finally
        {
            Handle.DangerousRelease();
        }
    }

    /// <summary>Gives the event up.</summary>
    public void Dispose() => Handle.Dispose();
}
