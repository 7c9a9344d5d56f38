#include "device/tensor_map.h"

#include <bit>

#include "runtime/check.h"

namespace adze {
namespace {

// `name[i]` is the description's array at fault.
void require_element(int64_t value, int64_t low, int64_t high, int64_t multiple, const char* name, int i) {
    require(value >= low && value <= high && value % multiple == 0,
            "tensor map: %s[%d] is %lld; it must be a multiple of %lld from %lld to %lld", name, i,
            static_cast<long long>(value), static_cast<long long>(multiple), static_cast<long long>(low),
            static_cast<long long>(high));
}

bool is_power_of_two_from(int64_t value, int64_t low, int64_t high) {
    return value >= low && value <= high && (value & (value - 1)) == 0;
}

void require_tensor_map(const TensorMapDesc& desc) {
    require(reinterpret_cast<uintptr_t>(desc.data) % 16 == 0 && desc.data != nullptr,
            "tensor map: data is %p; it must be aligned to 16 bytes", desc.data);
    require(is_power_of_two_from(desc.element_bytes, 1, 4), "tensor map: element_bytes is %d; it must be 1, 2 or 4",
            desc.element_bytes);
    require(desc.rank >= 1 && desc.rank <= kMaxRank, "tensor map: rank is %d; it must be 1 to %d", desc.rank, kMaxRank);
    require(is_power_of_two_from(desc.swizzle_bytes, 16, 128),
            "tensor map: swizzle_bytes is %d; it must be 16, 32, 64 or 128", desc.swizzle_bytes);
    for (int i = 0; i < desc.rank; ++i) {
        require_element(desc.sizes[i], 1, int64_t{1} << 32, 1, "sizes", i);
        require_element(desc.box[i], 1, 256, 1, "box", i);
        if (i > 0) require_element(desc.strides[i], 0, (int64_t{1} << 40) - 16, 16, "strides", i);
    }
    const int row_bytes = desc.box[0] * desc.element_bytes;
    require(row_bytes % 16 == 0, "tensor map: a row of the box is %d bytes; it must be a multiple of 16", row_bytes);
    require(desc.swizzle_bytes == 16 || row_bytes <= desc.swizzle_bytes,
            "tensor map: a row of the box is %d bytes; swizzled by %d bytes, it can be no longer than that", row_bytes,
            desc.swizzle_bytes);
}

}  // namespace

TensorMapArguments tensor_map_arguments(const TensorMapDesc& desc) {
    require_tensor_map(desc);
    TensorMapArguments arguments{};
    arguments.type = static_cast<uint32_t>(std::countr_zero(static_cast<uint32_t>(desc.element_bytes)));
    arguments.rank = static_cast<uint32_t>(desc.rank);
    arguments.data = desc.data;
    for (int i = 0; i < desc.rank; ++i) {
        arguments.sizes[i] = static_cast<uint64_t>(desc.sizes[i]);
        arguments.box[i] = static_cast<uint32_t>(desc.box[i]);
        if (i > 0) arguments.strides[i - 1] = static_cast<uint64_t>(desc.strides[i]);
    }
    arguments.swizzle = static_cast<uint32_t>(std::countr_zero(static_cast<uint32_t>(desc.swizzle_bytes / 16)));
    return arguments;
}

}  // namespace adze
