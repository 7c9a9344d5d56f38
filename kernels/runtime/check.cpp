#include "runtime/check.h"

#include <cinttypes>
#include <cstdarg>
#include <cstdio>

namespace adze {
namespace {

std::string formatted(const char* format, va_list arguments) {
    va_list again;
    va_copy(again, arguments);
    const int length = std::vsnprintf(nullptr, 0, format, arguments);
    std::string text(length < 0 ? 0 : static_cast<size_t>(length), '\0');
    std::vsnprintf(text.data(), text.size() + 1, format, again);
    va_end(again);
    return text;
}

// A garbage struct_size must not make us read the caller's whole memory.
constexpr uint32_t kMaxStructSize = 4096;

}  // namespace

void fail(adze_status status, const char* format, ...) {
    va_list arguments;
    va_start(arguments, format);
    const std::string message = formatted(format, arguments);
    va_end(arguments);
    fail_with(status, message);
}

void require(bool holds, const char* format, ...) {
    if (holds) return;
    va_list arguments;
    va_start(arguments, format);
    const std::string message = formatted(format, arguments);
    va_end(arguments);
    fail_with(ADZE_ERROR_INVALID_ARGUMENT, message);
}

void require_pointer(const void* pointer, const char* name) {
    require(pointer != nullptr, "%s is NULL", name);
}

void require_range(int64_t value, int64_t low, int64_t high, const char* name) {
    if (high == INT64_MAX) {
        require(value >= low, "%s is %" PRId64 "; it must be at least %" PRId64, name, value, low);
    } else {
        require(value >= low && value <= high, "%s is %" PRId64 "; allowed is %" PRId64 " to %" PRId64, name, value,
                low, high);
    }
}

void require_zero(uint32_t value, const char* name) {
    require(value == 0, "%s is %u; it must be zero", name, value);
}

const char* dtype_name(adze_dtype dtype) {
    switch (dtype) {
        case ADZE_DTYPE_NONE:
            return "NONE";
        case ADZE_DTYPE_F32:
            return "F32";
        case ADZE_DTYPE_F16:
            return "F16";
        case ADZE_DTYPE_BF16:
            return "BF16";
        case ADZE_DTYPE_I32:
            return "I32";
        case ADZE_DTYPE_F8E4M3:
            return "F8E4M3";
        case ADZE_DTYPE_I8:
            return "I8";
        case ADZE_DTYPE_I4:
            return "I4";
    }
    return "unknown";
}

void require_dtype(adze_dtype dtype, uint32_t dtypes, const char* name) {
    if (dtype >= 0 && dtype <= kLastDtype && (dtypes & dtype_bit(dtype)) != 0) return;
    std::string allowed;
    for (int32_t i = 0; i <= kLastDtype; ++i) {
        const auto candidate = static_cast<adze_dtype>(i);
        if ((dtypes & dtype_bit(candidate)) == 0) continue;
        if (!allowed.empty()) allowed += ", ";
        allowed += dtype_name(candidate);
    }
    fail(ADZE_ERROR_INVALID_ARGUMENT, "%s.dtype is %s (%d); allowed is %s", name, dtype_name(dtype),
         static_cast<int>(dtype), allowed.c_str());
}

void require_tensor(const adze_tensor& tensor, uint32_t dtypes, int64_t rows, int64_t columns, const char* name) {
    require_dtype(tensor.dtype, dtypes, name);
    require(tensor.reserved == 0, "%s.reserved is %d; it must be zero", name, tensor.reserved);
    require(tensor.rows >= 0, "%s.rows is %" PRId64 "; it must not be negative", name, tensor.rows);
    require(tensor.columns >= 0, "%s.columns is %" PRId64 "; it must not be negative", name, tensor.columns);
    require(rows == kAny || tensor.rows == rows, "%s.rows is %" PRId64 "; expected %" PRId64, name, tensor.rows, rows);
    require(columns == kAny || tensor.columns == columns, "%s.columns is %" PRId64 "; expected %" PRId64, name,
            tensor.columns, columns);
    if (tensor.rows == 0 || tensor.columns == 0) return;
    require(tensor.data != nullptr, "%s.data is NULL", name);
    const int64_t bytes = dtype_bytes(tensor.dtype);
    require(reinterpret_cast<uintptr_t>(tensor.data) % static_cast<uintptr_t>(bytes) == 0,
            "%s.data is %p; it must be aligned to %" PRId64 " bytes", name, tensor.data, bytes);
    require(tensor.rows == 1 || tensor.row_stride >= tensor.columns,
            "%s.row_stride is %" PRId64 "; it must be at least columns, %" PRId64, name, tensor.row_stride,
            tensor.columns);
    int64_t span = tensor.columns;
    const bool overflows = tensor.rows > 1 && (__builtin_mul_overflow(tensor.rows - 1, tensor.row_stride, &span) ||
                                               __builtin_add_overflow(span, tensor.columns, &span));
    require(!overflows && !__builtin_mul_overflow(span, bytes, &span),
            "%s has %" PRId64 " rows at row_stride %" PRId64 "; that exceeds the address space", name, tensor.rows,
            tensor.row_stride);
}

Memory memory_of(const adze_tensor& t, const char* name) {
    if (is_absent(t) || t.rows == 0 || t.columns == 0) return {name, ".data", nullptr, 0};
    const int64_t elements = (t.rows - 1) * (t.rows > 1 ? t.row_stride : 0) + t.columns;
    return {name, ".data", t.data, static_cast<uint64_t>(elements * dtype_bytes(t.dtype))};
}

void fail_overlap(const Memory& a, const Memory& b) {
    fail(ADZE_ERROR_INVALID_ARGUMENT, "%s%s is %p and overlaps %s%s at %p", a.argument, a.field, a.data, b.argument,
         b.field, b.data);
}

void require_apart(const Memory& a, const Memory& b) {
    if (a.meets(b)) fail_overlap(a, b);
}

void require_outside(const adze_tensor& tensor, const char* name, const void* data, uint64_t bytes, const char* area) {
    require_apart(memory_of(tensor, name), {"the ", area, data, bytes});
}

void require_workspace(const void* workspace, uint64_t bytes, uint64_t needed) {
    require(bytes >= needed, "workspace_bytes is %" PRIu64 "; at least %" PRIu64 " are needed", bytes, needed);
    if (needed == 0) return;
    require_pointer(workspace, "workspace");
    require(reinterpret_cast<uintptr_t>(workspace) % 256 == 0, "workspace is %p; it must be aligned to 256 bytes",
            workspace);
}

void require_disjoint(const adze_tensor& a, const char* a_name, const adze_tensor& b, const char* b_name,
                      bool same_allowed) {
    const bool same = a.data == b.data && a.dtype == b.dtype && (a.rows == 1 || a.row_stride == b.row_stride);
    if (same && same_allowed) return;
    const Memory a_memory = memory_of(a, a_name), b_memory = memory_of(b, b_name);
    if (!a_memory.meets(b_memory)) return;
    // Columns of one wide matrix (gate and up side by side, say) interleave without meeting.
    const int64_t bytes = dtype_bytes(a.dtype);
    if (bytes == dtype_bytes(b.dtype) && a.row_stride == b.row_stride && a.rows > 1 && b.rows > 1) {
        const auto a_begin = reinterpret_cast<uintptr_t>(a.data), b_begin = reinterpret_cast<uintptr_t>(b.data);
        const auto stride = static_cast<uintptr_t>(a.row_stride * bytes);
        const uintptr_t distance = a_begin < b_begin ? b_begin - a_begin : a_begin - b_begin;
        const int64_t first_columns = a_begin < b_begin ? a.columns : b.columns;
        const int64_t second_columns = a_begin < b_begin ? b.columns : a.columns;
        if (distance % stride >= static_cast<uintptr_t>(first_columns * bytes) &&
            distance % stride + static_cast<uintptr_t>(second_columns * bytes) <= stride) {
            return;
        }
    }
    fail_overlap(a_memory, b_memory);
}

uint32_t require_struct_size(const void* desc, uint32_t known_size, uint32_t alignment, const char* name) {
    require_pointer(desc, name);
    uint32_t size;
    std::memcpy(&size, desc, sizeof size);
    require(size >= sizeof size && size % alignment == 0 && size <= kMaxStructSize,
            "%s.struct_size is %u; expected the size of the struct, %u in this library", name, size, known_size);
    return size;
}

void require_zero_tail(const void* desc, uint32_t known_size, uint32_t size, const char* name) {
    const auto* bytes = static_cast<const unsigned char*>(desc);
    for (uint32_t i = known_size; i < size; ++i) {
        require(bytes[i] == 0, "%s.struct_size is %u and byte %u is not zero; this library knows the first %u bytes",
                name, size, i, known_size);
    }
}

}  // namespace adze
