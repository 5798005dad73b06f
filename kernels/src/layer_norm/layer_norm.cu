// Layer normalisation, a warp for each row, with the dropout after it and the gradient of the
// residual connection.
//
// A lane has four neighbouring channels of every 128. Up to 512 channels of a row are in registers, so that rows are
// read from memory once.
#pragma once
#include "../dropout/dropout.h"

constexpr float EPSILON = 1e-5f;
/// Quads of a lane in registers, and the channels that a warp has in them.
constexpr int HELD = 4;
constexpr int SPAN = 4 * LANES * HELD;

/// A span of a row: the channels from `first` on.
struct Span {
    float x[HELD][4];

    /// The channel of element (i, j).
    __device__ static int channel(int first, int i) { return first + (threadIdx.x % LANES + LANES * i) * 4; }

    /// Reads the numbers of a row, zero after its end.
    template <bool VECTOR>
    __device__ void load(const float* row, int first, int width) {
#pragma unroll
        for (int i = 0; i < HELD; i++) {
            int c = channel(first, i);
            float4 four = load4<VECTOR>(row + c, width - c);
            x[i][0] = four.x, x[i][1] = four.y, x[i][2] = four.z, x[i][3] = four.w;
        }
    }

    template <bool VECTOR>
    __device__ void store(float* row, int first, int width) const {
#pragma unroll
        for (int i = 0; i < HELD; i++) {
            int c = channel(first, i);
            store4<VECTOR>(row + c, float4{x[i][0], x[i][1], x[i][2], x[i][3]}, width - c);
        }
    }

    template <bool VECTOR>
    __device__ void store(const Numbers& to, u64 row, int first, int width) const {
#pragma unroll
        for (int i = 0; i < HELD; i++) {
            int c = channel(first, i);
            to.store<VECTOR>(row + c, float4{x[i][0], x[i][1], x[i][2], x[i][3]}, width - c);
        }
    }

    /// Calls f(element, channel) for each that exists.
    template <bool VECTOR, class F>
    __device__ static void each(int first, int width, F f) {
#pragma unroll
        for (int i = 0; i < HELD; i++) {
            if (channel(first, i) >= width) continue;
#pragma unroll
            for (int j = 0; j < 4; j++)
                if (VECTOR || channel(first, i) + j < width) f(i, j, channel(first, i) + j);
        }
    }
};

struct Norm {
    const float* x;
    const float* gain;
    const float* bias;
    Numbers y;
    /// rows x 2: mean and 1 / standard deviation
    float2* statistics;
    Drop drop;
    int rows, width;
};

/// Row `row`, by a warp.
template <bool VECTOR>
__device__ void norm(const Norm& p, int row) {
    int lane = threadIdx.x % LANES;
    // The whole warp returns together.
    if (row >= p.rows) return;
    const float* from = p.x + u64(row) * p.width;
    Span x;
    x.load<VECTOR>(from, 0, p.width);
    // Rows of more than a span are read again, each time.
    int spans = (p.width + SPAN - 1) / SPAN;
    float sum = 0.f;
#pragma unroll 1
    for (int span = 0; span < spans; span++) {
        if (spans > 1) x.load<VECTOR>(from, span * SPAN, p.width);
        Span::each<VECTOR>(span * SPAN, p.width, [&](int i, int j, int) { sum += x.x[i][j]; });
    }
    float mean = warp_sum(sum) / p.width;
    sum = 0.f;
#pragma unroll 1
    for (int span = 0; span < spans; span++) {
        if (spans > 1) x.load<VECTOR>(from, span * SPAN, p.width);
        Span::each<VECTOR>(span * SPAN, p.width, [&](int i, int j, int) {
            sum = fmaf(x.x[i][j] - mean, x.x[i][j] - mean, sum);
        });
    }
    float scale = 1.f / sqrtf(warp_sum(sum) / p.width + EPSILON);
    if (lane == 0) p.statistics[row] = float2{mean, scale};
    Bits bits = {0, 0};
    if (p.drop.threshold > 0) bits = bits_of_row(p.drop, row);
#pragma unroll 1
    for (int span = 0; span < spans; span++) {
        int first = span * SPAN;
        if (spans > 1) x.load<VECTOR>(from, first, p.width);
        Span gain = {}, bias = {};
        gain.load<VECTOR>(p.gain, first, p.width);
        bias.load<VECTOR>(p.bias, first, p.width);
        Span::each<VECTOR>(first, p.width, [&](int i, int j, int c) {
            float value = fmaf((x.x[i][j] - mean) * scale, gain.x[i][j], bias.x[i][j]);
            x.x[i][j] = value * mask(p.drop, bits, c);
        });
        x.store<VECTOR>(p.y, u64(row) * p.width, first, p.width);
    }
}

