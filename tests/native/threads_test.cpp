// One context from several threads, several contexts side by side; run under -fsanitize=thread as well.
#include <thread>

#include "kit/attention_case.h"
#include "kit/linear_case.h"
#include "kit/sampling_case.h"

namespace {

class Threads : public kit::OnMachine {};
ADZE_ON_EACH_BACKEND(Threads);

/// A few rounds of three operators, each compared with what it gave before the threads started.
struct Load {
    Load(adze_context* context, uint64_t seed)
        : random(seed),
          stream(kit::make_stream(context)),
          linear(context, {5, 60, 70, ADZE_DTYPE_F32, ADZE_DTYPE_BF16}, kit::normal(random)),
          attention(context, stream, {.sequences = {{1, 300}, {4, 20}}, .shape = {4, 2, 16, 16}}, random,
                    kit::normal(random)),
          sampling(context, kit::Tensor(ADZE_DTYPE_F32, 3, 500).fill(kit::normal(random)),
                   std::vector<adze_sampling_params>(3, {1, 40, 0.9f, 0, 5, 6})) {
        run();
        y = linear.y.values(), o = attention.o.values(), ids = sampling.ids.values();
    }
    void run() {
        linear.run(stream);
        attention.update(stream);
        attention.run(stream);
        sampling.run(stream);
    }
    void repeat(int rounds) {
        for (int round = 0; round < rounds; ++round) {
            run();
            EXPECT_TRUE(kit::equal(linear.y, y));
            EXPECT_TRUE(kit::equal(attention.o, o));
            EXPECT_TRUE(kit::equal(sampling.ids, ids));
        }
    }

    kit::Random random;
    kit::Stream stream;
    kit::LinearCall linear;
    kit::AttentionCall attention;
    kit::SamplingCall sampling;
    std::vector<double> y, o, ids;
};

TEST_P(Threads, ShareOneContext) {
    std::vector<std::unique_ptr<Load>> loads;
    for (int i = 0; i < 4; ++i) loads.push_back(std::make_unique<Load>(context, random.next()));
    std::vector<std::thread> threads;
    for (auto& load : loads) threads.emplace_back([&load] { load->repeat(15); });
    for (std::thread& thread : threads) thread.join();
}

TEST_P(Threads, HaveAContextEach) {
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; ++i) {
        threads.emplace_back([i, seed = random.next()] {
            const kit::Context own = kit::make_context({ADZE_CPU_ISA_AUTO, 1 + i});
            Load(own, seed).repeat(15);
        });
    }
    for (std::thread& thread : threads) thread.join();
}

TEST_P(Threads, CreateAndDestroyAtOnce) {
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; ++i) {
        threads.emplace_back([&, seed = random.next()] {
            kit::Random mine(seed);
            for (int round = 0; round < 30; ++round) {
                const kit::Stream stream = kit::make_stream(context);
                kit::LinearCall(context, {2, 9, 11}, kit::normal(mine)).run(stream);
                const kit::Context own = kit::make_context({ADZE_CPU_ISA_PORTABLE, 2});
                EXPECT_EQ(adze_context_create(nullptr, nullptr), ADZE_ERROR_INVALID_ARGUMENT);
            }
        });
    }
    for (std::thread& thread : threads) thread.join();
}

TEST_P(Threads, ManyMoreThanCores) {
    const kit::Context many = kit::make_context({ADZE_CPU_ISA_AUTO, 64});
    Load(many, random.next()).repeat(3);
}

}  // namespace
