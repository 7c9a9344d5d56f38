// Does not compile where the target lacks the instruction that ADZE_TRY names; naming fragments alone always does.
#include "device/wgmma.h"

namespace adze {
inline namespace ADZE_TARGET {
namespace {

enum Try { kFragments, kFp8, kWide, kWgmma, kWgmmaRegisters };

template <class M>
ADZE_DEVICE void try_mma() {
    typename M::A a{};
    typename M::B b{};
    typename M::C c;
    mma<M>(c, a, b);
}

template <Try kTry, class T>
ADZE_DEVICE void attempt(const Shared<T>& data) {
    using W = Wgmma<T, 64>;
    const SharedTile<T, 64, 64> tile{data};
    Mma<e4m3>::A fragment{};
    Mma<e5m2>::C sums;
    typename W::A registers{};
    typename W::C c{};
    if constexpr (kTry == kFp8) try_mma<Mma<e4m3>>();
    if constexpr (kTry == kWide) try_mma<MmaWide<T>>();
    if constexpr (kTry == kWgmma) wgmma<W>(c, tile, 0, 0, tile, 0, 0);
    if constexpr (kTry == kWgmmaRegisters) wgmma<W>(c, registers, tile, 0, 0);
    static_cast<void>(fragment), static_cast<void>(sums), static_cast<void>(registers), static_cast<void>(c);
}

struct Kernel {
    ADZE_DEVICE static void run() {
        SharedArena arena;
        attempt<ADZE_TRY>(arena.take<bf16>(64 * 64, 1024));
    }
};

}  // namespace
}  // namespace ADZE_TARGET
}  // namespace adze
