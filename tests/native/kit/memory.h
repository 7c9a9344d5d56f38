// Memory that tells on whoever leaves it: it ends at a page that faults, begins behind sentinels, and remembers what
// was in it. Device memory of the cpu backend and of the simulator is ordinary memory, so tensors point straight at it;
// GPUs are made to see it (gpu_memory.h).
#pragma once
#include <adze/base.h>
#include <gtest/gtest.h>

#include <cstring>
#include <functional>
#include <memory>
#include <vector>

#include "kit/random.h"
#include "oracle/number.h"

namespace kit {

inline const std::vector<adze_dtype> kFloats{ADZE_DTYPE_F32, ADZE_DTYPE_F16, ADZE_DTYPE_BF16};

inline const std::vector<adze_dtype> kQuantised{ADZE_DTYPE_F8E4M3, ADZE_DTYPE_I8, ADZE_DTYPE_I4};

inline size_t bits_of(adze_dtype dtype) {
    constexpr size_t bits[] = {0, 32, 16, 16, 32, 8, 8, 4};
    return bits[dtype];
}
/// Of types of whole bytes.
inline size_t size_of(adze_dtype dtype) {
    return bits_of(dtype) / 8;
}
inline const char* name_of(adze_dtype dtype) {
    constexpr const char* names[] = {"none", "f32", "f16", "bf16", "i32", "f8e4m3", "i8", "i4"};
    return names[dtype];
}

/// `bytes` of memory whose last byte is followed by a page without access; 64 sentinel bytes or more come before it.
class Fenced {
public:
    Fenced() = default;  // nothing, at NULL
    explicit Fenced(size_t bytes);
    std::byte* data() const { return data_; }
    size_t bytes() const { return bytes_; }
    /// From the first sentinel to the fence.
    std::byte* begin() const { return begin_; }
    std::byte* end() const { return data_ + bytes_; }

private:
    std::shared_ptr<void> mapping_;
    std::byte *begin_ = nullptr, *data_ = nullptr;
    size_t bytes_ = 0;
};

/// A matrix in fenced memory, aligned to its element and no more. Gaps between rows hold NaN bytes. Also what a quantised
/// cache holds, without scales; of I4 rows have whole bytes.
class Tensor {
public:
    Tensor() = default;
    Tensor(adze_dtype dtype, int64_t rows, int64_t columns, int64_t gap = 0);

    adze_tensor view() const { return {data(), rows_, columns_, stride_, dtype_, 0}; }
    adze_dtype dtype() const { return dtype_; }
    int64_t rows() const { return rows_; }
    int64_t columns() const { return columns_; }
    int64_t stride() const { return stride_; }
    std::byte* data() const { return memory_.data(); }

    double at(int64_t row, int64_t column) const;
    /// Rounds to the dtype with the oracle's arithmetic.
    void set(int64_t row, int64_t column, double value);
    /// An element's bits.
    uint32_t code(int64_t row, int64_t column) const;
    void set_code(int64_t row, int64_t column, uint32_t bits);
    Tensor& fill(const std::function<double()>& value);
    std::vector<double> values() const;

    /// Fills with NaN bytes and remembers everything around the elements.
    Tensor& poison();
    /// Remembers everything, elements too.
    Tensor& freeze();
    /// Nothing changed since poison() but elements of the first `written_rows` rows.
    testing::AssertionResult framed(int64_t written_rows = -1) const;
    testing::AssertionResult unchanged() const;
    /// Every byte of one row, for comparisons to the bit.
    std::vector<std::byte> row_bytes(int64_t row) const;

private:
    adze_dtype dtype_ = ADZE_DTYPE_NONE;
    int64_t rows_ = 0, columns_ = 0, stride_ = 0;
    Fenced memory_;
    std::vector<std::byte> before_;
};

/// A workspace of exactly `bytes`, aligned to 256, full of NaN bytes, with sentinels on both sides.
class Workspace {
public:
    explicit Workspace(uint64_t bytes = 0);
    void* data() const { return bytes_ ? data_ : nullptr; }
    uint64_t bytes() const { return bytes_; }
    testing::AssertionResult framed() const;

private:
    Fenced memory_;
    std::byte* data_ = nullptr;
    uint64_t bytes_;
};

/// Address space without memory behind it until it is touched: for offsets beyond 2^31 elements.
class Sparse {
public:
    explicit Sparse(size_t bytes);
    std::byte* data() const { return static_cast<std::byte*>(mapping_.get()); }

private:
    std::shared_ptr<void> mapping_;
};

// What inputs are filled with.
inline auto normal(Random& random, double scale = 1) {
    return [&random, scale] { return scale * random.normal(); };
}
inline auto integers(Random& random, int64_t largest = 3) {
    return [&random, largest] { return double(random.integer(-largest, largest)); };
}
/// Magnitudes over many binades.
inline auto wide(Random& random) {
    return [&random] { return std::ldexp(random.normal(), int(random.integer(-12, 6))); };
}

}  // namespace kit
