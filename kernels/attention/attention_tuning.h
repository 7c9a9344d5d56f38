// The table of measurements by which ADZE_SOFTMAX_TUNED chooses (softmax.csv).
#pragma once

#include <string_view>

#include "adze/attention.h"
#include "device/arch.h"

namespace adze {

// What a call is, as the table's columns name it.
struct SoftmaxCase {
    Arch arch;
    adze_dtype cache;
    int32_t head_dim_qk;
    int64_t rows;  // of a tile: 16, 64 or 128
};

adze_softmax tuned_softmax(const SoftmaxCase& c);
// By another table, for tests. Fails with INTERNAL where a row makes no sense or none fits.
adze_softmax tuned_softmax(const SoftmaxCase& c, std::string_view table);

}  // namespace adze
