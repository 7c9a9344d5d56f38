// Which instance of attention's kernel serves a call. attention.cu has those of caches in 16 bits; the others are in
// files of their own, which compile side by side.
#pragma once

#include "attention/attention.cuh"
#include "runtime/check.h"

namespace adze {
inline namespace ADZE_TARGET {

// Launches the instance of kRowCount rows, if it can serve the call.
template <class Stored, int kDimQk, int kDimV, int kRowCount>
bool launch_rows(LaunchStream& stream, const AttentionKernelParams& params, int64_t blocks) {
    using Kernel = Attention<Stored, kDimQk, kDimV, kRowCount>;
    const bool needs_units = std::is_same_v<Stored, f16> && scales_vary(params.v);
    if (!Kernel::kHasParts && (params.q_parts > 1 || params.p_parts > 1 || needs_units)) return false;
    const int64_t bytes = Kernel::shared_bytes(stream.arch(), params.q_parts);
    if (bytes > stream.shared_limit()) return false;
    launch<Kernel>(stream, {blocks, params.shape.num_kv_heads, 1}, bytes, params);
    return true;
}

// A piece has more rows than an instance takes at a time, and reads its keys as often, where shared memory is too small for
// more or parts of p and q leave too few registers, and in quantised caches of the largest heads, for those, too.
template <class Stored, int kDimQk, int kDimV>
void launch_dims(LaunchStream& stream, const AttentionKernelParams& params, int64_t blocks) {
    if constexpr (!kIsQuantised<Stored> || kDimQk <= 128) {
        if (params.height == 2 && launch_rows<Stored, kDimQk, kDimV, 128>(stream, params, blocks)) return;
    }
    if (params.height >= 1 && launch_rows<Stored, kDimQk, kDimV, 64>(stream, params, blocks)) return;
    if (launch_rows<Stored, kDimQk, kDimV, 16>(stream, params, blocks)) return;
    fail(ADZE_ERROR_NOT_SUPPORTED, "head_dim is %d; the device has %lld bytes of shared memory a block, too few",
         kDimQk, static_cast<long long>(stream.shared_limit()));
}

// Head dims between those of the instances take the next higher: loads, and products with 16-bit keys and values, leave out
// what is beyond the head, in steps of an instruction; products with quantised keys take all columns, 128 for 80 and 96.
template <class Stored>
void launch_instance(LaunchStream& stream, const AttentionKernelParams& params, int64_t blocks) {
    const AttentionShape& s = params.shape;
    if (s.head_dim_qk == 192) return launch_dims<Stored, 192, 128>(stream, params, blocks);
    const int32_t dim = s.head_dim_qk > s.head_dim_v ? s.head_dim_qk : s.head_dim_v;
    if (dim <= 64) return launch_dims<Stored, 64, 64>(stream, params, blocks);
    if (dim <= 128) return launch_dims<Stored, 128, 128>(stream, params, blocks);
    launch_dims<Stored, 256, 256>(stream, params, blocks);
}

extern template void launch_instance<e4m3>(LaunchStream&, const AttentionKernelParams&, int64_t);
extern template void launch_instance<int8_t>(LaunchStream&, const AttentionKernelParams&, int64_t);
extern template void launch_instance<int4x2>(LaunchStream&, const AttentionKernelParams&, int64_t);

}  // namespace ADZE_TARGET
}  // namespace adze
