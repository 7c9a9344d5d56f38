namespace Adze.Native;

/// <summary>y = x Wᵀ + b.</summary>
public static unsafe class Linear
{
    /// <summary>Workspace for this weight and up to so many rows of x.</summary>
    /// <param name="weight">The weight.</param>
    /// <param name="rows">Most rows of x.</param>
    /// <returns>Bytes.</returns>
    public static ulong WorkspaceSize(Weight weight, long rows)
    {
        ArgumentNullException.ThrowIfNull(weight);
        weight.Handle.Acquire();
        try
        {
            ulong bytes = 0;
            NativeCall.Check(adze_linear_workspace_size(weight.Handle.Raw, rows, &bytes));
            return bytes;
        }
        finally
        {
            weight.Handle.DangerousRelease();
        }
    }

    /// <summary>y[m, n] = Σₖ x[m, k] · w[n, k] + bias[n], accumulated in f32.</summary>
    /// <param name="stream">The stream.</param>
    /// <param name="y">[M, N], F32, F16 or BF16; may not overlap x.</param>
    /// <param name="x">[M, K], F32, F16 or BF16.</param>
    /// <param name="weight">[N, K].</param>
    /// <param name="bias">[1, N], or absent.</param>
    /// <param name="workspace">At least <see cref="WorkspaceSize"/>; null when that is 0.</param>
    public static void Run(
        AdzeStream stream,
        DeviceTensor y,
        DeviceTensor x,
        Weight weight,
        DeviceTensor bias = default,
        DeviceBuffer? workspace = null)
    {
        ArgumentNullException.ThrowIfNull(weight);
        using NativeCall call = new(stream);
        adze_linear_desc desc = new()
        {
            struct_size = (uint)sizeof(adze_linear_desc),
            weight = call.Hold(weight.Handle),
            x = call.Tensor(x),
            y = call.Tensor(y),
            bias = call.Tensor(bias),
            workspace = call.Workspace(workspace, out ulong bytes),
            workspace_bytes = bytes,
        };
        NativeCall.Check(adze_linear_run(call.Stream, (nint)(&desc)));
    }
}
