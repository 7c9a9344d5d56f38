// Seeded inputs: a fresh seed a run unless ADZE_SEED is set, and from it a generator a test that depends on the test's
// name, so that one test repeats alone.
#pragma once
#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <numbers>
#include <random>
#include <string>
#include <vector>

namespace kit {

inline uint64_t base_seed() {
    static const uint64_t seed = [] {
        const char* text = std::getenv("ADZE_SEED");
        return text ? std::strtoull(text, nullptr, 0) : uint64_t{std::random_device{}()};
    }();
    return seed;
}

/// Sweeps of minutes are disabled tests unless ADZE_TEST_SWEEP=full; ctest has them under the label nightly.
inline bool full_sweep() {
    const char* text = std::getenv("ADZE_TEST_SWEEP");
    return text && std::string(text) == "full";
}

class Random {
public:
    explicit Random(uint64_t seed) : state_(seed) {}

    /// The generator of the test that is running.
    static Random of_this_test() {
        const auto* info = testing::UnitTest::GetInstance()->current_test_info();
        uint64_t hash = 0xcbf29ce484222325;  // FNV-1a, the same on every machine
        for (char c : std::string(info->test_suite_name()) + "." + info->name()) {
            hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
        }
        return Random(base_seed() ^ hash);
    }

    uint64_t next() {  // splitmix64
        uint64_t z = state_ += 0x9e3779b97f4a7c15;
        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
        z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
        return z ^ (z >> 31);
    }
    double uniform() { return double(next() >> 11) * 0x1p-53; }
    double normal() { return std::sqrt(-2 * std::log(1 - uniform())) * std::cos(2 * std::numbers::pi * uniform()); }
    /// From `low` to `high`, both included.
    int64_t integer(int64_t low, int64_t high) { return low + int64_t(next() % uint64_t(high - low + 1)); }
    bool coin() { return next() & 1; }
    template <class T>
    const T& pick(const std::vector<T>& choices) {
        return choices[size_t(integer(0, int64_t(choices.size()) - 1))];
    }
    template <class T>
    void shuffle(std::vector<T>& values) {
        for (size_t i = values.size(); i > 1; --i) std::swap(values[i - 1], values[size_t(integer(0, int64_t(i) - 1))]);
    }

private:
    uint64_t state_;
};

}  // namespace kit
