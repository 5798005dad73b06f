// Layer normalisation, a warp for each row, with the dropout after it and the gradient of the
// residual connection.
#include "../dropout/dropout.h"

constexpr float EPSILON = 1e-5f;

struct Norm {
    const float* x;
    const float* gain;
    const float* bias;
    float* y;
    /// rows x 2: mean and 1 / standard deviation
    float* statistics;
    Drop drop;
    int rows, width;
};

extern "C" __global__ void __launch_bounds__(THREADS) layer_norm(Norm p) {
    int row = blockIdx.x * WARPS + threadIdx.x / LANES, lane = threadIdx.x % LANES;
    // The whole warp returns together.
    if (row >= p.rows) return;
    const float* x = p.x + u64(row) * p.width;
    float* y = p.y + u64(row) * p.width;
    float sum = 0.f;
    for (int c = lane; c < p.width; c += LANES) sum += x[c];
    float mean = warp_sum(sum) / p.width;
    sum = 0.f;
    for (int c = lane; c < p.width; c += LANES) sum = fmaf(x[c] - mean, x[c] - mean, sum);
    float scale = 1.f / sqrtf(warp_sum(sum) / p.width + EPSILON);
    if (lane == 0) {
        p.statistics[2 * u64(row)] = mean;
        p.statistics[2 * u64(row) + 1] = scale;
    }
    Bits bits = {0, 0};
    if (p.drop.threshold > 0) bits = bits_of_row(p.drop, row);
    for (int c = lane; c < p.width; c += LANES) {
        float value = fmaf((x[c] - mean) * scale, p.gain[c], p.bias[c]);
        y[c] = value * mask(p.drop, bits, c);
    }
}
EXPORT(layer_norm)

struct NormBackward {
    const float* x;
    const float* gain;
    const float* statistics;
    const float* dy;
    /// The gradient that x gets besides the norm's, or null.
    const float* beside;
    float* dx;
    /// mask dx: the gradient of the branch before, or null.
    float* dropped;
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

extern "C" __global__ void __launch_bounds__(THREADS) layer_norm_backward(NormBackward p) {
    int lane = threadIdx.x % LANES;
    int first = blockIdx.x * p.block_rows;
    int end = first + p.block_rows < p.rows ? first + p.block_rows : p.rows;
    for (int row = first + threadIdx.x / LANES; row < end; row += WARPS) {
        const float* x = p.x + u64(row) * p.width;
        const float* dy = p.dy + u64(row) * p.width;
        float mean = p.statistics[2 * u64(row)], scale = p.statistics[2 * u64(row) + 1];
        float sum = 0.f, product = 0.f;
        for (int c = lane; c < p.width; c += LANES) {
            float g = dy[c] * p.gain[c];
            sum += g;
            product = fmaf(g, (x[c] - mean) * scale, product);
        }
        sum = warp_sum(sum) / p.width;
        product = warp_sum(product) / p.width;
        const float* beside = p.beside;
        if (p.beside_observations)
            beside = row % 3 == 1 ? beside + u64(row / 3) * p.width : nullptr;
        else if (beside != nullptr)
            beside += u64(row) * p.width;
        Bits bits = {0, 0};
        if (p.dropped != nullptr && p.drop.threshold > 0) bits = bits_of_row(p.drop, p.token_rows.token_row(row));
        for (int c = lane; c < p.width; c += LANES) {
            float x_hat = (x[c] - mean) * scale;
            float dx = scale * (dy[c] * p.gain[c] - sum - x_hat * product);
            if (beside != nullptr) dx += beside[c];
            p.dx[u64(row) * p.width + c] = dx;
            if (p.dropped != nullptr) p.dropped[u64(row) * p.width + c] = dx * mask(p.drop, bits, c);
        }
    }
    // The rows of a block are few and just read, so reading them again is cheap.
    for (int c = threadIdx.x; c < p.width; c += THREADS) {
        float gain = 0.f, bias = 0.f;
        for (int row = first; row < end; row++) {
            float d = p.dy[u64(row) * p.width + c];
            float x_hat = (p.x[u64(row) * p.width + c] - p.statistics[2 * u64(row)]) * p.statistics[2 * u64(row) + 1];
            gain = fmaf(d, x_hat, gain);
            bias += d;
        }
        p.dgain[u64(blockIdx.x) * p.width + c] = gain;
        p.dbias[u64(blockIdx.x) * p.width + c] = bias;
    }
}
EXPORT(layer_norm_backward)
