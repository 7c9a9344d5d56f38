// CDNA2 ISA, "DPP" and "DS_SWIZZLE_B32", "DS_BPERMUTE_B32".
#pragma once

namespace adze {
inline namespace ADZE_TARGET {

// DPP's controls: lane ^ 1 and lane ^ 2 within four lanes, lane ^ 8 (a rotation by 8) within sixteen.
constexpr int kDppXor1 = 0xb1, kDppXor2 = 0x4e, kDppXor8 = 0x128;

template <int kControl>
ADZE_DEVICE uint32_t move_dpp(uint32_t word) {
    return static_cast<uint32_t>(__builtin_amdgcn_update_dpp(0, static_cast<int>(word), kControl, 0xf, 0xf, true));
}
ADZE_DEVICE uint32_t shuffle_word(uint32_t word, int lane) {
    return static_cast<uint32_t>(__builtin_amdgcn_ds_bpermute(lane * 4, static_cast<int>(word)));
}
// For a mask known to the compiler one instruction is left: an exchange between registers, or one through the crossbar of
// shared memory that needs no address.
ADZE_DEVICE uint32_t shuffle_xor_word(uint32_t word, int mask) {
    switch (mask) {
        case 1:
            return move_dpp<kDppXor1>(word);
        case 2:
            return move_dpp<kDppXor2>(word);
        case 4:
            return static_cast<uint32_t>(__builtin_amdgcn_ds_swizzle(static_cast<int>(word), 4 << 10 | 0x1f));
        case 8:
            return move_dpp<kDppXor8>(word);
        case 16:
            return static_cast<uint32_t>(__builtin_amdgcn_ds_swizzle(static_cast<int>(word), 16 << 10 | 0x1f));
        default:
            return shuffle_word(word, lane_index() ^ mask);
    }
}

// Applies `exchange` to each 4 bytes of a value.
template <class T, class Exchange>
ADZE_DEVICE T by_words(T value, Exchange exchange) {
    static_assert(sizeof(T) == 4 || sizeof(T) == 8);
    struct Words {
        uint32_t word[sizeof(T) / 4];
    };
    auto words = __builtin_bit_cast(Words, value);
    for (uint32_t& word : words.word) word = exchange(word);
    return __builtin_bit_cast(T, words);
}

template <class T>
ADZE_DEVICE T shuffle(T value, int lane, Site) {
    return by_words(value, [lane](uint32_t word) { return shuffle_word(word, lane); });
}
template <class T>
ADZE_DEVICE T shuffle_xor(T value, int mask, Site) {
    return by_words(value, [mask](uint32_t word) { return shuffle_xor_word(word, mask); });
}
ADZE_DEVICE LaneMask ballot(bool predicate, Site) {
    return __ballot(predicate);
}

}  // namespace ADZE_TARGET
}  // namespace adze
