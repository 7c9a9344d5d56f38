// Prints where a device puts the elements of matrix fragments, of swizzled tiles and of the boxes of tensor maps, and what its
// matrix instructions make of them: the same text on a GPU and on the simulated device of its architecture, or one of
// the two is wrong. bench/gpu_check.sh compares them.
//   adze_layout_dump [ARCHITECTURE]      the device of that architecture, or the first
#include <cstdio>
#include <numeric>

#include "device/probe_device.h"
#include "runtime/check.h"

namespace {

using adze::Arch;
using adze::ProbeFormat;
using kit::Array;
using kit::ProbeDevice;

struct Format {
    ProbeFormat id;
    const char* name;
    int bytes;
    bool is_fp8;
};
constexpr Format kFormats[] = {{ProbeFormat::kF16, "f16", 2, false},
                               {ProbeFormat::kBf16, "bf16", 2, false},
                               {ProbeFormat::kInt8, "int8", 1, false},
                               {ProbeFormat::kE4m3, "e4m3", 1, true},
                               {ProbeFormat::kE5m2, "e5m2", 1, true}};

const char* name_of(Arch arch) {
    switch (arch) {
        case Arch::kSm80:
            return "sm_80";
        case Arch::kSm89:
            return "sm_89";
        case Arch::kSm90a:
            return "sm_90a";
        default:
            return "gfx90a";
    }
}

bool has_warp_groups(const ProbeDevice& device) {
    return device.is(Arch::kSm90a);
}

/// Elements of one operand's fragment that a thread holds; operands are A, B and C.
int fragment_elements(const ProbeDevice& device, const Format& format, int n, bool wide, int operand) {
    if (operand == 2) return n > 0 ? n / 2 : wide ? 16 : 4;
    if (device.is(Arch::kGfx90a)) return 4;
    return (operand == 0 ? 16 : 8) / format.bytes;
}

/// One line a thread: row and column of each of its elements.
void dump_fragment(ProbeDevice& device, const Format& format, int n, bool wide, int operand) {
    const int threads = n > 0 ? 128 : device.warp_size();
    const int count = fragment_elements(device, format, n, wide, operand);
    const Array<int32_t> out(device, size_t(threads * count * 2), -1);
    device.probes().layout(device.stream(), {out.data(), format.id, n, wide, operand});
    const std::vector<int32_t> at = out.read();
    for (int t = 0; t < threads; ++t) {
        std::printf("fragment %s n %d wide %d operand %c thread %3d:", format.name, n, wide, "ABC"[operand], t);
        for (int i = 0; i < count; ++i) {
            const auto place = size_t(t * count + i) * 2;
            std::printf(" %d,%d", at[place], at[place + 1]);
        }
        std::printf("\n");
    }
}

/// Bits of 0, 1 or 2 in a format, by position: products tell which elements met.
std::vector<uint8_t> pattern(const Format& format, int count, uint32_t seed) {
    constexpr uint16_t kBits[5][3] = {
        {0, 0x3c00, 0x4000}, {0, 0x3f80, 0x4000}, {0, 1, 2}, {0, 0x38, 0x40}, {0, 0x3c, 0x40}};
    std::vector<uint8_t> bytes;
    for (int i = 0; i < count; ++i) {
        seed = seed * 1664525 + 1013904223;  // Numerical Recipes' generator
        const uint16_t bits = kBits[int(format.id)][(seed >> 24) % 3];
        bytes.push_back(uint8_t(bits));
        if (format.bytes == 2) bytes.push_back(uint8_t(bits >> 8));
    }
    return bytes;
}

/// c = a b^T through the matrix instructions and the swizzles and descriptors that feed them.
void dump_product(ProbeDevice& device, const Format& format, int n, bool rows_b, bool registers, bool wide) {
    const int k = 128 / format.bytes, m = n > 0 ? 64 : wide ? 32 : 16, columns = n > 0 ? n : 64;
    const Array<uint8_t> a(device, pattern(format, m * k, 1)), b(device, pattern(format, columns * k, 2));
    const Array<float> c(device, size_t(m * columns), -1.0f);
    device.probes().mma(device.stream(),
                        {a.data(), b.data(), c.data(), nullptr, nullptr, format.id, n, rows_b, registers, wide});
    const std::vector<float> values = c.read();
    for (int row = 0; row < m; ++row) {
        std::printf("product %s n %d rows_b %d registers %d wide %d row %2d:", format.name, n, rows_b, registers, wide,
                    row);
        for (int i = 0; i < columns; ++i) {
            const float value = values[size_t(row * columns + i)];
            int32_t integer;
            std::memcpy(&integer, &value, sizeof integer);
            std::printf(" %d", format.id == ProbeFormat::kInt8 ? integer : int(value));
        }
        std::printf("\n");
    }
}

/// A box is loaded with a swizzle and stored without: the order in which shared memory held its elements.
void dump_swizzle(ProbeDevice& device, int swizzle_bytes) {
    constexpr int kRows = 16;
    const int columns = swizzle_bytes / 4;
    std::vector<float> numbers(size_t(kRows * columns));
    std::iota(numbers.begin(), numbers.end(), 0.0f);
    const Array<float> in(device, numbers), out(device, numbers.size(), -1.0f);
    adze::ProbeBulkCopyParams p{};
    p.from = {in.data(), 4, 2, {columns, kRows}, {0, swizzle_bytes}, {columns, kRows}, swizzle_bytes};
    p.to = p.from;
    p.to.data = out.data();
    p.to.swizzle_bytes = 16;
    device.probes().bulk_copy(device.stream(), p);
    const std::vector<float> got = out.read();
    for (int row = 0; row < kRows; ++row) {
        std::printf("swizzle %d row %2d:", swizzle_bytes, row);
        for (int i = 0; i < columns; ++i) std::printf(" %d", int(got[size_t(row * columns + i)]) - 1);  // it adds 1
        std::printf("\n");
    }
}

/// The elements that a box at a tensor's border takes in, for each rank.
void dump_tensor_map(ProbeDevice& device, int rank) {
    constexpr int64_t kSizes[5] = {20, 5, 4, 3, 2};
    constexpr int32_t kBox[5] = {8, 4, 3, 2, 2}, kAt[5] = {16, 3, -1, 1, 1};
    adze::ProbeBulkCopyParams p{};
    p.from = {nullptr, 4, rank, {}, {}, {}, 16};
    int64_t count = 1;
    for (int i = 0; i < rank; ++i) {
        p.from.sizes[i] = kSizes[i];
        p.from.strides[i] = count * 4;
        p.from.box[i] = kBox[i];
        p.at[i] = kAt[i];
        count *= kSizes[i];
    }
    std::vector<float> numbers(static_cast<size_t>(count));
    std::iota(numbers.begin(), numbers.end(), 0.0f);
    const Array<float> in(device, numbers), out(device, numbers.size(), -1.0f);
    p.to = p.from;
    p.from.data = in.data();
    p.to.data = out.data();
    device.probes().bulk_copy(device.stream(), p);
    const std::vector<float> got = out.read();
    std::printf("tensor map rank %d:", rank);
    for (size_t i = 0; i < got.size(); ++i) {
        if (got[i] >= 0) std::printf(" %zu=%d", i, int(got[i]));
    }
    std::printf("\n");
}

void dump_warp_groups(ProbeDevice& device, const Format& format) {
    for (int n : {8, 64, 128, 256}) {
        if (n <= 64) {
            dump_fragment(device, format, n, false, 0);
            dump_fragment(device, format, n, false, 2);
        }
        for (bool registers : {false, true}) {
            dump_product(device, format, n, false, registers, false);
            if (format.bytes == 2 && n % 64 == 0) dump_product(device, format, n, true, registers, false);
        }
    }
}

void dump(ProbeDevice& device) {
    std::printf("architecture %s\n", name_of(device.arch()));
    for (const Format& format : kFormats) {
        if (has_warp_groups(device)) dump_warp_groups(device, format);
        if (format.is_fp8 && !device.is(Arch::kSm89)) continue;
        for (bool wide : {false, true}) {
            if (wide && (!device.is(Arch::kGfx90a) || format.bytes == 1)) continue;
            for (int operand : {0, 1, 2}) dump_fragment(device, format, 0, wide, operand);
            dump_product(device, format, 0, false, false, wide);
            if (format.bytes == 2) dump_product(device, format, 0, true, false, wide);
        }
    }
    if (!has_warp_groups(device)) return;
    for (int swizzle : {16, 32, 64, 128}) dump_swizzle(device, swizzle);
    for (int rank = 1; rank <= 5; ++rank) dump_tensor_map(device, rank);
}

}  // namespace

int main(int argc, char** argv) {
    try {
        for (const auto& device : kit::probe_devices()) {
            if (argc > 1 && std::strcmp(argv[1], name_of(device->arch())) != 0) continue;
            dump(*device);
            return 0;
        }
    } catch (const adze::Failure& failure) {
        std::fprintf(stderr, "adze_layout_dump: %s\n", failure.message.c_str());
        return 1;
    } catch (const std::exception& error) {
        std::fprintf(stderr, "adze_layout_dump: %s\n", error.what());
        return 1;
    }
    std::fprintf(stderr, "adze_layout_dump: there is no device%s%s\n", argc > 1 ? " of architecture " : "",
                 argc > 1 ? argv[1] : "");
    return 1;
}
