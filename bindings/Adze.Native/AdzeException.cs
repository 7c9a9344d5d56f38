using System.Runtime.InteropServices;

namespace Adze.Native;

/// <summary>A native call failed. The message names the function, the argument, its value and what is allowed.</summary>
public sealed class AdzeException : Exception
{
    /// <summary>Makes an exception.</summary>
    /// <param name="status">What the native call returned.</param>
    /// <param name="message">What it said.</param>
    public AdzeException(AdzeStatus status, string message)
        : base(message) => Status = status;

    /// <summary>What the native call returned.</summary>
    public AdzeStatus Status { get; }

    /// <summary>Reads the message of the call that has just failed on this thread.</summary>
    internal static unsafe AdzeException FromLastError(adze_status status)
    {
        string? message = Marshal.PtrToStringUTF8((nint)adze_last_error());
        if (string.IsNullOrEmpty(message))
        {
            message = Marshal.PtrToStringUTF8((nint)adze_status_name(status)) ?? status.ToString();
        }

        return new AdzeException((AdzeStatus)status, message);
    }
}
