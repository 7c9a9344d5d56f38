// Argument checks of the C functions. A Checker carries the function's name; a failed check throws, and `guarded` turns
// that into a status and this thread's message, so that nothing ever leaves the library as an exception.
#pragma once

#include <cstdint>
#include <cstring>
#include <exception>
#include <new>
#include <string>
#include <utility>

#include "adze/base.h"

namespace adze {

struct Failure : std::exception {
    Failure(adze_status status_, std::string message_) : status(status_), message(std::move(message_)) {}
    const char* what() const noexcept override { return message.c_str(); }
    adze_status status;
    std::string message;
};

// In failure.cpp; a plug-in has one of its own, which goes through HostServices (plugin_fail.cpp).
[[noreturn]] void fail_with(adze_status status, const std::string& message);
[[noreturn]] __attribute__((format(printf, 2, 3))) void fail(adze_status status, const char* format, ...);

// Keeps `message` as this thread's adze_last_error().
adze_status record_failure(const char* function, adze_status status, const std::string& message) noexcept;

// Runs the body of the C function `function`.
template <class Body>
adze_status guarded(const char* function, Body&& body) noexcept {
    try {
        body();
        return ADZE_OK;
    } catch (const Failure& failure) {
        return record_failure(function, failure.status, failure.message);
    } catch (const std::bad_alloc&) {
        return record_failure(function, ADZE_ERROR_OUT_OF_MEMORY, "host memory ran out");
    } catch (...) {
        return record_failure(function, ADZE_ERROR_INTERNAL, "unexpected exception");
    }
}

__attribute__((format(printf, 2, 3))) void require(bool holds, const char* format, ...);
void require_pointer(const void* pointer, const char* name);
void require_range(int64_t value, int64_t low, int64_t high, const char* name);
void require_zero(uint32_t value, const char* name);

constexpr uint32_t dtype_bit(adze_dtype dtype) {
    return 1u << static_cast<uint32_t>(dtype);
}
constexpr adze_dtype kLastDtype = ADZE_DTYPE_I4;
constexpr uint32_t kFloatTypes = dtype_bit(ADZE_DTYPE_F32) | dtype_bit(ADZE_DTYPE_F16) | dtype_bit(ADZE_DTYPE_BF16);
// Of a KV cache whose values are stored times a scale.
constexpr uint32_t kQuantisedTypes = dtype_bit(ADZE_DTYPE_F8E4M3) | dtype_bit(ADZE_DTYPE_I8) | dtype_bit(ADZE_DTYPE_I4);
const char* dtype_name(adze_dtype dtype);
constexpr int64_t dtype_bits(adze_dtype dtype) {
    switch (dtype) {
        case ADZE_DTYPE_F32:
        case ADZE_DTYPE_I32:
            return 32;
        case ADZE_DTYPE_F16:
        case ADZE_DTYPE_BF16:
            return 16;
        case ADZE_DTYPE_F8E4M3:
        case ADZE_DTYPE_I8:
            return 8;
        case ADZE_DTYPE_I4:
            return 4;
        case ADZE_DTYPE_NONE:
            break;
    }
    return 0;
}
// Of a tensor's element, which is never I4.
constexpr int64_t dtype_bytes(adze_dtype dtype) {
    return dtype_bits(dtype) / 8;
}
// `dtypes` is a set of dtype_bit()s.
void require_dtype(adze_dtype dtype, uint32_t dtypes, const char* name);

constexpr int64_t kAny = -1;
// A tensor that is there, of `rows` x `columns` (kAny: whatever it says).
void require_tensor(const adze_tensor& tensor, uint32_t dtypes, int64_t rows, int64_t columns, const char* name);
inline bool is_absent(const adze_tensor& tensor) {
    return tensor.data == nullptr && tensor.dtype == ADZE_DTYPE_NONE;
}
void require_workspace(const void* workspace, uint64_t bytes, uint64_t needed);
// Memory that an argument names, as its name and a field of it: {"k", ".data", ...}.
struct Memory {
    const char *argument, *field;
    const void* data;
    uint64_t bytes;

    bool meets(const Memory& other) const {
        const auto begin = reinterpret_cast<uintptr_t>(data), other_begin = reinterpret_cast<uintptr_t>(other.data);
        return bytes > 0 && other.bytes > 0 && begin < other_begin + other.bytes && other_begin < begin + bytes;
    }
};
Memory memory_of(const adze_tensor& tensor, const char* name);
[[noreturn]] void fail_overlap(const Memory& a, const Memory& b);
void require_apart(const Memory& a, const Memory& b);
// A tensor may not meet `bytes` of memory at `data`, which the message calls `area`.
void require_outside(const adze_tensor& tensor, const char* name, const void* data, uint64_t bytes, const char* area);
// The byte ranges that two tensors span may not meet, unless they are the same tensor and `same_allowed`.
void require_disjoint(const adze_tensor& a, const char* a_name, const adze_tensor& b, const char* b_name,
                      bool same_allowed);

// The struct_size at the start of a struct: of the struct's alignment, so that it cuts no field in two.
uint32_t require_struct_size(const void* desc, uint32_t known_size, uint32_t alignment, const char* name);
template <class Struct>
uint32_t require_struct_size(const Struct* desc, const char* name) {
    return require_struct_size(desc, sizeof(Struct), alignof(Struct), name);
}
void require_zero_tail(const void* desc, uint32_t known_size, uint32_t size, const char* name);

// The caller's descriptor, extended by zeros or cut at a zero tail to the size this library knows.
template <class Desc>
Desc read_desc(const Desc* desc, const char* name = "desc") {
    const uint32_t size = require_struct_size(desc, name);
    require_zero_tail(desc, sizeof(Desc), size, name);
    Desc result{};
    std::memcpy(&result, desc, size < sizeof(Desc) ? size : sizeof(Desc));
    return result;
}

}  // namespace adze
