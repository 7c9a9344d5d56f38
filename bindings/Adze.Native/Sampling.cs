using System.Runtime.InteropServices;

namespace Adze.Native;

/// <summary>How one row is sampled; laid out as the device reads it. Filters apply in the order of the members.</summary>
/// <param name="Temperature">0: the largest allowed logit, lowest id first, and the rest is ignored.</param>
/// <param name="TopK">Keep the k most probable tokens; 0 is all.</param>
/// <param name="TopP">Keep the fewest most probable tokens that reach this share; 0 or 1 is all.</param>
/// <param name="MinP">Drop tokens less probable than this share of the most probable; 0 is none.</param>
/// <param name="Seed">Of the row's random numbers.</param>
/// <param name="Position">Of the token in its sequence: a draw depends on seed and position alone.</param>
[StructLayout(LayoutKind.Sequential)]
public readonly record struct SamplingParams(
    float Temperature,
    int TopK,
    float TopP,
    float MinP,
    ulong Seed,
    ulong Position);

/// <summary>From logits to the next token.</summary>
public static unsafe class Sampling
{
    /// <summary>Workspace for so many rows of so many logits.</summary>
    /// <param name="context">Whose device.</param>
    /// <param name="rows">Most rows.</param>
    /// <param name="vocabulary">Logits of a row.</param>
    /// <returns>Bytes.</returns>
    public static ulong WorkspaceSize(AdzeContext context, long rows, long vocabulary)
    {
        ArgumentNullException.ThrowIfNull(context);
        context.Handle.Acquire();
        try
        {
            ulong bytes = 0;
            NativeCall.Check(adze_sampling_workspace_size(context.Handle.Raw, rows, vocabulary, &bytes));
            return bytes;
        }
        finally
        {
            context.Handle.DangerousRelease();
        }
    }

    /// <summary>Draws one token a row. A row without a token that may be drawn gives −1.</summary>
    /// <param name="stream">The stream.</param>
    /// <param name="ids">[1, B] I32, written.</param>
    /// <param name="logits">[B, V], F32, F16 or BF16.</param>
    /// <param name="parameters">B of <see cref="SamplingParams"/>; null is temperature 0 for all.</param>
    /// <param name="mask">[B, ⌈V / 32⌉ or more] I32: bit i % 32 of word i / 32 allows token i; or absent.</param>
    /// <param name="workspace">At least <see cref="WorkspaceSize"/>; null when that is 0.</param>
    /// <exception cref="ArgumentException">The parameters' buffer is too small.</exception>
    public static void Run(
        AdzeStream stream,
        DeviceTensor ids,
        DeviceTensor logits,
        DeviceBuffer? parameters = null,
        DeviceTensor mask = default,
        DeviceBuffer? workspace = null)
    {
        if (parameters is not null && (Int128)logits.Rows * sizeof(SamplingParams) > parameters.Bytes)
        {
            throw new ArgumentException(
                $"{logits.Rows} rows need {(Int128)logits.Rows * sizeof(SamplingParams)} bytes of parameters; the " +
                $"buffer has {parameters.Bytes}.",
                nameof(parameters));
        }

        using NativeCall call = new(stream);
        adze_sampling_desc desc = new()
        {
            struct_size = (uint)sizeof(adze_sampling_desc),
            logits = call.Tensor(logits),
            @params = parameters is null ? 0 : call.Hold(parameters),
            mask = call.Tensor(mask),
            ids = call.Tensor(ids),
            workspace = call.Workspace(workspace, out ulong bytes),
            workspace_bytes = bytes,
        };
        NativeCall.Check(adze_sampling_run(call.Stream, (nint)(&desc)));
    }
}
