#pragma once

namespace adze {
inline namespace ADZE_TARGET {

inline float to_float(float value) {
    return value;
}
template <class T>
inline T round_to(float value) {
    if constexpr (std::is_same_v<T, float>) {
        return value;
    } else if constexpr (std::is_same_v<T, f16>) {
        return to_f16(value);
    } else if constexpr (std::is_same_v<T, bf16>) {
        return to_bf16(value);
    } else if constexpr (std::is_same_v<T, e4m3>) {
        return to_e4m3(value);
    } else {
        return to_e5m2(value);
    }
}

template <class T, int N>
inline Vec<T, N> from_floats(const float (&values)[N]) {
    Vec<T, N> out;
    for (int i = 0; i < N; ++i) out[i] = round_to<T>(values[i]);
    return out;
}
template <class T, int N>
inline void to_floats(const Vec<T, N>& values, float (&out)[N]) {
    for (int i = 0; i < N; ++i) out[i] = to_float(values[i]);
}

template <class T>
inline uint32_t pack_fp8x4(const float (&values)[4]) {
    uint32_t word = 0;
    for (int i = 0; i < 4; ++i) word |= static_cast<uint32_t>(round_to<T>(values[i]).bits) << (8 * i);
    return word;
}
template <class T>
inline void unpack_fp8x4(uint32_t word, float (&out)[4]) {
    for (int i = 0; i < 4; ++i) out[i] = to_float(T{static_cast<uint8_t>(word >> (8 * i))});
}

template <class T>
inline Vec<T, 8> unpack_int4x8(uint32_t word) {
    Vec<T, 8> out;
    for (int i = 0; i < 8; ++i) out[i] = round_to<T>(static_cast<float>(static_cast<int>(word >> (4 * i) & 15u) - 8));
    return out;
}

template <class T, class Q>
inline Vec<uint32_t, 2 * kPerByte<Q>> widen_pairs(uint32_t word) {
    constexpr int kHalf = 2 * kPerByte<Q>;
    Vec<uint32_t, kHalf> pairs;
    for (int i = 0; i < kHalf; ++i) {
        pairs[i] = round_to<T>(dequantise<Q>(word, i)).bits |
                   static_cast<uint32_t>(round_to<T>(dequantise<Q>(word, kHalf + i)).bits) << 16;
    }
    return pairs;
}

}  // namespace ADZE_TARGET
}  // namespace adze
