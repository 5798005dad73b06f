// The end of a step, in two launches over the flat buffers: `add_up` makes the gradient, its norm
// and the loss out of what the blocks wrote; `update` clips and applies AdamW.
#include "../device/device.h"

constexpr int WIDE = 256;
/// Slices that are loaded before the first of them is added, so that a thread does not wait for each.
constexpr int LOADS = 8;

/// A piece of the gradient with contiguous slices.
struct Piece {
    /// In the workspace: the first slice, and the distance between slices.
    u64 from, stride;
    /// In the gradient.
    u32 to, length;
    u32 slices;
};

struct AddUp {
    const Piece* pieces;
    const float* workspace;
    float* gradient;
    /// The sum of squares of each piece.
    double* squares;
    /// The losses of the head's blocks, and the loss of each batch of the queue.
    const double* block_losses;
    double* losses;
    Clock* clock;
    int loss_blocks;
    /// Whether the gradient has a part already; and over how many parts the mean is taken now (0:
    /// not yet).
    int adds, divisor;
};

extern "C" __global__ void __launch_bounds__(WIDE) add_up(AddUp p) {
    typedef double Parts[WIDE];
    SHARED(Parts, parts);
    Piece piece = p.pieces[blockIdx.x];
    double squares = 0;
    for (u32 i = threadIdx.x; i < piece.length; i += WIDE) {
        float sum = p.adds ? p.gradient[piece.to + i] : 0.f;
        const float* from = p.workspace + piece.from + i;
        u32 slice = 0;
        for (; slice + LOADS <= piece.slices; slice += LOADS) {
            float loaded[LOADS];
#pragma unroll
            for (int k = 0; k < LOADS; k++) loaded[k] = from[(slice + k) * piece.stride];
#pragma unroll
            for (int k = 0; k < LOADS; k++) sum += loaded[k];
        }
        for (; slice < piece.slices; slice++) sum += from[slice * piece.stride];
        if (p.divisor > 1) sum /= p.divisor;
        p.gradient[piece.to + i] = sum;
        squares += double(sum) * double(sum);
    }
    squares = block_sum<WIDE>(squares, parts);
    if (threadIdx.x == 0) p.squares[blockIdx.x] = squares;
    if (blockIdx.x == 0) {
        double loss = 0;
        for (int i = threadIdx.x; i < p.loss_blocks; i += WIDE) loss += p.block_losses[i];
        loss = block_sum<WIDE>(loss, parts);
        // No other block reads the clock, and no other launch runs at the same time.
        if (threadIdx.x == 0) {
            p.losses[p.clock->part] = loss;
            p.clock->part += 1;
        }
    }
}
EXPORT(add_up)

/// What changes in AdamW from step to step.
struct Rates {
    float keep, rate, root;
};

struct Update {
    float* weights;
    /// A copy of them as factors of products in bfloat16, or null.
    Half* halves;
    float* mean;
    float* square;
    const float* gradient;
    const double* squares;
    const Rates* rates;
    /// The gradient's norm in each step of the queue.
    double* norms;
    const Clock* clock;
    /// The largest norm; 0 for no limit.
    double largest;
    u32 count;
    int pieces, accumulation;
    float beta_1, other_1, beta_2, other_2, epsilon;
};

extern "C" __global__ void __launch_bounds__(WIDE) update(Update p) {
    typedef double Parts[WIDE];
    SHARED(Parts, parts);
    double total = 0;
    for (int i = threadIdx.x; i < p.pieces; i += WIDE) total += p.squares[i];
    // Every block adds up the same numbers in the same order.
    double norm = sqrt(block_sum<WIDE>(total, parts));
    u32 step = p.clock->part / p.accumulation - 1;
    if (blockIdx.x == 0 && threadIdx.x == 0) p.norms[step] = norm;
    double ratio = p.largest / (norm + 1e-6);
    // A norm of NaN must reach the weights, as it does on the CPU.
    float clip = p.largest > 0 && !(ratio > 1) ? float(ratio) : 1.f;
    Rates rates = p.rates[step];
    auto change = [&](float g, float& weight, float& mean, float& square) {
        g *= clip;
        mean = fmaf(p.beta_1, mean, p.other_1 * g);
        square = fmaf(p.beta_2, square, p.other_2 * (g * g));
        float divisor = fmaf(sqrtf(square), rates.root, p.epsilon);
        weight = fmaf(weight, rates.keep, mean * -rates.rate / divisor);
    };
    auto four = [](const float* from, u32 i) { return reinterpret_cast<const float4*>(from)[i]; };
    u32 quads = p.count / 4, thread = blockIdx.x * WIDE + threadIdx.x;
    for (u32 i = thread; i < quads; i += gridDim.x * WIDE) {
        float4 g = four(p.gradient, i), weights = four(p.weights, i);
        float4 mean = four(p.mean, i), square = four(p.square, i);
        change(g.x, weights.x, mean.x, square.x);
        change(g.y, weights.y, mean.y, square.y);
        change(g.z, weights.z, mean.z, square.z);
        change(g.w, weights.w, mean.w, square.w);
        reinterpret_cast<float4*>(p.weights)[i] = weights;
        if (p.halves != nullptr) store4<true>(p.halves + 4 * i, weights, 4);
        reinterpret_cast<float4*>(p.mean)[i] = mean;
        reinterpret_cast<float4*>(p.square)[i] = square;
    }
    u32 last = 4 * quads + thread;
    if (last < p.count) {
        change(p.gradient[last], p.weights[last], p.mean[last], p.square[last]);
        if (p.halves != nullptr) p.halves[last] = Half(pack_bf16(p.weights[last], 0.f));
    }
}
EXPORT(update)
