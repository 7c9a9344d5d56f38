// AMD's devices give all waves of a kernel the same registers: kernels that hand them over do not run here.
#pragma once

namespace adze {
inline namespace ADZE_TARGET {

template <int kRegisters>
ADZE_DEVICE void give_up_registers(Site) {
    __builtin_trap();
}
template <int kRegisters>
ADZE_DEVICE void take_registers(Site) {
    __builtin_trap();
}

}  // namespace ADZE_TARGET
}  // namespace adze