/// Whether four numbers of its rows can be read at once.
__device__ inline bool is_aligned(const Norm& p) {
    return (u64(p.x) | u64(p.gain) | u64(p.bias) | u64(p.y.at)) % 16 == 0 && p.width % 4 == 0;
}

/// Row `row`, by a warp, in the way that its rows allow. The whole grid takes one.
__device__ inline void norm(const Norm& p, int row) {
    if (is_aligned(p))
        norm<true>(p, row);
    else
        norm<false>(p, row);
}

struct NormBackward {
    const float* x;
    const float* gain;
    const float2* statistics;
    const float* dy;
    /// The gradient that x gets besides the norm's, or null.
    const float* beside;
    float* dx;
    /// mask dx: the gradient of the branch before, or null.
    Numbers dropped;
    /// blocks x C: the parts of this block's rows.
    float* dgain;
    float* dbias;
    Drop drop;
    /// The rows of x as token rows, for the mask.
    Rows token_rows;
    /// Whether `beside` has rows for observations only.
    int beside_observations;
    int rows, width, block_rows;
};

typedef float NormParts[WARPS][SPAN];

/// What a row's gradient is computed of: a span of it. Nothing after row `end`.
template <bool VECTOR>
struct NormRow {
    Span x, dy, beside;
    float2 statistics;
    bool has_beside;

    __device__ NormRow(const NormBackward& p, int row, int begin, int end) : x{}, dy{}, beside{}, statistics{} {
        const float* beside_row = p.beside;
        if (p.beside_observations)
            beside_row = row % 3 == 1 ? beside_row + u64(row / 3) * p.width : nullptr;
        else if (beside_row != nullptr)
            beside_row += u64(row) * p.width;
        has_beside = beside_row != nullptr;
        if (row >= end) return;
        statistics = p.statistics[row];
        x.template load<VECTOR>(p.x + u64(row) * p.width, begin, p.width);
        dy.template load<VECTOR>(p.dy + u64(row) * p.width, begin, p.width);
        if (has_beside) beside.template load<VECTOR>(beside_row, begin, p.width);
    }
};

