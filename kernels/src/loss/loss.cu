// The action head and the loss: a warp for each step, from its token to predictions, loss and the gradient.
#include "../layer_norm/layer_norm.cu"

struct HeadAndLoss {
    /// The norm in front of the head, if it has any rows; its result is x.
    Norm norm;
    /// B K x C
    const float* x;
    const float* weight;
    const float* bias;
    /// B K x A
    const float* actions;
    const int* lengths;
    float* predictions;
    /// B K x A, or null: predictions only.
    float* dz;
    /// The part of the sum from each block.
    double* losses;
    int steps, windows, context, width, action;
    /// Tanh head or logits; squared error or cross-entropy; whether the mean counts padding.
    int is_tanh, is_cross_entropy, counts_all;
    float scale;
};

/// The index of the largest number, the first of equals.
__device__ inline int largest(const float* row, int count) {
    int best = 0;
#pragma unroll 1
    for (int i = 1; i < count; i++)
        if (row[i] > row[best]) best = i;
    return best;
}

/// Squared error of one step, and its gradient with respect to the predictions.
__device__ inline double squared_error(const HeadAndLoss& p, const float* y, const float* actions, float part, float* dy) {
    double total = 0;
#pragma unroll 1
    for (int a = 0; a < p.action; a++) {
        float difference = y[a] - actions[a];
        total += double(difference) * double(difference);
        dy[a] = 2.f * difference * part;
    }
    return total;
}

/// Cross-entropy of one step, and its gradient.
__device__ inline double cross_entropy(const HeadAndLoss& p, const float* y, const float* actions, float part, float* dy) {
    int taken = largest(actions, p.action);
    float most = y[largest(y, p.action)];
    float sum = 0.f;
#pragma unroll 1
    for (int a = 0; a < p.action; a++) {
        dy[a] = expf(y[a] - most);
        sum += dy[a];
    }
#pragma unroll 1
    for (int a = 0; a < p.action; a++) dy[a] *= part / sum;
    dy[taken] -= part;
    return double(logf(sum) - (y[taken] - most));
}

struct HeadShared {
    double losses[THREADS];
    int counts[THREADS];
};

// Actions have few numbers, so their loops are not unrolled.
extern "C" __global__ void __launch_bounds__(THREADS, 4) head_and_loss(HeadAndLoss p) {
    SHARED(HeadShared, s);
    int lane = threadIdx.x % LANES;
    int count = 0;
    if (p.dz != nullptr) {
        // The number of valid steps: integers, so every block computes the same.
        for (int w = threadIdx.x; w < p.windows; w += THREADS) count += p.lengths[w];
        count = block_sum<THREADS>(count, s.counts);
        if (p.counts_all) count = p.steps;
        if (!p.is_cross_entropy) count *= p.action;
    }
    float part = count > 0 ? float(1.0 / count) : 0.f;
    double total = 0;
    for (int step = blockIdx.x * WARPS + threadIdx.x / LANES; step < p.steps; step += gridDim.x * WARPS) {
        norm(p.norm, step);
        // Lanes read what others wrote.
        __syncwarp();
        bool valid = step % p.context < p.lengths[step / p.context];
        const float* x = p.x + u64(step) * p.width;
        float* y = p.predictions + u64(step) * p.action;
#pragma unroll 1
        for (int a = 0; a < p.action; a++) {
            float sum = 0.f;
            for (int c = lane; c < p.width; c += LANES) sum = fmaf(x[c], p.weight[u64(c) * p.action + a], sum);
            float z = warp_sum(sum) + p.bias[a];
            if (lane == 0) y[a] = !valid ? 0.f : p.is_tanh ? p.scale * tanhf(z) : z;
        }
        // From here on, one lane processes the few numbers that it wrote itself.
        if (lane != 0 || p.dz == nullptr) continue;
        float* dz = p.dz + u64(step) * p.action;
        const float* actions = p.actions + u64(step) * p.action;
        if (!valid) {
#pragma unroll 1
            for (int a = 0; a < p.action; a++) dz[a] = 0.f;
        } else {
            total += p.is_cross_entropy ? cross_entropy(p, y, actions, part, dz) : squared_error(p, y, actions, part, dz);
            if (p.is_tanh)
#pragma unroll 1
                for (int a = 0; a < p.action; a++) dz[a] *= p.scale - y[a] * y[a] / p.scale;
        }
    }
    if (p.dz != nullptr) {
        total = block_sum<THREADS>(total, s.losses);
        if (threadIdx.x == 0) p.losses[blockIdx.x] = count > 0 ? total / count : 0.0;
    }
}
EXPORT(head_and_loss)
