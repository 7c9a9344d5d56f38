// The small operators (formulas in include/adze/glue.h), compiled once per instruction set. They move each byte once
// and are bound by memory or by the call; rows are shared out among the threads, and a row's arithmetic does not depend
// on the others.
#include <cmath>

#include "runtime/cpu_kernels.h"
#include "runtime/cpu_rows.h"

namespace adze::ADZE_ISA {
namespace {

constexpr int64_t kChunk = 1024;  // columns converted at a time

template <class Body>
ADZE_INLINE void for_chunks(int64_t columns, Body&& body) {
    for (int64_t at = 0; at < columns; at += kChunk) body(at, columns - at < kChunk ? columns - at : kChunk);
}

// body(row, worker) for every row, several rows of a small matrix in one task.
template <class Body>
ADZE_INLINE void for_rows(CpuPool& pool, int64_t rows, int64_t columns, Body&& body) {
    const int64_t rows_a_task = 1 + (1 << 14) / (columns + 1);
    pool.for_each((rows + rows_a_task - 1) / rows_a_task, [&](int64_t task, int worker) {
        const int64_t end = (task + 1) * rows_a_task < rows ? (task + 1) * rows_a_task : rows;
        for (int64_t row = task * rows_a_task; row < end; ++row) body(row, worker);
    });
}

// out[i] = f(in...[i]) for i < count, by vectors; f maps vectors to a vector.
template <class F, class... In>
ADZE_INLINE void map(int64_t count, float* out, F&& f, const In*... in) {
    int64_t i = 0;
    for (; i + kLanes <= count; i += kLanes) store(out + i, f(load(in + i)...));
    if (i == count) return;
    float tail[kLanes];
    store(tail, f(load_n(in + i, count - i)...));
    for (int64_t j = 0; i + j < count; ++j) out[i + j] = tail[j];
}

float sum_of_squares(const float* x, int64_t count) {
    F32 sum[4] = {zero(), zero(), zero(), zero()};
    int64_t i = 0;
    for (; i + 4 * kLanes <= count; i += 4 * kLanes) {
        ADZE_UNROLL
        for (int j = 0; j < 4; ++j) {
            const F32 v = load(x + i + j * kLanes);
            sum[j] = fma(v, v, sum[j]);
        }
    }
    for (; i < count; i += kLanes) {
        const F32 v = count - i >= kLanes ? load(x + i) : load_n(x + i, count - i);
        sum[0] = fma(v, v, sum[0]);
    }
    return reduce_add((sum[0] + sum[1]) + (sum[2] + sum[3]));
}

}  // namespace

void embedding(CpuPool& pool, const EmbeddingParams& p) {
    const auto* ids = static_cast<const int32_t*>(p.ids.data);
    for_rows(pool, p.y.rows, p.y.columns, [&](int64_t row, int) {
        for_chunks(p.y.columns, [&](int64_t at, int64_t count) {
            float chunk[kChunk];
            write_row(p.y, row, at, read_row(p.table, ids[row], at, count, chunk), count);
        });
    });
}

void rms_norm(CpuPool& pool, const RmsNormParams& p) {
    const int64_t columns = p.x.columns;
    for_rows(pool, p.x.rows, columns, [&](int64_t row, int worker) {
        float* h = pool.scratch(worker);
        float squares = 0.0f;
        for_chunks(columns, [&](int64_t at, int64_t count) {
            float a[kChunk], b[kChunk];
            const float* x = read_row(p.x, row, at, count, a);
            if (p.residual.data == nullptr) {
                map(
                    count, h + at, [](F32 v) { return v; }, x);
            } else {
                map(
                    count, h + at, [](F32 r, F32 v) { return r + v; }, read_row(p.residual, row, at, count, b), x);
                write_row(p.residual, row, at, h + at, count);
            }
            squares += sum_of_squares(h + at, count);
        });
        const F32 scale = broadcast(1.0f / sqrtf(squares / static_cast<float>(columns) + p.epsilon));
        for_chunks(columns, [&](int64_t at, int64_t count) {
            float a[kChunk], y[kChunk];
            const float* weight = read_row(p.weight, 0, at, count, a);
            map(
                count, y, [&](F32 v, F32 w) { return v * scale * w; }, h + at, weight);
            write_row(p.y, row, at, y, count);
        });
    });
}

void rope(CpuPool& pool, const RopeParams& p) {
    const auto* positions = static_cast<const int32_t*>(p.positions.data);
    const auto* inv_freq = static_cast<const float*>(p.inv_freq.data);
    const int64_t half = p.inv_freq.columns, heads = p.x.columns / p.head_dim;
    for_rows(pool, p.x.rows, p.x.columns, [&](int64_t row, int worker) {
        float* cosine = pool.scratch(worker);
        float *sine = cosine + half, *low = sine + half, *high = low + half;
        for (int64_t i = 0; i < half; ++i) {  // in f64: an f32 angle at position 100,000 is off by 0.004
            const double angle = static_cast<double>(positions[row]) * static_cast<double>(inv_freq[i]);
            cosine[i] = static_cast<float>(cos(angle));
            sine[i] = static_cast<float>(sin(angle));
        }
        for (int64_t head = 0; head < heads; ++head) {
            const int64_t at = head * p.head_dim;
            const float* a = read_row(p.x, row, at, half, low);
            const float* b = read_row(p.x, row, at + half, half, high);
            float* turned = high + half;
            map(
                half, turned, [](F32 x, F32 y, F32 c, F32 s) { return x * c - y * s; }, a, b, cosine, sine);
            map(
                half, turned + half, [](F32 x, F32 y, F32 c, F32 s) { return y * c + x * s; }, a, b, cosine, sine);
            write_row(p.x, row, at, turned, 2 * half);
        }
    });
}

void silu_gate(CpuPool& pool, const SiluGateParams& p) {
    const auto silu_times = [](F32 gate, F32 up) {
        const F32 one = broadcast(1.0f);
        return gate / (one + exp(zero() - gate)) * up;
    };
    for_rows(pool, p.y.rows, p.y.columns, [&](int64_t row, int) {
        for_chunks(p.y.columns, [&](int64_t at, int64_t count) {
            float a[kChunk], b[kChunk], y[kChunk];
            const float* gate = read_row(p.gate, row, at, count, a);
            map(count, y, silu_times, gate, read_row(p.up, row, at, count, b));
            write_row(p.y, row, at, y, count);
        });
    });
}

}  // namespace adze::ADZE_ISA
