// PTX ISA, "wgmma.mma_async": the instructions are written out by macros, one for each format and kN, since an instruction
// names all its registers. Fragments are those of Mma's A and C (mma.h), 16 rows a warp.
#pragma once

#include <type_traits>

namespace adze {
inline namespace ADZE_TARGET {

ADZE_DEVICE int warp_first_row() {
    return warp_index() % 4 * 16;
}

template <class T, int kColumns>
struct Wgmma {
    static_assert(kColumns == 8 || kColumns == 16 || kColumns == 32 || kColumns == 64 || kColumns == 96 ||
                  kColumns == 128 || kColumns == 192 || kColumns == 256);
    using Element = T;
    using Acc = std::conditional_t<std::is_same_v<T, int8_t>, int32_t, float>;
    static constexpr int kPack = 4 / static_cast<int>(sizeof(T));
    static constexpr int kM = 64, kN = kColumns, kK = 8 * kPack;

    struct A {
        static constexpr int kCount = 4 * kPack;
        Vec<T, kCount> value;
        ADZE_DEVICE static int row(int i) { return warp_first_row() + MmaFragments<T>::A::row(i); }
        ADZE_DEVICE static int column(int i) { return MmaFragments<T>::A::column(i); }
    };
    struct C {
        static constexpr int kCount = kN / 2, kRows = 2;
        Acc value[kCount] = {};
        ADZE_DEVICE static int row(int i) { return slot_row(slot(i)); }
        ADZE_DEVICE static int column(int i) { return i / 4 * 8 + lane_member() * 2 + (i & 1); }
        ADZE_DEVICE static constexpr int slot(int i) { return i >> 1 & 1; }
        ADZE_DEVICE static int slot_row(int s) { return warp_first_row() + lane_group() + s * 8; }
        template <class X, class Op>
        ADZE_DEVICE static X reduce_row(X x, Op op) {
            return reduce(x, op, 4);
        }
    };
};

ADZE_DEVICE void wgmma_fence(Site) {
    asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
}
ADZE_DEVICE void wgmma_commit(Site) {
    asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
}
template <int kGroups>
ADZE_DEVICE void wgmma_wait(Site) {
    asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(kGroups) : "memory");
}

ADZE_DEVICE void pin_register(float& value) {
    asm volatile("" : "+f"(value)::"memory");
}
ADZE_DEVICE void pin_register(int32_t& value) {
    asm volatile("" : "+r"(value)::"memory");
}
template <class Fragment>
ADZE_DEVICE void wgmma_pin(Fragment& fragment) {
    if constexpr (requires { Fragment::kRows; }) {
#pragma unroll
        for (int i = 0; i < Fragment::kCount; ++i) pin_register(fragment.value[i]);
    } else {
        auto words = __builtin_bit_cast(Vec<int32_t, 4>, fragment.value);
#pragma unroll
        for (int i = 0; i < 4; ++i) pin_register(words[i]);
        fragment.value = __builtin_bit_cast(decltype(fragment.value), words);
    }
}

// The names of the first n operands, and the operands c[i] to c[i + n - 1].
#define ADZE_NAMES_4 "%0, %1, %2, %3"
#define ADZE_NAMES_8 ADZE_NAMES_4 ", %4, %5, %6, %7"
#define ADZE_NAMES_16 ADZE_NAMES_8 ", %8, %9, %10, %11, %12, %13, %14, %15"
#define ADZE_NAMES_32 ADZE_NAMES_16 ", %16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31"
#define ADZE_NAMES_48 ADZE_NAMES_32 ", %32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47"
#define ADZE_NAMES_64 ADZE_NAMES_48 ", %48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63"
#define ADZE_NAMES_96                                                                  \
    ADZE_NAMES_64                                                                      \
    ", %64, %65, %66, %67, %68, %69, %70, %71, %72, %73, %74, %75, %76, %77, %78, %79" \
    ", %80, %81, %82, %83, %84, %85, %86, %87, %88, %89, %90, %91, %92, %93, %94, %95"
#define ADZE_NAMES_128                                                                             \
    ADZE_NAMES_96                                                                                  \
    ", %96, %97, %98, %99, %100, %101, %102, %103, %104, %105, %106, %107, %108, %109, %110, %111" \
    ", %112, %113, %114, %115, %116, %117, %118, %119, %120, %121, %122, %123, %124, %125, %126, %127"
#define ADZE_REGISTERS_4(kind, i) kind(c[i]), kind(c[(i) + 1]), kind(c[(i) + 2]), kind(c[(i) + 3])
#define ADZE_REGISTERS_8(kind, i) ADZE_REGISTERS_4(kind, i), ADZE_REGISTERS_4(kind, (i) + 4)
#define ADZE_REGISTERS_16(kind, i) ADZE_REGISTERS_8(kind, i), ADZE_REGISTERS_8(kind, (i) + 8)
#define ADZE_REGISTERS_32(kind, i) ADZE_REGISTERS_16(kind, i), ADZE_REGISTERS_16(kind, (i) + 16)
#define ADZE_REGISTERS_48(kind, i) ADZE_REGISTERS_32(kind, i), ADZE_REGISTERS_16(kind, (i) + 32)
#define ADZE_REGISTERS_64(kind, i) ADZE_REGISTERS_32(kind, i), ADZE_REGISTERS_32(kind, (i) + 32)
#define ADZE_REGISTERS_96(kind, i) ADZE_REGISTERS_64(kind, i), ADZE_REGISTERS_32(kind, (i) + 64)
#define ADZE_REGISTERS_128(kind, i) ADZE_REGISTERS_64(kind, i), ADZE_REGISTERS_64(kind, (i) + 64)

// What follows the predicate that says whether c is kept: the operands' signs, and for 2-byte elements which of them
// have k outermost (`rows_b` is the operand that says so of B; A in registers has no such choice).
#define ADZE_TAIL_SHARED_HALVES(rows_b) ", 1, 1, 0, " rows_b
#define ADZE_TAIL_REGISTERS_HALVES(rows_b) ", 1, 1, " rows_b
#define ADZE_TAIL_FP8(rows_b) ", 1, 1"
#define ADZE_TAIL_INT8(rows_b) ""

// kN, its accumulators, which are the first operands, and the names of the operands after them.
// clang-format off
#define ADZE_WGMMA_SIZES(instruction, ...)                                                      \
    instruction(8, 4, "%4", "%5", "%6", "%7", "%8", "%9", "%10", __VA_ARGS__)                   \
    instruction(16, 8, "%8", "%9", "%10", "%11", "%12", "%13", "%14", __VA_ARGS__)              \
    instruction(32, 16, "%16", "%17", "%18", "%19", "%20", "%21", "%22", __VA_ARGS__)           \
    instruction(64, 32, "%32", "%33", "%34", "%35", "%36", "%37", "%38", __VA_ARGS__)           \
    instruction(96, 48, "%48", "%49", "%50", "%51", "%52", "%53", "%54", __VA_ARGS__)           \
    instruction(128, 64, "%64", "%65", "%66", "%67", "%68", "%69", "%70", __VA_ARGS__)          \
    instruction(192, 96, "%96", "%97", "%98", "%99", "%100", "%101", "%102", __VA_ARGS__)       \
    instruction(256, 128, "%128", "%129", "%130", "%131", "%132", "%133", "%134", __VA_ARGS__)
// clang-format on

#define ADZE_WGMMA_SHARED(n, count, p0, p1, p2, p3, p4, p5, p6, shape, kind, tail)                                   \
    if constexpr (W::kN == n) {                                                                                      \
        asm volatile("{\n.reg .pred keep;\nsetp.ne.b32 keep, " p2 ", 0;\nwgmma.mma_async.sync.aligned.m64n" #n shape \
                     " {" ADZE_NAMES_##count "}, " p0 ", " p1 ", keep" tail(p3) ";\n}"                               \
                     : ADZE_REGISTERS_##count(kind, 0)                                                               \
                     : "l"(a), "l"(b), "r"(keep), "n"(kRowsB ? 1 : 0)                                                \
                     : "memory");                                                                                    \
    }
#define ADZE_WGMMA_REGISTERS(n, count, p0, p1, p2, p3, p4, p5, p6, shape, kind, tail)                                \
    if constexpr (W::kN == n) {                                                                                      \
        asm volatile("{\n.reg .pred keep;\nsetp.ne.b32 keep, " p5 ", 0;\nwgmma.mma_async.sync.aligned.m64n" #n shape \
                     " {" ADZE_NAMES_##count "}, {" p0 ", " p1 ", " p2 ", " p3 "}, " p4 ", keep" tail(p6) ";\n}"     \
                     : ADZE_REGISTERS_##count(kind, 0)                                                               \
                     : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"(keep), "n"(kRowsB ? 1 : 0)            \
                     : "memory");                                                                                    \
    }

template <class T, bool kRowsB>
ADZE_DEVICE void require_wgmma() {
    static_assert(kTarget.bulk_copy || sizeof(T) == 0, "the target has no such matrix instruction");
    static_assert(!kRowsB || sizeof(T) == 2, "8-bit operands are K-major only");
}

template <class W, bool kRowsB>
ADZE_DEVICE void wgmma_shared(typename W::Acc (&c)[W::C::kCount], uint64_t a, uint64_t b, uint32_t keep) {
    using T = typename W::Element;
    require_wgmma<T, kRowsB>();
    if constexpr (std::is_same_v<T, f16>) {
        ADZE_WGMMA_SIZES(ADZE_WGMMA_SHARED, "k16.f32.f16.f16", "+f", ADZE_TAIL_SHARED_HALVES)
    } else if constexpr (std::is_same_v<T, bf16>) {
        ADZE_WGMMA_SIZES(ADZE_WGMMA_SHARED, "k16.f32.bf16.bf16", "+f", ADZE_TAIL_SHARED_HALVES)
    } else if constexpr (std::is_same_v<T, e4m3>) {
        ADZE_WGMMA_SIZES(ADZE_WGMMA_SHARED, "k32.f32.e4m3.e4m3", "+f", ADZE_TAIL_FP8)
    } else if constexpr (std::is_same_v<T, e5m2>) {
        ADZE_WGMMA_SIZES(ADZE_WGMMA_SHARED, "k32.f32.e5m2.e5m2", "+f", ADZE_TAIL_FP8)
    } else {
        static_assert(std::is_same_v<T, int8_t>);
        ADZE_WGMMA_SIZES(ADZE_WGMMA_SHARED, "k32.s32.s8.s8", "+r", ADZE_TAIL_INT8)
    }
}
template <class W, bool kRowsB>
ADZE_DEVICE void wgmma_registers(typename W::Acc (&c)[W::C::kCount], const Vec<uint32_t, 4>& a, uint64_t b,
                                 uint32_t keep) {
    using T = typename W::Element;
    require_wgmma<T, kRowsB>();
    if constexpr (std::is_same_v<T, f16>) {
        ADZE_WGMMA_SIZES(ADZE_WGMMA_REGISTERS, "k16.f32.f16.f16", "+f", ADZE_TAIL_REGISTERS_HALVES)
    } else if constexpr (std::is_same_v<T, bf16>) {
        ADZE_WGMMA_SIZES(ADZE_WGMMA_REGISTERS, "k16.f32.bf16.bf16", "+f", ADZE_TAIL_REGISTERS_HALVES)
    } else if constexpr (std::is_same_v<T, e4m3>) {
        ADZE_WGMMA_SIZES(ADZE_WGMMA_REGISTERS, "k32.f32.e4m3.e4m3", "+f", ADZE_TAIL_FP8)
    } else if constexpr (std::is_same_v<T, e5m2>) {
        ADZE_WGMMA_SIZES(ADZE_WGMMA_REGISTERS, "k32.f32.e5m2.e5m2", "+f", ADZE_TAIL_FP8)
    } else {
        static_assert(std::is_same_v<T, int8_t>);
        ADZE_WGMMA_SIZES(ADZE_WGMMA_REGISTERS, "k32.s32.s8.s8", "+r", ADZE_TAIL_INT8)
    }
}

#undef ADZE_WGMMA_REGISTERS
#undef ADZE_WGMMA_SHARED
#undef ADZE_WGMMA_SIZES
#undef ADZE_TAIL_INT8
#undef ADZE_TAIL_FP8
#undef ADZE_TAIL_REGISTERS_HALVES
#undef ADZE_TAIL_SHARED_HALVES
#undef ADZE_REGISTERS_128
#undef ADZE_REGISTERS_96
#undef ADZE_REGISTERS_64
#undef ADZE_REGISTERS_48
#undef ADZE_REGISTERS_32
#undef ADZE_REGISTERS_16
#undef ADZE_REGISTERS_8
#undef ADZE_REGISTERS_4
#undef ADZE_NAMES_128
#undef ADZE_NAMES_96
#undef ADZE_NAMES_64
#undef ADZE_NAMES_48
#undef ADZE_NAMES_32
#undef ADZE_NAMES_16
#undef ADZE_NAMES_8
#undef ADZE_NAMES_4

template <class A>
ADZE_DEVICE Vec<uint32_t, 4> words_of(const A& a) {
    return __builtin_bit_cast(Vec<uint32_t, 4>, a.value);
}
template <bool kRowsB, class TileB>
ADZE_DEVICE uint64_t describe_b(const TileB& b, int n, int k) {
    if constexpr (kRowsB) {
        return operand_descriptor_rows<TileB>(address_of(b.data, 0), k, n);
    } else {
        return operand_descriptor<TileB>(address_of(b.data, 0), n, k);
    }
}

template <class W, bool kRowsB, class TileA, class TileB>
ADZE_DEVICE void wgmma(typename W::C& c, const TileA& a, int a_row, int a_k, const TileB& b, int b_n, int b_k,
                       bool accumulate, Site) {
    wgmma_shared<W, kRowsB>(c.value, operand_descriptor<TileA>(address_of(a.data, 0), a_row, a_k),
                            describe_b<kRowsB>(b, b_n, b_k), accumulate);
}
template <class W, bool kRowsB, class TileB>
ADZE_DEVICE void wgmma(typename W::C& c, const typename W::A& a, const TileB& b, int b_n, int b_k, bool accumulate,
                       Site) {
    wgmma_registers<W, kRowsB>(c.value, words_of(a), describe_b<kRowsB>(b, b_n, b_k), accumulate);
}

template <class W, class C>
ADZE_DEVICE typename W::A as_wgmma_operand(const C& c, int first, Site) {
    using M = Mma<typename W::Element>;
    typename M::C parts[M::kK / M::kN];
#pragma unroll
    for (int i = 0; i < M::kK / M::kN * 4; ++i) parts[i / 4].value[i % 4] = c.value[first / 2 + i];
    return {as_operand<M>(parts).value};
}

}  // namespace ADZE_TARGET
}  // namespace adze
