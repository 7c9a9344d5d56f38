// PTX ISA, "setmaxnreg".
#pragma once

namespace adze {
inline namespace ADZE_TARGET {

template <int kRegisters>
ADZE_DEVICE void give_up_registers(Site) {
    static_assert(kIsRegisterCount<kRegisters>);
    asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(kRegisters));
}
template <int kRegisters>
ADZE_DEVICE void take_registers(Site) {
    static_assert(kIsRegisterCount<kRegisters>);
    asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(kRegisters));
}

}  // namespace ADZE_TARGET
}  // namespace adze