/// A block has some rows and one span of their channels. Its warps take rows in turn, each adds up the gradients of
/// gain and bias of its rows, and in the end the block adds up those of its warps.
template <bool VECTOR>
__device__ void norm_backward(const NormBackward& p, NormParts& parts) {
    int warp = threadIdx.x / LANES, begin = blockIdx.y * SPAN;
    int first_row = blockIdx.x * p.block_rows;
    int end = first_row + p.block_rows < p.rows ? first_row + p.block_rows : p.rows;
    Span gain, dgain = {}, dbias = {};
    gain.load<VECTOR>(p.gain, begin, p.width);
    // The next row is on its way while this one is processed.
    NormRow<VECTOR> coming(p, first_row + warp, begin, end);
#pragma unroll 1
    for (int row = first_row + warp; row < end; row += WARPS) {
        NormRow<VECTOR> now = coming;
        coming = NormRow<VECTOR>(p, row + WARPS, begin, end);
        const float* x_row = p.x + u64(row) * p.width;
        const float* dy_row = p.dy + u64(row) * p.width;
        Span &x = now.x, &dy = now.dy, &beside = now.beside;
        float2 statistics = now.statistics;
        float mean = statistics.x, scale = statistics.y, sum = 0.f, product = 0.f;
        auto add = [&](const Span& x, const Span& dy, const Span& gain, int first) {
            Span::each<VECTOR>(first, p.width, [&](int i, int j, int) {
                float g = dy.x[i][j] * gain.x[i][j];
                sum += g;
                product = fmaf(g, (x.x[i][j] - mean) * scale, product);
            });
        };
        // In the order of the channels, so that the blocks of all spans get the same sums.
        for (int first = 0; first < p.width; first += SPAN) {
            if (first == begin) {
                add(x, dy, gain, first);
            } else {
                Span other_x, other_dy, other_gain;
                other_x.load<VECTOR>(x_row, first, p.width);
                other_dy.load<VECTOR>(dy_row, first, p.width);
                other_gain.load<VECTOR>(p.gain, first, p.width);
                add(other_x, other_dy, other_gain, first);
            }
        }
        sum = warp_sum(sum) / p.width;
        product = warp_sum(product) / p.width;
        Bits bits = {0, 0};
        if (p.dropped.at != nullptr && p.drop.threshold > 0) bits = bits_of_row(p.drop, p.token_rows.token_row(row));
        Span::each<VECTOR>(begin, p.width, [&](int i, int j, int) {
            float d = dy.x[i][j], x_hat = (x.x[i][j] - mean) * scale;
            dgain.x[i][j] = fmaf(d, x_hat, dgain.x[i][j]);
            dbias.x[i][j] += d;
            float dx = scale * (d * gain.x[i][j] - sum - x_hat * product);
            x.x[i][j] = now.has_beside ? dx + beside.x[i][j] : dx;
        });
        x.store<VECTOR>(p.dx + u64(row) * p.width, begin, p.width);
        if (p.dropped.at == nullptr) continue;
        Span::each<VECTOR>(begin, p.width, [&](int i, int j, int c) { x.x[i][j] *= mask(p.drop, bits, c); });
        x.store<VECTOR>(p.dropped, u64(row) * p.width, begin, p.width);
    }
    auto add_up = [&](const Span& sums, float* to) {
        __syncthreads();
        sums.store<true>(parts[warp], 0, SPAN);
        __syncthreads();
        for (int c = threadIdx.x; c < SPAN && begin + c < p.width; c += THREADS) {
            float sum = 0.f;
            for (int part = 0; part < WARPS; part++) sum += parts[part][c];
            to[u64(blockIdx.x) * p.width + begin + c] = sum;
        }
    };
    add_up(dgain, p.dgain);
    add_up(dbias, p.dbias);
}

extern "C" __global__ void __launch_bounds__(THREADS) layer_norm(Norm p) {
    norm<true>(p, blockIdx.x * WARPS + threadIdx.x / LANES);
}
EXPORT(layer_norm)
extern "C" __global__ void __launch_bounds__(THREADS, 2) layer_norm_backward(NormBackward p) {
    SHARED(NormParts, parts);
    norm_backward<true>(p, parts);
}
EXPORT(layer_norm_backward)

// Of rows that do not begin at 16 bytes.
extern "C" __global__ void __launch_bounds__(THREADS) layer_norm_any(Norm p) {
    norm<false>(p, blockIdx.x * WARPS + threadIdx.x / LANES);
}
EXPORT(layer_norm_any)
extern "C" __global__ void __launch_bounds__(THREADS) layer_norm_any_backward(NormBackward p) {
    SHARED(NormParts, parts);
    norm_backward<false>(p, parts);
}
EXPORT(layer_norm_any_backward)
