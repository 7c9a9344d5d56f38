// gfx90a has no copies past the registers of more than 4 bytes: they are done at once.
#pragma once

namespace adze {
inline namespace ADZE_TARGET {

template <int N, class T>
ADZE_DEVICE void copy_async(const Shared<T>& to, int to_index, const Global<const T>& from, int64_t from_index,
                            bool inside, Site) {
    Vec<T, N> value{};
    if (inside) value = from.template load_vec<N>(from_index);
    to.template store_vec<N>(to_index, value);
}
ADZE_DEVICE void commit_copies(Site) {}
template <int kGroups>
ADZE_DEVICE void wait_copies(Site) {}

}  // namespace ADZE_TARGET
}  // namespace adze
