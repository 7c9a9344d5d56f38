// sampling: the kept tokens exactly, the draw where the oracle's Philox puts it, and the distribution as a whole.
#include <map>
#include <set>

#include "kit/sampling_case.h"

namespace {

using kit::Allowed;
using kit::SamplingCall;
using kit::Tensor;

using Params = adze_sampling_params;

TEST(Philox, PublishedKnownAnswers) {
    // Random123, tests/kat_vectors, philox4x32 10.
    using Words = std::array<uint32_t, 4>;
    EXPECT_EQ(oracle::philox4x32_10({0, 0, 0, 0}, {0, 0}), (Words{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
    constexpr uint32_t f = 0xffffffff;
    EXPECT_EQ(oracle::philox4x32_10({f, f, f, f}, {f, f}), (Words{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
    EXPECT_EQ(oracle::philox4x32_10({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}),
              (Words{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

class Sampling : public kit::OnMachine {
protected:
    Tensor logits(int64_t B, int64_t V, adze_dtype dtype = ADZE_DTYPE_F32, double spread = 2, int64_t gap = 0) {
        return Tensor(dtype, B, V, gap).fill(kit::normal(random, spread));
    }
    static Tensor repeated(const std::vector<double>& row, int64_t B) {
        Tensor out(ADZE_DTYPE_F32, B, int64_t(row.size()));
        for (int64_t b = 0; b < B; ++b) {
            for (size_t i = 0; i < row.size(); ++i) out.set(b, int64_t(i), row[i]);
        }
        return out.freeze();
    }
    std::vector<Params> draws(Params params, int64_t count) {
        std::vector<Params> out(static_cast<size_t>(count), params);
        for (size_t i = 0; i < out.size(); ++i) out[i].position = i;
        return out;
    }
    Allowed some_allowed(int64_t V) {
        Allowed out(static_cast<size_t>(V));
        const double share = random.uniform();
        for (int64_t i = 0; i < V; ++i) out[size_t(i)] = random.uniform() < share;
        out[size_t(random.integer(0, V - 1))] = true;
        return out;
    }

    /// Each id is the token at which the cumulative probability exceeds u, give or take float32's rounding of the sums,
    /// and, where `edge`, a token that top_p keeps or drops by that rounding.
    void expect_draws(const SamplingCall& call, const std::vector<int>& ids, const std::vector<Allowed>& allowed = {},
                      bool edge = false) {
        for (int64_t b = 0; b < call.logits.rows(); ++b) {
            const Params& params = call.params[size_t(b)];
            std::vector<double> row;
            for (int64_t i = 0; i < call.logits.columns(); ++i) row.push_back(call.logits.at(b, i));
            const auto p = oracle::distribution(row, params, allowed.empty() ? Allowed{} : allowed[size_t(b)]);
            const int id = ids[size_t(b)];
            if (p.empty()) {
                EXPECT_EQ(id, -1) << "row " << b;
                continue;
            }
            ASSERT_GE(id, 0) << "row " << b;
            ASSERT_LT(size_t(id), p.size()) << "row " << b;
            double least = 1;
            for (double share : p) least = share > 0 ? std::min(least, share) : least;
            if (!edge || params.top_p == 0) {
                ASSERT_GT(p[size_t(id)], 0) << "row " << b << " drew the dropped token " << id;
            }
            const double u = params.temperature == 0 ? 0 : oracle::philox_uniform(params.seed, params.position);
            double below = 0;
            for (int i = 0; i < id; ++i) below += p[size_t(i)];
            const double tolerance = 2e-6 + (edge && params.top_p > 0 ? 2 * least : 0);
            EXPECT_LE(below, u + tolerance) << "row " << b << " id " << id;
            EXPECT_GT(below + p[size_t(id)], u - tolerance) << "row " << b << " id " << id;
        }
    }

    /// Of the largest u of a seed's first million positions, or the smallest.
    static uint64_t position_of(uint64_t seed, bool largest) {
        uint64_t found = 0;
        double best = oracle::philox_uniform(seed, found);
        for (uint64_t position = 1; position < 1'000'000; ++position) {
            const double u = oracle::philox_uniform(seed, position);
            if (largest ? u > best : u < best) best = u, found = position;
        }
        return found;
    }

    /// How often one row is drawn from: a simulated device takes its time.
    int64_t many() const { return on_cpu() ? 4000 : 200; }

    /// The tokens that many draws of one row reach: for few tokens of some weight, the kept set.
    std::set<int> reached(const std::vector<double>& row, Params params, const Allowed& allowed = {}) {
        const int64_t count = many();
        params.seed = random.next();
        SamplingCall call(context, repeated(row, count), draws(params, count),
                          allowed.empty() ? std::vector<Allowed>{} : std::vector<Allowed>(size_t(count), allowed));
        const auto ids = call.run(stream);
        return {ids.begin(), ids.end()};
    }
};
ADZE_ON_EACH_MACHINE(Sampling);

const std::vector<int64_t> kVocabularies{1, 2, 7, 8, 15, 16, 17, 31, 32, 33, 63, 64, 65, 1000, 4099};

TEST_P(Sampling, ArgmaxTakesTheLowestOfTies) {
    for (int64_t V : kVocabularies) {
        for (adze_dtype dtype : kit::kFloats) {
            for (int64_t B : {0, 1, 2, 5, 13}) {
                Tensor in = logits(B, V, dtype, 1, random.integer(0, 4));
                std::vector<int> expected;
                for (int64_t b = 0; b < B; ++b) {
                    const int64_t first = random.integer(0, V - 1);
                    for (int ties = 0; ties < 5; ++ties) in.set(b, random.integer(first, V - 1), 50);
                    in.set(b, first, 50);
                    expected.push_back(int(first));
                }
                in.freeze();
                SamplingCall greedy(context, in);
                EXPECT_EQ(greedy.run(stream), expected) << "V " << V;
                // Temperature 0 of either sign ignores everything else, nonsense too.
                SamplingCall zero(context, in, std::vector<Params>(size_t(B), {-0.0f, -5, NAN, 9, 1, 2}));
                EXPECT_EQ(zero.run(stream), expected) << "V " << V;
                EXPECT_TRUE(in.unchanged());
            }
        }
    }
}

TEST_P(Sampling, ArgmaxOfEqualAndNegativeZeroLogits) {
    EXPECT_EQ(SamplingCall(context, repeated(std::vector<double>(100, -3.5), 2)).run(stream), (std::vector{0, 0}));
    EXPECT_EQ(SamplingCall(context, repeated({-0.0, 0.0, -0.0}, 1)).run(stream), std::vector{0});
    EXPECT_EQ(SamplingCall(context, repeated({-HUGE_VAL, -3.4e38, -HUGE_VAL}, 1)).run(stream), std::vector{1});
}

TEST_P(Sampling, DrawsFollowPhilox) {
    for (int64_t V : kVocabularies) {
        for (adze_dtype dtype : kit::kFloats) {
            const int64_t B = random.integer(1, 70);
            std::vector<Params> params(static_cast<size_t>(B));
            for (Params& p : params) {
                p = {float(random.pick(std::vector<double>{0, 0.3, 0.7, 1, 2})), 0, 0, 0, random.next(), random.next()};
            }
            SamplingCall call(context, logits(B, V, dtype, 2, random.integer(0, 3)), params);
            expect_draws(call, call.run(stream));
            EXPECT_TRUE(call.logits.unchanged());
        }
    }
}

TEST_P(Sampling, FiltersTogether) {
    for (int round = 0; round < 300; ++round) {
        const int64_t V = random.pick(kVocabularies), B = random.integer(1, 6);
        Tensor in = logits(B, V, random.pick(kit::kFloats));
        std::vector<Params> params;
        std::vector<Allowed> allowed;
        for (int64_t b = 0; b < B; ++b) {
            allowed.push_back(some_allowed(V));
            std::vector<double> row;
            for (int64_t i = 0; i < V; ++i) row.push_back(in.at(b, i));
            for (double margin = 0; margin < 1e-5;) {
                Params p{float(0.2 + random.uniform() * 2), 0, 0, 0, random.next(), random.next()};
                if (random.coin()) p.top_k = int32_t(random.integer(1, V + 2));
                if (random.coin()) p.top_p = float(random.uniform());
                if (random.coin()) p.min_p = float(random.uniform() * 0.3);
                oracle::distribution(row, p, allowed.back(), &margin);
                if (margin >= 1e-5) params.push_back(p);
            }
        }
        SamplingCall call(context, in, params, allowed, &random);
        expect_draws(call, call.run(stream), allowed);
        if (HasFailure()) return;
    }
}

TEST_P(Sampling, KeptTokensExactly) {
    for (int round = 0; round < 25; ++round) {
        std::vector<double> row;
        for (int i = 0; i < 12; ++i) row.push_back(float(random.normal()));
        row[size_t(random.integer(0, 11))] = row[3];  // a tie
        Params params{1, 0, 0, 0, 0, 0};
        if (round % 4 == 0 || random.coin()) params.top_k = int32_t(random.integer(1, 14));
        if (round % 4 == 1 || random.coin()) params.top_p = float(random.uniform());
        if (round % 4 == 2 || random.coin()) params.min_p = float(random.uniform() * 0.6);
        double margin = 0;
        const auto p = oracle::distribution(row, params, {}, &margin);
        if (margin < 1e-5) continue;
        std::set<int> kept;
        for (int i = 0; i < 12; ++i) {
            if (p[size_t(i)] > 16.0 / double(many())) kept.insert(i);  // a rarer one may stay undrawn
        }
        const std::set<int> seen = reached(row, params);
        EXPECT_TRUE(std::includes(seen.begin(), seen.end(), kept.begin(), kept.end())) << "round " << round;
        for (int id : seen) EXPECT_GT(p[size_t(id)], 0) << "top_k " << params.top_k << " top_p " << params.top_p;
    }
}

TEST_P(Sampling, BordersOfTheFilters) {
    using Set = std::set<int>;
    const std::vector<double> flat(8, 1.5);  // eight times 1/8, exact in any arithmetic
    EXPECT_EQ(reached(flat, {1, 0, 0, 0, 0, 0}), (Set{0, 1, 2, 3, 4, 5, 6, 7}));
    EXPECT_EQ(reached(flat, {1, 3, 0, 0, 0, 0}), (Set{0, 1, 2})) << "ties: lowest id first";
    EXPECT_EQ(reached(flat, {1, 8, 0, 0, 0, 0}).size(), 8u);
    EXPECT_EQ(reached(flat, {1, 2147483647, 0, 0, 0, 0}).size(), 8u);
    EXPECT_EQ(reached(flat, {1, 0, 0.5f, 0, 0, 0}), (Set{0, 1, 2, 3})) << "four reach a half: no fifth";
    EXPECT_EQ(reached(flat, {1, 0, 0.500001f, 0, 0, 0}).size(), 5u);
    EXPECT_EQ(reached(flat, {1, 0, 0.875f, 0, 0, 0}).size(), 7u);
    EXPECT_EQ(reached(flat, {1, 0, 1e-30f, 0, 0, 0}), (Set{0})) << "at least one is kept";
    EXPECT_EQ(reached(flat, {1, 0, 1.0f, 0, 0, 0}).size(), 8u);
    EXPECT_EQ(reached(flat, {1, 4, 0.5f, 0, 0, 0}), (Set{0, 1})) << "top_p shares what top_k kept";
    EXPECT_EQ(reached(flat, {1, 0, 0, 1.0f, 0, 0}).size(), 8u) << "as probable as the most probable is kept";
    EXPECT_EQ(reached({0, 3, 3, 1}, {1, 0, 0, 1.0f, 0, 0}), (Set{1, 2}));
    EXPECT_EQ(reached({0, 3, 3, 1}, {1, 1, 0, 0, 0, 0}), (Set{1}));
    EXPECT_EQ(reached({5, -HUGE_VAL, 5, -HUGE_VAL}, {1, 3, 0, 0, 0, 0}), (Set{0, 2})) << "-inf is never drawn";
    // min_p looks at probabilities after temperature: e^-1 apart at 1, e^-4 at 0.25.
    EXPECT_EQ(reached({0, 1}, {1, 0, 0, 0.3f, 0, 0}), (Set{0, 1}));
    EXPECT_EQ(reached({0, 1}, {0.25f, 0, 0, 0.3f, 0, 0}), (Set{1}));
    // top_p too: 0.73 and 0.27 at 1, 0.98 at 0.25.
    EXPECT_EQ(reached({0, 1}, {1, 0, 0.9f, 0, 0, 0}), (Set{0, 1}));
    EXPECT_EQ(reached({0, 1}, {0.25f, 0, 0.9f, 0, 0, 0}), (Set{1}));
    // The mask comes first: top_k, top_p and min_p see the allowed only.
    const Allowed odd{false, true, false, true, false, true, false, true};
    EXPECT_EQ(reached(flat, {1, 2, 0, 0, 0, 0}, odd), (Set{1, 3}));
    EXPECT_EQ(reached(flat, {1, 0, 0.5f, 0, 0, 0}, odd), (Set{1, 3}));
    EXPECT_EQ(reached({9, 0, 9, 0}, {1, 0, 0, 0.5f, 0, 0}, {false, true, false, true}), (Set{1, 3}));
}

// Logits that differ have equal weights at a high temperature; the order is by logits all the same.
TEST_P(Sampling, TopKOfNeighbouringLogits) {
    const float low = 0.1f, high = std::nextafter(low, 1.0f);
    for (float temperature : {1.0f, 1e6f, 1e8f}) {
        SamplingCall call(context, Tensor(ADZE_DTYPE_F32, 1, 3).fill([i = 0, low, high]() mutable {
            return double(i++ == 1 ? high : low);
        }),
                          {{temperature, 1, 0, 0, 3, 4}});
        EXPECT_EQ(call.run(stream), std::vector<int>{1}) << temperature;
    }
}

// Clients whose parameters are larger than ours say how far apart they are.
TEST_P(Sampling, ParamsStride) {
    struct Larger {
        adze_sampling_params params;
        uint64_t more[3];
    };
    const std::vector<Larger> params{
        {{0, 0, 0, 0, 0, 0}, {~0ull, ~0ull, ~0ull}}, {{-1, 0, 0, 0, 0, 0}, {}}, {{0, 0, 0, 0, 0, 0}, {}}};
    SamplingCall call(context, Tensor(ADZE_DTYPE_F32, 3, 40).fill(kit::normal(random)));
    const std::vector<int> greedy = call.run(stream);
    adze_sampling_desc desc = call.desc();
    const kit::Fenced memory(params.size() * sizeof params[0]);
    std::memcpy(memory.data(), params.data(), memory.bytes());
    desc.params = reinterpret_cast<const Params*>(memory.data());
    desc.params_stride = sizeof(Larger);
    ADZE_ASSERT_OK(adze_sampling_run(stream, &desc));
    EXPECT_EQ(call.ids.values(), (std::vector<double>{double(greedy[0]), -1, double(greedy[2])}));
}

TEST_P(Sampling, ExtremeTemperaturesAndLogits) {
    using Set = std::set<int>;
    const std::vector<double> row{1, 2, 2, -5};
    for (float tiny : {1e-30f, 1e-38f, 1e-45f}) EXPECT_EQ(reached(row, {tiny, 0, 0, 0, 0, 0}), (Set{1, 2})) << tiny;
    for (float huge : {1e10f, 1e30f, 3.4e38f}) EXPECT_EQ(reached(row, {huge, 0, 0, 0, 0, 0}).size(), 4u) << huge;
    EXPECT_EQ(reached({3e38, -3e38, 3e38}, {1, 0, 0, 0, 0, 0}), (Set{0, 2}));
    EXPECT_EQ(reached({-3.4e38, -3.4e38}, {1, 0, 0, 0, 0, 0}), (Set{0, 1}));
    EXPECT_EQ(reached({-1e4, -1e4, -1.2e4}, {1, 0, 0, 0, 0, 0}), (Set{0, 1}));
    EXPECT_EQ(reached({1e-40, 0, -1e-40}, {1, 0, 0, 0, 0, 0}).size(), 3u);
}

TEST_P(Sampling, EndsOfTheUnitInterval) {
    // Positions whose u is next to 0 and next to 1 reach the first and the last kept token, never one beyond.
    const uint64_t seed = random.next();
    const uint64_t low = position_of(seed, false), high = position_of(seed, true);
    for (int64_t V : {2, 33, 1000}) {
        std::vector<double> row(size_t(V), 0.0);
        row[0] = -HUGE_VAL;
        row.back() = V == 2 ? 0 : -HUGE_VAL;
        SamplingCall call(context, repeated(row, 2), {{1, 0, 0, 0, seed, low}, {1, 0, 0, 0, seed, high}});
        EXPECT_EQ(call.run(stream), (std::vector<int>{1, int(V == 2 ? 1 : V - 2)})) << V;
    }
}

TEST_P(Sampling, MaskWordsAndBits) {
    for (int64_t V : kVocabularies) {
        const int64_t B = 5;
        std::vector<Allowed> allowed(B, Allowed(size_t(V), false));
        std::vector<int> expected;
        for (Allowed& row : allowed) {
            expected.push_back(int(random.integer(0, V - 1)));
            row[size_t(expected.back())] = true;
        }
        Tensor in = logits(B, V);
        // What is not allowed may hold anything.
        for (int64_t b = 0; b < B; ++b) {
            for (int64_t i = 0; i < V; ++i) {
                if (i != expected[size_t(b)])
                    in.set(b, i, random.pick(std::vector<double>{NAN, HUGE_VAL, -HUGE_VAL, 1}));
            }
        }
        SamplingCall greedy(context, in, {}, allowed, &random);
        EXPECT_EQ(greedy.run(stream), expected) << "V " << V;
        SamplingCall drawn(context, in, draws({0.8f, 3, 0.9f, 0.1f, 7, 0}, B), allowed, &random);
        EXPECT_EQ(drawn.run(stream), expected) << "V " << V;
        // Nothing allowed, only bits beyond V set.
        SamplingCall none(context, in, {}, std::vector<Allowed>(B, Allowed(size_t(V), false)), &random);
        EXPECT_EQ(none.run(stream), std::vector<int>(B, -1)) << "V " << V;
    }
}

TEST_P(Sampling, RowsThatCannotBeSampledGiveMinusOne) {
    const int64_t B = 9, V = 45;
    for (float temperature : {0.0f, 1.0f}) {
        Tensor in = logits(B, V);
        in.set(1, 44, NAN);
        in.set(3, 0, HUGE_VAL);
        for (int64_t i = 0; i < V; ++i) in.set(5, i, -HUGE_VAL);
        in.set(7, 17, -NAN);
        in.freeze();
        SamplingCall call(context, in, draws({temperature, 0, 0, 0, random.next(), 0}, B));
        const auto ids = call.run(stream);
        expect_draws(call, ids);
        for (size_t b : {1, 3, 5, 7}) EXPECT_EQ(ids[b], -1);
    }
    const std::vector<Params> bad{{-1, 0, 0, 0, 1, 1},  {NAN, 0, 0, 0, 1, 1},      {-INFINITY, 0, 0, 0, 1, 1},
                                  {1, -1, 0, 0, 1, 1},  {1, 0, -0.1f, 0, 1, 1},    {1, 0, 1.5f, 0, 1, 1},
                                  {1, 0, NAN, 0, 1, 1}, {1, 0, 0, -0.1f, 1, 1},    {1, 0, 0, 1.1f, 1, 1},
                                  {1, 0, 0, NAN, 1, 1}, {1, INT32_MIN, 0, 0, 1, 1}};
    std::vector<Params> mixed;
    std::vector<int> expected;
    for (const Params& p : bad) {
        mixed.push_back(p), expected.push_back(-1);
        mixed.push_back({0, 0, 0, 0, 0, 0}), expected.push_back(2);
    }
    EXPECT_EQ(SamplingCall(context, repeated({1, 2, 3}, int64_t(mixed.size())), mixed).run(stream), expected);
}

TEST_P(Sampling, ChiSquare) {
    const int64_t V = 33, B = 1000;
    for (const Params& base : {Params{1, 0, 0, 0, 0, 0}, Params{0.7f, 20, 0.95f, 0.01f, 0, 0}}) {
        std::vector<double> row;
        for (int64_t i = 0; i < V; ++i) row.push_back(float(random.normal()));
        double margin = 0;
        const auto p = oracle::distribution(row, base, {}, &margin);
        if (margin < 1e-5) continue;
        std::map<int, int> counts;
        const int rounds = on_cpu() ? 30 : 4;
        for (int round = 0; round < rounds; ++round) {
            // Half vary the position under one seed, half the seed at one position.
            auto params = draws(base, B);
            for (Params& q : params) {
                if (round % 2) {
                    q.seed = uint64_t(round) * 1000 + q.position, q.position = 5;
                } else {
                    q.seed = 42, q.position += uint64_t(round) * 1000;
                }
            }
            SamplingCall call(context, repeated(row, B), params);
            for (int id : call.run(stream)) ++counts[id];
        }
        double chi_square = 0;
        int cells = 0;
        for (int64_t i = 0; i < V; ++i) {
            const double expected = p[size_t(i)] * rounds * double(B), difference = counts[int(i)] - expected;
            ASSERT_TRUE(expected > 0 || counts[int(i)] == 0) << i;
            if (expected < 5) continue;
            chi_square += difference * difference / expected, ++cells;
        }
        // Wilson and Hilferty's approximation to the normal; beyond 5.5 sigma is one in 5e7.
        const double n = std::max(1, cells - 1);
        const double z = (std::cbrt(chi_square / n) - (1 - 2 / (9 * n))) / std::sqrt(2 / (9 * n));
        EXPECT_LT(z, 5.5) << "chi-square " << chi_square << " over " << cells << " cells";
    }
}

TEST_P(Sampling, ADrawIsTheSameAloneAndAmongOthers) {
    const int64_t B = 40, V = 517;
    const Tensor in = logits(B, V, ADZE_DTYPE_BF16);
    std::vector<Params> params;
    std::vector<Allowed> allowed;
    for (int64_t b = 0; b < B; ++b) {
        params.push_back({float(0.5 + random.uniform()), int32_t(random.integer(0, 60)), float(random.uniform()),
                          float(random.uniform() * 0.1), random.next(), random.next()});
        allowed.push_back(some_allowed(V));
    }
    SamplingCall all(context, in, params, allowed);
    const auto ids = all.run(stream);
    EXPECT_EQ(all.run(stream), ids) << "the same twice";
    for (int64_t b = 0; b < B; ++b) {
        Tensor row(ADZE_DTYPE_BF16, 1, V);
        std::memcpy(row.data(), in.row_bytes(b).data(), size_t(V) * 2);
        SamplingCall alone(context, row.freeze(), {params[size_t(b)]}, {allowed[size_t(b)]});
        EXPECT_EQ(alone.run(stream), std::vector{ids[size_t(b)]}) << "row " << b;
    }
}

TEST_P(Sampling, WholeVocabulary) {
    const int64_t V = 128256, B = 6;
    std::vector<Params> params;
    for (int64_t b = 0; b < B; ++b) params.push_back({0.9f, 0, 0, 0, random.next(), random.next()});
    params[1].top_k = 50;
    params[2].top_p = 0.9f;
    params[3].min_p = 0.05f;
    params[4] = {0.6f, 40, 0.95f, 0.02f, 3, 4};
    params[5].temperature = 0;
    for (adze_dtype dtype : {ADZE_DTYPE_F32, ADZE_DTYPE_BF16}) {
        SamplingCall call(context, logits(B, V, dtype, 3), params);
        const auto ids = call.run(stream);
        for (int64_t b = 0; b < B; ++b) {
            std::vector<double> row;
            for (int64_t i = 0; i < V; ++i) row.push_back(call.logits.at(b, i));
            const auto p = oracle::distribution(row, params[size_t(b)], {});
            ASSERT_GE(ids[size_t(b)], 0);
            ASSERT_LT(ids[size_t(b)], V);
            // A token at the edge of top_p may fall either way in float32; its neighbours in rank may not.
            const int id = ids[size_t(b)];
            double below = 0;
            for (int i = 0; i < id; ++i) below += p[size_t(i)];
            if (params[size_t(b)].temperature == 0) {
                EXPECT_EQ(p[size_t(id)], 1);
            } else {
                const double u = oracle::philox_uniform(params[size_t(b)].seed, params[size_t(b)].position);
                EXPECT_LE(below, u + 3e-5) << "row " << b;
                EXPECT_GT(below + p[size_t(id)], u - 3e-5) << "row " << b;
            }
        }
    }
}

// Filters that keep thousands of tokens, over logits of all kinds. In the order of the ids or against it, u next to 1
// or to 0 draws the last token that is kept: one too many or too few is seen.
TEST_P(Sampling, FiltersThatKeepThousands) {
    const uint64_t seed = 17, low = position_of(seed, false), high = position_of(seed, true);
    const auto expect_rows = [&](int64_t V, adze_dtype dtype, int kind, const std::vector<Params>& filters, int shift) {
        const auto B = int64_t(filters.size());
        Tensor in(dtype, B, V);
        std::vector<Params> params = filters;
        for (int64_t b = 0; b < B; ++b) {
            const int64_t order = (b + shift) % 3;
            std::vector<double> row;
            for (int64_t i = 0; i < V; ++i) row.push_back(kit::wide_logit(kind, i, V, random));
            if (order == 1) std::sort(row.begin(), row.end(), std::greater<>());
            if (order == 2) std::sort(row.begin(), row.end());
            for (int64_t i = 0; i < V; ++i) in.set(b, i, row[size_t(i)]);
            params[size_t(b)].seed = order == 0 ? random.next() : seed;
            params[size_t(b)].position = order == 1 ? high : low;
        }
        SamplingCall call(context, in.freeze(), params);
        expect_draws(call, call.run(stream), {}, true);
        ASSERT_FALSE(HasFailure()) << "V " << V << " dtype " << int(dtype) << " kind " << kind;
    };
    const std::vector<Params> filters{
        {0.7f, 0, 0.9f, 0, 0, 0},     {1, 0, 0.999f, 0, 0, 0},   {1, 5000, 0, 0, 0, 0},
        {2, 8000, 0, 0, 0, 0},        {1, 5000, 0.8f, 0, 0, 0},  {0.9f, 3000, 0.97f, 1e-6f, 0, 0},
        {0.7f, 0, 0.9f, 1e-6f, 0, 0}, {1, 0, 0, 1e-6f, 0, 0},    {3, 2500, 0.5f, 0.3f, 0, 0},
        {1, 0, 0.99f, 0.2f, 0, 0},    {1, 7000, 0, 1e-3f, 0, 0}, {5, 0, 0.3f, 0, 0, 0},
    };
    for (int kind = 0; kind < kit::kWideLogits; ++kind) {
        std::vector<Params> every_other;
        for (size_t n = size_t(kind % 2); n < filters.size(); n += 2) every_other.push_back(filters[n]);
        expect_rows(10007, kit::kFloats[size_t(kind) % kit::kFloats.size()], kind, every_other, kind / 2);
    }
    expect_rows(128256, ADZE_DTYPE_BF16, 0, {{1, 0, 0.95f, 0, 0, 0}, {1, 100000, 0, 0, 0, 0}}, 1);
    expect_rows(128256, ADZE_DTYPE_F16, 2, {{0.9f, 40000, 0.97f, 1e-6f, 0, 0}}, 2);
    // More parts than are noted.
    expect_rows(280000, ADZE_DTYPE_F32, 6, {{1, 0, 0, 0.2f, 0, 0}}, 1);
}

TEST_P(Sampling, MasksThatLeaveFewOfALongRow) {
    const int64_t V = 17000;
    const std::vector<Params> filters{
        {1, 0, 0, 0, 0, 0},        {1, 3, 0, 0, 0, 0},       {1, 5000, 0, 0, 0, 0},
        {1, 0, 0.8f, 0, 0, 0},     {1, 0, 0, 0.01f, 0, 0},   {1, 5000, 0.8f, 0, 0, 0},
        {1, 70, 0.9f, 0.1f, 0, 0}, {0.1f, 5000, 0, 0, 0, 0}, {0.1f, 0, 0.999f, 1e-9f, 0, 0}};
    const auto B = int64_t(filters.size());
    for (const int64_t left : {1, 66, 300}) {
        std::vector<Params> params = filters;
        std::vector<Allowed> allowed(size_t(B), Allowed(size_t(V), false));
        for (int64_t b = 0; b < B; ++b) {
            params[size_t(b)].seed = random.next(), params[size_t(b)].position = random.next();
            // In one part of the row, or in all.
            const int64_t first = b % 2 == 0 ? 0 : random.integer(0, V - 1000), span = b % 2 == 0 ? V : 1000;
            for (int64_t n = 0; n < left; ++n) allowed[size_t(b)][size_t(first + random.integer(0, span - 1))] = true;
        }
        Tensor in(ADZE_DTYPE_BF16, B, V);
        for (int64_t b = 0; b < B; ++b) {
            for (int64_t i = 0; i < V; ++i) in.set(b, i, allowed[size_t(b)][size_t(i)] ? 2 * random.normal() : NAN);
        }
        SamplingCall call(context, in.freeze(), params, allowed, &random);
        expect_draws(call, call.run(stream), allowed, true);
    }
}

TEST_P(Sampling, LogitsBeyondTwoToThe31) {
    constexpr int64_t stride = int64_t{1} << 30, V = 50;
    const kit::Sparse memory(size_t(4 * stride) * 2);
    const Tensor in = logits(4, V, ADZE_DTYPE_F16);
    for (int64_t b = 0; b < 4; ++b) std::memcpy(memory.data() + size_t(b * stride) * 2, in.row_bytes(b).data(), V * 2);
    SamplingCall call(context, in);
    const auto expected = call.run(stream);
    adze_sampling_desc desc = call.desc();
    desc.logits.data = memory.data(), desc.logits.row_stride = stride;
    call.ids.poison();
    ADZE_ASSERT_OK(adze_sampling_run(stream, &desc));
    for (int64_t b = 0; b < 4; ++b) EXPECT_EQ(call.ids.at(0, b), expected[size_t(b)]);
}

}  // namespace
