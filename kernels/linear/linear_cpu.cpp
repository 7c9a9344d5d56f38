// y[m, n] = sum_k x[m, k] * w[n, k] + bias[n]                                    compiled once per instruction set
// x: any float type [M, K], copied to dense f32 in the workspace; w: panels of 16 n, [N/16][K][16] in its own format
// (linear.h); y: any float type [M, N].
// A task is up to kMaxPanels panels for up to kBlockRows rows. Inside, K goes in blocks of kBlockK: the weights of a
// block stay in L2 while all row tiles pass over them. A lane owns an n: sums run over k in order within a block and
// blocks are added in order, for every M and tile, so a row's result does not depend on the other rows.
// Floor: M = 1 reads each weight once, 2 N K bytes in bf16 at memory bandwidth; M = 64 does 2 M N K operations at FMA
// peak. Tried and dropped: x packed by blocks of K (no gain seen, docs/performance.md).
#include "runtime/cpu_kernels.h"
#include "runtime/cpu_rows.h"

namespace adze::ADZE_ISA {
namespace {

// Vectors that make a panel, and the processor's vector registers.
constexpr int kPanelVectors = static_cast<int>(kPanel) / kLanes;
constexpr int kRegisters = kLanes == 16 ? 32 : 16;
constexpr int kMaxRows = kLanes == 16 ? 12 : kLanes == 8 ? 6 : 2;
constexpr int kMaxPanels = 8;
constexpr int64_t kBlockK = 256;
constexpr int64_t kBlockRows = 96;
// Tiles of so many rows compute longer than the processor looks ahead: they ask for the next block of K themselves.
constexpr int kPrefetchRows = 3;
constexpr int64_t kBlockColumns = kMaxPanels * kPanel;
static_assert(kBlockRows * kBlockColumns <= CpuPool::kScratchFloats);

// Panels side by side in a tile of `rows` rows: sums, weights and one value of x stay in registers.
constexpr int tile_panels(int rows) {
    int panels = kMaxPanels;
    while (panels > 1 && panels * (rows + 1) * kPanelVectors + 1 > kRegisters) panels /= 2;
    return panels;
}

// c[r][p] (+)= sum over k of x[r][k] * w[p][k]
//   kRows    rows of x
//   kPanels  panels, `panel_stride` elements apart
//   ahead    elements from a weight to the one to prefetch; 0 for none
//   c        f32, rows kBlockColumns apart; overwritten if `first`, else added to
template <int kRows, int kPanels, class W>
void tile(const float* x, int64_t x_stride, const W* w, int64_t panel_stride, int64_t ahead, int64_t k, float* c,
          bool first) {
    constexpr int kVectors = kPanels * kPanelVectors;
    F32 sum[kRows * kVectors];  // in registers: every loop over it is unrolled
    ADZE_UNROLL
    for (F32& s : sum) s = zero();
    for (int64_t i = 0; i < k; ++i) {
        F32 weight[kVectors];
        ADZE_UNROLL
        for (int v = 0; v < kVectors; ++v) {
            const int64_t panel = v / kPanelVectors, lane = v % kPanelVectors * kLanes;
            const W* source = w + panel * panel_stride + i * kPanel + lane;
            weight[v] = load(source);
            if (kRows >= kPrefetchRows && lane == 0) __builtin_prefetch(source + ahead, 0, 2);
        }
        ADZE_UNROLL
        for (int r = 0; r < kRows; ++r) {
            const F32 value = broadcast(x[r * x_stride + i]);
            ADZE_UNROLL
            for (int v = 0; v < kVectors; ++v) sum[r * kVectors + v] = fma(value, weight[v], sum[r * kVectors + v]);
        }
    }
    ADZE_UNROLL
    for (int r = 0; r < kRows; ++r) {
        ADZE_UNROLL
        for (int v = 0; v < kVectors; ++v) {
            float* out = c + r * kBlockColumns + v * kLanes;
            store(out, first ? sum[r * kVectors + v] : load(out) + sum[r * kVectors + v]);
        }
    }
}

template <class W>
using Tile = void (*)(const float*, int64_t, const W*, int64_t, int64_t, int64_t, float*, bool);

// Tiles by number of rows - 1: as many panels as fit, and a single one.
template <class W>
struct Tiles {
    Tile<W> wide[kMaxRows], single[kMaxRows];
};
template <class W, int... kRow>
constexpr Tiles<W> make_tiles(std::integer_sequence<int, kRow...>) {
    return {{tile<kRow + 1, tile_panels(kRow + 1), W>...}, {tile<kRow + 1, 1, W>...}};
}
template <class W>
constexpr Tiles<W> kTiles = make_tiles<W>(std::make_integer_sequence<int, kMaxRows>());

struct Block {
    int64_t row, rows, panel, panels;
};

// One block's sums into `c`.
template <class W>
void multiply(const WeightView& weight, const float* x, const Block& block, float* c) {
    const int64_t panel_stride = weight.k * kPanel;
    const int64_t row_tiles = (block.rows + kMaxRows - 1) / kMaxRows;
    for (int64_t k = 0; k < weight.k; k += kBlockK) {
        const int64_t depth = weight.k - k < kBlockK ? weight.k - k : kBlockK;
        for (int64_t t = 0; t < row_tiles;
             ++t) {  // balanced: 64 rows are 6 tiles of 10 and 11, not 5 of 12 and one of 4
            const int64_t row = block.rows * t / row_tiles, rows = block.rows * (t + 1) / row_tiles - row;
            const float* x_tile = x + (block.row + row) * weight.k + k;
            const int64_t wide = tile_panels(static_cast<int>(rows));
            for (int64_t p = 0; p < block.panels;) {
                const bool fits = block.panels - p >= wide;
                const W* w = static_cast<const W*>(weight.data) + (block.panel + p) * panel_stride + k * kPanel;
                const Tile<W>* tiles = fits ? kTiles<W>.wide : kTiles<W>.single;
                tiles[rows - 1](x_tile, weight.k, w, panel_stride, t + 1 == row_tiles ? kBlockK * kPanel : 0, depth,
                                c + row * kBlockColumns + p * kPanel, k == 0);
                p += fits ? wide : 1;
            }
        }
    }
}

void finish(const LinearParams& p, const Block& block, float* c) {
    const int64_t column = block.panel * kPanel;
    const int64_t columns = p.weight.n - column < block.panels * kPanel ? p.weight.n - column : block.panels * kPanel;
    float converted[kBlockColumns];
    const float* bias = p.bias.data == nullptr ? nullptr : read_row(p.bias, 0, column, columns, converted);
    for (int64_t r = 0; r < block.rows; ++r) {
        float* row = c + r * kBlockColumns;
        for (int64_t i = 0; bias != nullptr && i < columns; ++i) row[i] += bias[i];
        write_row(p.y, block.row + r, column, row, columns);
    }
}

void convert_rows(CpuPool& pool, const adze_tensor& x, float* out) {
    const int64_t rows_a_task = 1 + (1 << 15) / (x.columns + 1);
    pool.for_each((x.rows + rows_a_task - 1) / rows_a_task, [&](int64_t task, int) {
        const int64_t end = (task + 1) * rows_a_task < x.rows ? (task + 1) * rows_a_task : x.rows;
        for (int64_t row = task * rows_a_task; row < end; ++row) {
            const float* values = read_row(x, row, 0, x.columns, out + row * x.columns);
            if (x.dtype == ADZE_DTYPE_F32) memcpy(out + row * x.columns, values, static_cast<size_t>(x.columns) * 4);
        }
    });
}

}  // namespace

void linear(CpuPool& pool, const LinearParams& p) {
    const bool dense = p.x.dtype == ADZE_DTYPE_F32 && (p.x.rows == 1 || p.x.row_stride == p.x.columns);
    const auto* x = static_cast<const float*>(dense ? p.x.data : p.workspace);
    if (!dense) convert_rows(pool, p.x, static_cast<float*>(p.workspace));

    const int64_t panels = (p.weight.n + kPanel - 1) / kPanel;
    const int64_t share = (panels + 2 * pool.threads() - 1) / (2 * pool.threads());
    const int64_t panels_a_task = share < kMaxPanels ? share : kMaxPanels;
    const int64_t column_tasks = (panels + panels_a_task - 1) / panels_a_task;
    const int64_t row_tasks = (p.x.rows + kBlockRows - 1) / kBlockRows;
    pool.for_each(row_tasks * column_tasks, [&](int64_t task, int worker) {
        Block block{task / column_tasks * kBlockRows, kBlockRows, task % column_tasks * panels_a_task, panels_a_task};
        if (block.rows > p.x.rows - block.row) block.rows = p.x.rows - block.row;
        if (block.panels > panels - block.panel) block.panels = panels - block.panel;
        float* c = pool.scratch(worker);
        with_type(p.weight.dtype, [&](auto* type) {
            multiply<std::remove_const_t<std::remove_pointer_t<decltype(type)>>>(p.weight, x, block, c);
        });
        finish(p, block, c);
    });
}

}  // namespace adze::ADZE_ISA
