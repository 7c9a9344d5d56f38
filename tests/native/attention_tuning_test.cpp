// The table by which a tuned softmax is chosen.
#include "attention/attention_tuning.h"

#include <gtest/gtest.h>

#include "runtime/check.h"

namespace {

using adze::Arch;
using adze::SoftmaxCase;
using adze::tuned_softmax;

TEST(SoftmaxTable, HasARowForEveryCase) {
    for (Arch arch : {Arch::kSm80, Arch::kSm89, Arch::kSm90a, Arch::kGfx90a}) {
        for (adze_dtype cache : {ADZE_DTYPE_F16, ADZE_DTYPE_BF16, ADZE_DTYPE_F8E4M3, ADZE_DTYPE_I8, ADZE_DTYPE_I4}) {
            for (int32_t head_dim : {64, 80, 96, 128, 192, 256}) {
                for (int64_t rows : {16, 64, 128}) EXPECT_NO_THROW(tuned_softmax({arch, cache, head_dim, rows}));
            }
        }
    }
}

TEST(SoftmaxTable, TheFirstRowThatFitsDecides) {
    constexpr const char* kTable =
        "# a comment\narch,cache,head_dim_qk,rows,softmax\nsm_90a,BF16,128,16,unified\nsm_90a,*,*,*,stable\n"
        "*,I4,*,64,unified\n*,*,*,*,stable\n";
    EXPECT_EQ(tuned_softmax({Arch::kSm90a, ADZE_DTYPE_BF16, 128, 16}, kTable), ADZE_SOFTMAX_UNIFIED);
    EXPECT_EQ(tuned_softmax({Arch::kSm90a, ADZE_DTYPE_BF16, 128, 64}, kTable), ADZE_SOFTMAX_STABLE);
    EXPECT_EQ(tuned_softmax({Arch::kSm90a, ADZE_DTYPE_BF16, 64, 16}, kTable), ADZE_SOFTMAX_STABLE);
    EXPECT_EQ(tuned_softmax({Arch::kSm90a, ADZE_DTYPE_I4, 128, 64}, kTable), ADZE_SOFTMAX_STABLE);
    EXPECT_EQ(tuned_softmax({Arch::kGfx90a, ADZE_DTYPE_I4, 256, 64}, kTable), ADZE_SOFTMAX_UNIFIED);
    EXPECT_EQ(tuned_softmax({Arch::kGfx90a, ADZE_DTYPE_I8, 256, 64}, kTable), ADZE_SOFTMAX_STABLE);
}

TEST(SoftmaxTable, RefusesWhatIsNoRow) {
    for (const char* table : {"*,*,*,*,fast\n", "*,*,*,stable\n", "*,*,*,*,stable,1\n", "sm_80,*,*,*,stable\n", ""})
        EXPECT_ANY_THROW(tuned_softmax({Arch::kSm90a, ADZE_DTYPE_BF16, 128, 16}, table)) << table;
}

}  // namespace
