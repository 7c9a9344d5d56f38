// Registers that a block's warp groups hand each other (sm_90a: kTarget.bulk_copy). A block starts with the same number for
// all its threads; groups that need few give theirs up, and others take them. PTX ISA, "setmaxnreg".
#pragma once

#include "device/target.h"

namespace adze {
inline namespace ADZE_TARGET {

// All threads of a warp group: from here on each has kRegisters, a multiple of 8 from 24 to 256, fewer than before.
template <int kRegisters>
ADZE_DEVICE void give_up_registers(Site site = Site::current());
// The same, more than before; waits until other groups have given up as many.
template <int kRegisters>
ADZE_DEVICE void take_registers(Site site = Site::current());

template <int kRegisters>
constexpr bool kIsRegisterCount = kRegisters % 8 == 0 && kRegisters >= 24 && kRegisters <= 256;

}  // namespace ADZE_TARGET
}  // namespace adze

#include ADZE_DEVICE_HEADER(registers.h)
