// Steps to tokens, and the gradient of the timestep table. The other gradients of the embedding are products.
#include "../../layer_norm/layer_norm.cu"

/// One of a step's three tokens.
struct Kind {
    /// B K x numbers, and their weight.
    const float* input;
    const float* weight;
    const float* bias;
    int inputs;
};

struct Embed {
    Kind return_to_go, observation, action;
    const u32* timesteps;
    /// B: valid steps of each window.
    const int* lengths;
    const float* table;
    /// 3 B K x C
    float* to;
    /// Of these rows, with dropout: the stream. And of that, in front of the first mixer, if it has any rows.
    Norm norm, next;
    int steps, context, width;
    /// Whether the norms can read four numbers at once.
    int is_aligned;
};

/// Steps that a block embeds: each number of a weight is used for all of them.
constexpr int STEPS = 4;

/// Adds the products of channel c to the sums of steps from `first` on.
__device__ inline void add_kind(const Kind& kind, float (&sums)[STEPS], int first, int count, int c, int width) {
#pragma unroll 1
    for (int i = 0; i < kind.inputs; i++) {
        float weight = kind.weight[u64(i) * width + c];
#pragma unroll
        for (int s = 0; s < STEPS; s++) {
            float x = s < count ? kind.input[u64(first + s) * kind.inputs + i] : 0.f;
            sums[s] = fmaf(x, weight, sums[s]);
        }
    }
}

template <bool VECTOR>
__device__ void norm_tokens(const Embed& p, int begin, int end) {
    for (int row = begin + threadIdx.x / LANES; row < end; row += WARPS) {
        norm<VECTOR>(p.norm, row);
        // A lane reads the channels that it has written.
        norm<VECTOR>(p.next, row);
    }
}

extern "C" __global__ void __launch_bounds__(THREADS) embed(Embed p) {
    int first = blockIdx.x * STEPS;
    int count = p.steps - first < STEPS ? p.steps - first : STEPS;
    for (int c = threadIdx.x; c < p.width; c += THREADS) {
        float sums[3][STEPS] = {};
        add_kind(p.return_to_go, sums[0], first, count, c, p.width);
        add_kind(p.observation, sums[1], first, count, c, p.width);
        add_kind(p.action, sums[2], first, count, c, p.width);
        // Everything is loaded before the first store, after which loads would have to wait.
        float biases[3] = {p.return_to_go.bias[c], p.observation.bias[c], p.action.bias[c]}, times[STEPS];
        int valid[STEPS];
#pragma unroll
        for (int s = 0; s < STEPS; s++) {
            int step = s < count ? first + s : first;
            // Tokens after the last valid observation are zero, because the last action has no
            // effect.
            valid[s] = 3 * p.lengths[step / p.context] - 1;
            times[s] = p.table[u64(p.timesteps[step]) * p.width + c];
        }
#pragma unroll
        for (int s = 0; s < STEPS; s++) {
            if (s >= count) continue;
            int step = first + s;
#pragma unroll
            for (int kind = 0; kind < 3; kind++) {
                float token = sums[kind][s] + biases[kind] + times[s];
                p.to[(u64(step) * 3 + kind) * p.width + c] = step % p.context * 3 + kind < valid[s] ? token : 0.f;
            }
        }
    }
    __syncthreads();
    int begin = 3 * first, end = 3 * (first + count);
    if (p.is_aligned)
        norm_tokens<true>(p, begin, end);
    else
        norm_tokens<false>(p, begin, end);
}
EXPORT(embed)

struct Table {
    const float* dx;
    const u32* timesteps;
    const int* lengths;
    /// slices x timesteps x C
    float* to;
    int steps, context, width;
    /// Steps of a slice.
    int slice_steps;
};

/// One block for a row of the table, 128 channels and a slice of the steps. It checks for every step of the slice, in
/// order, whether it used the row: so sums have a fixed order, and there is no race. Without slices one block would add
/// up all steps of a batch where all have the same timestep, as those after a recipe's largest do.
extern "C" __global__ void __launch_bounds__(THREADS) table_backward(Table p) {
    typedef u32 Found[WARPS];
    SHARED(Found, found);
    int c = blockIdx.y * THREADS + threadIdx.x;
    float sum = 0.f;
    int begin = blockIdx.z * p.slice_steps;
    int end = begin + p.slice_steps < p.steps ? begin + p.slice_steps : p.steps;
    for (int first = begin; first < end; first += THREADS) {
        int step = first + threadIdx.x;
        bool uses = step < end && step % p.context < p.lengths[step / p.context] &&
                    p.timesteps[step] == blockIdx.x;
        u32 votes = __ballot_sync(ALL_LANES, uses);
        if (threadIdx.x % LANES == 0) found[threadIdx.x / LANES] = votes;
        __syncthreads();
        for (int warp = 0; warp < WARPS; warp++) {
            for (u32 bits = found[warp]; bits != 0; bits &= bits - 1) {
                u64 token = 3 * u64(first + warp * LANES + __ffs(int(bits)) - 1);
                // The rows of tokens that do not exist are zero.
                if (c < p.width)
                    for (int kind = 0; kind < 3; kind++) sum += p.dx[(token + kind) * p.width + c];
            }
        }
        __syncthreads();
    }
    u64 row = u64(blockIdx.z) * gridDim.x + blockIdx.x;
    if (c < p.width) p.to[row * p.width + c] = sum;
}
EXPORT(table_backward)
