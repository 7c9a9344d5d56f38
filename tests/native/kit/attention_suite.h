// What suites of attention share.
#pragma once
#include "kit/attention_case.h"

namespace kit {

class OnAttention : public OnMachine {
protected:
    void check(const AttentionCase& c, const std::function<double()>& value) {
        AttentionCall call(context, stream, c, random, value);
        SCOPED_TRACE(call.c);
        call.run(stream);
        call.expect_close();
    }
    void check(const AttentionCase& c) { check(c, normal(random)); }

    /// A few sequences of every kind: decode, prefill, chunk, empty, no cache, more queries than keys.
    std::vector<Sequence> mixed(int64_t longest) {
        std::vector<Sequence> out{{1, random.integer(1, longest)},
                                  {0, 0},
                                  {random.integer(2, 7), random.integer(7, std::max<int64_t>(8, longest))},
                                  {5, 5},
                                  {0, random.integer(1, longest)},
                                  {1, 1},
                                  {3, 0},
                                  {4, 2}};
        random.shuffle(out);
        return out;
    }
};

/// Of an option or a format that every backend is to have.
#define ADZE_ASSERT_SUPPORTED(...) ASSERT_TRUE(kit::supports(context, __VA_ARGS__)) << adze_last_error()

inline const oracle::AttentionShape kPlain{2, 1, 64, 64};

}  // namespace kit
