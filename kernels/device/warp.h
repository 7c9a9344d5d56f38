// Exchanges between the lanes of a warp. All lanes call, at the same place; none of them orders memory.
#pragma once

#include <cmath>

#include "device/index.h"

namespace adze {
inline namespace ADZE_TARGET {

// T is 4 or 8 bytes. The value of lane `lane`, or of this lane's index ^ `mask`.
template <class T>
ADZE_DEVICE T shuffle(T value, int lane, Site site = Site::current());
template <class T>
ADZE_DEVICE T shuffle_xor(T value, int mask, Site site = Site::current());
// Bit i is lane i's `predicate`.
ADZE_DEVICE LaneMask ballot(bool predicate, Site site = Site::current());

struct Add {
    template <class T>
    ADZE_DEVICE T operator()(T a, T b) const {
        return a + b;
    }
};
struct Max {  // where one operand is NaN, the other
    template <class T>
    ADZE_DEVICE T operator()(T a, T b) const {
        return a > b ? a : b;
    }
    ADZE_DEVICE float operator()(float a, float b) const { return fmaxf(a, b); }
};

// Combines `width` neighbouring lanes (a power of two, `stride` lanes apart); each of them gets the result, in an order
// that does not depend on the lane. All lanes of the warp name the same width and stride, and the same operation.
template <class T, class Op>
ADZE_DEVICE T reduce(T value, Op op, int width = kWarpSize, int stride = 1, Site site = Site::current());
// By exchanges, as GPUs do it. In the simulator an exchange is as many switches of fibers as there are lanes: there reduce
// takes all steps in one, and a test compares the two.
template <class T, class Op>
ADZE_DEVICE T reduce_by_exchanges(T value, Op op, int width, int stride, Site site = Site::current()) {
    for (int mask = stride; mask < width * stride; mask *= 2) value = op(value, shuffle_xor(value, mask, site));
    return value;
}
#ifndef ADZE_SIM_TARGET
template <class T, class Op>
ADZE_DEVICE T reduce(T value, Op op, int width, int stride, Site site) {
    return reduce_by_exchanges(value, op, width, stride, site);
}
#endif

}  // namespace ADZE_TARGET
}  // namespace adze

#include ADZE_DEVICE_HEADER(warp.h)
