// Fibers have as many registers as they like: what is checked is that the whole warp group comes here.
#pragma once

#include "device/sim/block.h"

namespace adze {
inline namespace ADZE_TARGET {

template <int kRegisters>
inline void give_up_registers(Site site) {
    static_assert(kIsRegisterCount<kRegisters>);
    sim::current->block->meet_group("give_up_registers", site, [](sim::Thread&) {});
}
template <int kRegisters>
inline void take_registers(Site site) {
    static_assert(kIsRegisterCount<kRegisters>);
    sim::current->block->meet_group("take_registers", site, [](sim::Thread&) {});
}

}  // namespace ADZE_TARGET
}  // namespace adze
