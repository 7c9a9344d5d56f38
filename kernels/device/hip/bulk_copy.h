// AMD's devices have no copy engine that kernels can ask: kernels that use it do not run here.
#pragma once

namespace adze {
inline namespace ADZE_TARGET {

template <int kRank, class T>
ADZE_DEVICE void bulk_load(const Shared<T>&, int, const TensorMap&, const int32_t (&)[kRank], const Shared<uint64_t>&,
                           int, Site) {
    __builtin_trap();
}
template <int kRank, class T>
ADZE_DEVICE void bulk_store(const TensorMap&, const int32_t (&)[kRank], const Shared<T>&, int, Site) {
    __builtin_trap();
}
ADZE_DEVICE void commit_bulk_stores(Site) {
    __builtin_trap();
}
template <int kGroups>
ADZE_DEVICE void wait_bulk_stores(Site) {
    __builtin_trap();
}

}  // namespace ADZE_TARGET
}  // namespace adze
