#include "kit/memory.h"

#include <sys/mman.h>
#include <unistd.h>

#include "kit/gpu_memory.h"
#include "oracle/quantised.h"

namespace kit {
namespace {

constexpr std::byte kSentinel{0xA5};
constexpr std::byte kNan{0xFF};  // every float format reads these bytes as NaN

testing::AssertionResult differs_at(const std::byte* now, const std::byte* before, const std::byte* data,
                                    size_t count) {
    const size_t at = size_t(std::mismatch(now, now + count, before).first - now);
    return testing::AssertionFailure() << "byte " << (now + at - data) << " from the tensor's start was overwritten";
}

}  // namespace

Fenced::Fenced(size_t bytes) : bytes_(bytes) {
    const size_t page = size_t(sysconf(_SC_PAGESIZE));
    const size_t body = (bytes + 64 + page - 1) / page * page;
    void* mapping = mmap(nullptr, body + 2 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (mapping == MAP_FAILED) throw std::bad_alloc();
    mapping_ = {mapping, [size = body + 2 * page](void* p) { munmap(p, size); }};
    begin_ = static_cast<std::byte*>(mapping) + page;
    mprotect(begin_, body, PROT_READ | PROT_WRITE);
    data_ = begin_ + body - bytes;
    std::memset(begin_, int(kSentinel), size_t(data_ - begin_));
    // Unknown to the GPU again before it is unmapped.
    if (auto shared = share_with_gpu(begin_, body)) {
        mapping_ = {mapping, [unmap = std::move(mapping_), shared](void*) mutable { shared.reset(), unmap.reset(); }};
    }
}

Tensor::Tensor(adze_dtype dtype, int64_t rows, int64_t columns, int64_t gap)
    : dtype_(dtype), rows_(rows), columns_(columns), stride_(columns + gap) {
    // The last row has no gap behind it: reading on is a fault.
    const int64_t elements = rows == 0 ? 0 : (rows - 1) * stride_ + columns;
    memory_ = Fenced(size_t(elements) * bits_of(dtype) / 8);
    std::memset(memory_.data(), int(kNan), memory_.bytes());
}

double Tensor::at(int64_t row, int64_t column) const {
    const uint32_t bits = code(row, column);
    if (dtype_ == ADZE_DTYPE_I32) return int32_t(bits);
    if (oracle::is_quantised(dtype_)) return oracle::dequantise(bits, dtype_);
    return oracle::decode(bits, oracle::format_of(dtype_));
}

void Tensor::set(int64_t row, int64_t column, double value) {
    set_code(row, column,
             dtype_ == ADZE_DTYPE_I32       ? uint32_t(int32_t(value))
             : oracle::is_quantised(dtype_) ? oracle::quantise(float(value), 1, dtype_)
                                            : oracle::encode(value, oracle::format_of(dtype_)));
}

uint32_t Tensor::code(int64_t row, int64_t column) const {
    const size_t first = size_t(row * stride_ + column) * bits_of(dtype_);
    uint32_t bits = 0;
    std::memcpy(&bits, data() + first / 8, std::max<size_t>(bits_of(dtype_), 8) / 8);
    return dtype_ == ADZE_DTYPE_I4 ? bits >> first % 8 & 0xf : bits;
}

void Tensor::set_code(int64_t row, int64_t column, uint32_t bits) {
    const size_t first = size_t(row * stride_ + column) * bits_of(dtype_);
    if (dtype_ == ADZE_DTYPE_I4) bits = (bits & 0xf) << first % 8 | (code(row, column ^ 1) << (4 - first % 8));
    std::memcpy(data() + first / 8, &bits, std::max<size_t>(bits_of(dtype_), 8) / 8);
}

Tensor& Tensor::fill(const std::function<double()>& value) {
    for (int64_t r = 0; r < rows_; ++r) {
        for (int64_t c = 0; c < columns_; ++c) set(r, c, value());
    }
    return freeze();
}

std::vector<double> Tensor::values() const {
    std::vector<double> out;
    out.reserve(size_t(rows_ * columns_));
    for (int64_t r = 0; r < rows_; ++r) {
        for (int64_t c = 0; c < columns_; ++c) out.push_back(at(r, c));
    }
    return out;
}

Tensor& Tensor::poison() {
    if (data()) std::memset(data(), int(kNan), memory_.bytes());
    return freeze();
}

Tensor& Tensor::freeze() {
    before_.assign(memory_.begin(), memory_.end());
    return *this;
}

testing::AssertionResult Tensor::framed(int64_t written_rows) const {
    if (written_rows < 0) written_rows = rows_;
    std::vector<std::byte> now(memory_.begin(), memory_.end());
    const size_t lead = size_t(memory_.data() - memory_.begin());
    for (int64_t r = 0; r < written_rows; ++r) {
        const size_t at = lead + size_t(r * stride_) * bits_of(dtype_) / 8;
        std::copy_n(before_.begin() + long(at), size_t(columns_) * bits_of(dtype_) / 8, now.begin() + long(at));
    }
    if (now.empty() || now == before_) return testing::AssertionSuccess();
    return differs_at(now.data(), before_.data(), now.data() + lead, now.size());
}

testing::AssertionResult Tensor::unchanged() const {
    const size_t count = size_t(memory_.end() - memory_.begin());
    if (count == 0) return testing::AssertionSuccess();
    if (before_.size() == count && std::equal(before_.begin(), before_.end(), memory_.begin())) {
        return testing::AssertionSuccess();
    }
    return differs_at(memory_.begin(), before_.data(), data(), count);
}

std::vector<std::byte> Tensor::row_bytes(int64_t row) const {
    const std::byte* p = data() + size_t(row * stride_) * bits_of(dtype_) / 8;
    return {p, p + size_t(columns_) * bits_of(dtype_) / 8};
}

Workspace::Workspace(uint64_t bytes) : memory_(size_t(bytes + 255) / 256 * 256), data_(memory_.data()), bytes_(bytes) {
    // A page's end is aligned to 256, hence so is the start; what rounding adds at the end holds sentinels.
    std::memset(data_, int(kNan), size_t(bytes));
    std::memset(data_ + bytes, int(kSentinel), memory_.bytes() - size_t(bytes));
}

testing::AssertionResult Workspace::framed() const {
    const auto intact = [](const std::byte* from, const std::byte* to) {
        return std::all_of(from, to, [](std::byte b) { return b == kSentinel; });
    };
    if (!intact(memory_.begin(), data_)) return testing::AssertionFailure() << "written before the workspace";
    if (!intact(data_ + bytes_, memory_.end())) return testing::AssertionFailure() << "written behind the workspace";
    return testing::AssertionSuccess();
}

Sparse::Sparse(size_t bytes) : mapping_(allocate_for_gpu(bytes)) {
    if (mapping_ != nullptr) return;
    void* mapping = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (mapping == MAP_FAILED) throw std::bad_alloc();
    mapping_ = {mapping, [bytes](void* p) { munmap(p, bytes); }};
}

}  // namespace kit
