using System.Runtime.InteropServices;

namespace Adze.Native;

/// <summary>What the simulator counted in one kernel launch, summed over its threads.</summary>
/// <param name="Kernel">The kernel's name.</param>
/// <param name="Grid">Blocks in each dimension.</param>
/// <param name="BlockThreads">Threads of a block.</param>
/// <param name="SharedBytes">Shared memory of a block.</param>
/// <param name="GlobalReadBytes">Bytes of global memory that threads asked for.</param>
/// <param name="GlobalWriteBytes">Bytes that they wrote.</param>
/// <param name="GlobalReadSectors">32-byte sectors moved: the distinct ones of each warp-level request.</param>
/// <param name="GlobalWriteSectors">The same for writes.</param>
/// <param name="GlobalRequests">Warp-level loads, stores and atomics on global memory.</param>
/// <param name="SharedRequests">Warp-level loads and stores of shared memory.</param>
/// <param name="SharedBankConflicts">Wavefronts of those beyond the fewest that the bytes need.</param>
/// <param name="MatrixInstructions">Warp-level mma, or warp-group-level wgmma.</param>
/// <param name="MatrixMultiplyAdds">Multiply-adds in them.</param>
/// <param name="BlockBarriers">Block and named barriers passed, once a block.</param>
/// <param name="WarpBarriers">Warp barriers passed, once a warp.</param>
/// <param name="AsyncCopyBytes">Bytes that asynchronous and bulk copies moved.</param>
public sealed record SimLaunch(
    string Kernel,
    (long X, long Y, long Z) Grid,
    int BlockThreads,
    ulong SharedBytes,
    ulong GlobalReadBytes,
    ulong GlobalWriteBytes,
    ulong GlobalReadSectors,
    ulong GlobalWriteSectors,
    ulong GlobalRequests,
    ulong SharedRequests,
    ulong SharedBankConflicts,
    ulong MatrixInstructions,
    ulong MatrixMultiplyAdds,
    ulong BlockBarriers,
    ulong WarpBarriers,
    ulong AsyncCopyBytes)
{
    internal static SimLaunch From(in adze_sim_launch launch) => new(
        Marshal.PtrToStringUTF8(launch.kernel) ?? "",
        (launch.grid_x, launch.grid_y, launch.grid_z),
        (int)launch.block_threads,
        launch.shared_bytes,
        launch.global_read_bytes,
        launch.global_write_bytes,
        launch.global_read_sectors,
        launch.global_write_sectors,
        launch.global_requests,
        launch.shared_requests,
        launch.shared_bank_conflicts,
        launch.matrix_instructions,
        launch.matrix_multiply_adds,
        launch.block_barriers,
        launch.warp_barriers,
        launch.async_copy_bytes);
}
