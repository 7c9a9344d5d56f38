// PTX ISA, "cp.async.bulk.tensor".
#pragma once

namespace adze {
inline namespace ADZE_TARGET {

template <int kRank, class T>
ADZE_DEVICE void bulk_load(const Shared<T>& to, int to_index, const TensorMap& map, const int32_t (&at)[kRank],
                           const Shared<uint64_t>& barriers, int barrier, Site) {
    static_assert(kRank >= 1 && kRank <= kMaxRank);
    const uint32_t target = address_of(to, to_index), done = address_of(barriers, barrier);
    const auto source = reinterpret_cast<uint64_t>(&map);
#define ADZE_LOAD(rank, corner, ...)                                                             \
    asm volatile("cp.async.bulk.tensor." rank                                                    \
                 ".shared::cluster.global.tile.mbarrier::complete_tx::bytes [%0], [%1, {" corner \
                 "}], [%2];" ::"r"(target),                                                      \
                 "l"(source), "r"(done), __VA_ARGS__                                             \
                 : "memory")
    if constexpr (kRank == 1) ADZE_LOAD("1d", "%3", "r"(at[0]));
    if constexpr (kRank == 2) ADZE_LOAD("2d", "%3, %4", "r"(at[0]), "r"(at[1]));
    if constexpr (kRank == 3) ADZE_LOAD("3d", "%3, %4, %5", "r"(at[0]), "r"(at[1]), "r"(at[2]));
    if constexpr (kRank == 4) ADZE_LOAD("4d", "%3, %4, %5, %6", "r"(at[0]), "r"(at[1]), "r"(at[2]), "r"(at[3]));
    if constexpr (kRank == 5) {
        ADZE_LOAD("5d", "%3, %4, %5, %6, %7", "r"(at[0]), "r"(at[1]), "r"(at[2]), "r"(at[3]), "r"(at[4]));
    }
#undef ADZE_LOAD
}

template <int kRank, class T>
ADZE_DEVICE void bulk_store(const TensorMap& map, const int32_t (&at)[kRank], const Shared<T>& from, int from_index,
                            Site) {
    static_assert(kRank >= 1 && kRank <= kMaxRank);
    const uint32_t source = address_of(from, from_index);
    const auto target = reinterpret_cast<uint64_t>(&map);
#define ADZE_STORE(rank, corner, ...)                                                             \
    asm volatile("cp.async.bulk.tensor." rank ".global.shared::cta.tile.bulk_group [%0, {" corner \
                 "}], [%1];" ::"l"(target),                                                       \
                 "r"(source), __VA_ARGS__                                                         \
                 : "memory")
    if constexpr (kRank == 1) ADZE_STORE("1d", "%2", "r"(at[0]));
    if constexpr (kRank == 2) ADZE_STORE("2d", "%2, %3", "r"(at[0]), "r"(at[1]));
    if constexpr (kRank == 3) ADZE_STORE("3d", "%2, %3, %4", "r"(at[0]), "r"(at[1]), "r"(at[2]));
    if constexpr (kRank == 4) ADZE_STORE("4d", "%2, %3, %4, %5", "r"(at[0]), "r"(at[1]), "r"(at[2]), "r"(at[3]));
    if constexpr (kRank == 5) {
        ADZE_STORE("5d", "%2, %3, %4, %5, %6", "r"(at[0]), "r"(at[1]), "r"(at[2]), "r"(at[3]), "r"(at[4]));
    }
#undef ADZE_STORE
}
ADZE_DEVICE void commit_bulk_stores(Site) {
    asm volatile("cp.async.bulk.commit_group;" ::: "memory");
}
template <int kGroups>
ADZE_DEVICE void wait_bulk_stores(Site) {
    asm volatile("cp.async.bulk.wait_group.read %0;" ::"n"(kGroups) : "memory");
}

}  // namespace ADZE_TARGET
}  // namespace adze
