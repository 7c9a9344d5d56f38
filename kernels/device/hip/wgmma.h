// AMD's devices have no matrix instruction of several waves: kernels that use it do not run here.
#pragma once

namespace adze {
inline namespace ADZE_TARGET {

template <class T, int kColumns>
struct Wgmma {
    static constexpr int kM = 64, kN = kColumns, kK = 32 / static_cast<int>(sizeof(T));
    struct A {};
    struct C {};
};

ADZE_DEVICE void wgmma_fence(Site) {
    __builtin_trap();
}
ADZE_DEVICE void wgmma_commit(Site) {
    __builtin_trap();
}
template <int kGroups>
ADZE_DEVICE void wgmma_wait(Site) {
    __builtin_trap();
}

template <class W, bool kRowsB, class TileA, class TileB>
ADZE_DEVICE void wgmma(typename W::C&, const TileA&, int, int, const TileB&, int, int, bool, Site) {
    static_assert(sizeof(W) == 0, "the target has no such matrix instruction");
}
template <class W, bool kRowsB, class TileB>
ADZE_DEVICE void wgmma(typename W::C&, const typename W::A&, const TileB&, int, int, bool, Site) {
    static_assert(sizeof(W) == 0, "the target has no such matrix instruction");
}

}  // namespace ADZE_TARGET
}  // namespace adze
