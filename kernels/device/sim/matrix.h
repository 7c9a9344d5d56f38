// What matrix instructions compute: exact products, added one after another in f32 (int32 for integers) in the order of k.
// The hardware adds several at a time, aligned to the largest and cut; that, and the reduced width of FP8 accumulators on
// sm_90, is not modelled.
#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace adze::sim {

class Block;
struct Thread;

template <class T>
using AccumulatorOf = std::conditional_t<std::is_same_v<T, int8_t>, int32_t, float>;

// Who holds what, as functions of lane and element.
struct NvidiaLayout {  // m16n8kK, K = 32 bytes: PTX ISA, "Matrix Fragments for mma.m16n8k16", "m16n8k32"
    template <class T>
    struct Of {
        static constexpr int kLanes = 32, kM = 16, kN = 8, kK = 32 / sizeof(T),
                             kPack = 4 / sizeof(T);  // elements of a register
        static constexpr int kA = 16 / sizeof(T), kB = 8 / sizeof(T), kC = 4, kRows = 2, kRowLanes = 4, kRowStride = 1;
        static constexpr int a_row(int lane, int i) { return lane / 4 + i / kPack % 2 * 8; }
        static constexpr int a_column(int lane, int i) {
            return lane % 4 * kPack + i % kPack + i / (2 * kPack) * (kK / 2);
        }
        static constexpr int b_row(int lane, int i) { return lane % 4 * kPack + i % kPack + i / kPack * (kK / 2); }
        static constexpr int b_column(int lane, int) { return lane / 4; }
        static constexpr int c_row(int lane, int i) { return lane / 4 + i / 2 * 8; }
        static constexpr int c_column(int lane, int i) { return lane % 4 * 2 + i % 2; }
        static constexpr int slot(int i) { return i / 2; }
    };
};
struct MfmaLayout {  // v_mfma_*_16x16x16: CDNA2 ISA, "Matrix Arithmetic Instructions"
    template <class T>
    struct Of {
        static constexpr int kLanes = 64, kM = 16, kN = 16, kK = 16;
        static constexpr int kA = 4, kB = 4, kC = 4, kRows = 4, kRowLanes = 16;
        static constexpr int a_row(int lane, int) { return lane % 16; }
        static constexpr int a_column(int lane, int i) { return lane / 16 * 4 + i; }
        static constexpr int b_row(int lane, int i) { return lane / 16 * 4 + i; }
        static constexpr int b_column(int lane, int) { return lane % 16; }
        static constexpr int c_row(int lane, int i) { return lane / 16 * 4 + i; }
        static constexpr int c_column(int lane, int) { return lane % 16; }
        static constexpr int slot(int i) { return i; }
    };
};
struct WideMfmaLayout {  // v_mfma_f32_32x32x8
    template <class T>
    struct Of {
        static constexpr int kLanes = 64, kM = 32, kN = 32, kK = 8;
        static constexpr int kA = 4, kB = 4, kC = 16, kRows = 16, kRowLanes = 32;
        static constexpr int a_row(int lane, int) { return lane % 32; }
        static constexpr int a_column(int lane, int i) { return lane / 32 * 4 + i; }
        static constexpr int b_row(int lane, int i) { return lane / 32 * 4 + i; }
        static constexpr int b_column(int lane, int) { return lane % 32; }
        static constexpr int c_row(int lane, int i) { return i / 4 * 8 + lane / 32 * 4 + i % 4; }
        static constexpr int c_column(int lane, int) { return lane % 32; }
        static constexpr int slot(int i) { return i; }
    };
};

// What they multiply.
template <class T>
inline float widen(T value) {
    return to_float(value);
}
inline int32_t widen(int8_t value) {
    return value;
}

// c += a * b of a warp, whose lanes offer their fragments of c, a and b (Thread::offer).
template <class L, class T>
void multiply(const Thread* lanes);

// Instructions [begin, end) of a warp group, which accumulate in the same registers, from what its threads brought; see
// GroupMultiply.
template <class T>
void multiply_group(const Block& block, const Thread* threads, size_t begin, size_t end);

}  // namespace adze::sim
