// Steps to tokens, with the norms behind them, and the gradients of the weights and of the timestep table.
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
    for (int row = 3 * first + threadIdx.x / LANES; row < 3 * (first + count); row += WARPS) {
        norm(p.norm, row);
        // Its stores and these loads may divide a row differently among the lanes.
        __syncwarp();
        norm(p.next, row);
    }
}
EXPORT(embed)

/// Where the gradients of a kind's weight and bias go: slices x inputs x C, slices x C.
struct KindGradient {
    const float* input;
    float* weight;
    float* bias;
    int inputs, slices;
    /// Steps of a slice.
    int slice_steps;
};

struct EmbedBackward {
    KindGradient return_to_go, observation, action;
    /// The gradient of the tokens, 3 B K x C; zero for those that do not exist.
    const float* dx;
    const u32* timesteps;
    const int* lengths;
    /// slices x timesteps x C
    float* table;
    int steps, context, width, table_rows;
    /// Steps of a slice of the table's gradient, and how many slices there are.
    int slice_steps, slices;
};

/// Inputs and steps of a group, which a block has in shared memory: a number for each thread.
constexpr int INPUTS = 8, GROUP = THREADS / INPUTS;
/// Steps whose gradients are loaded before the first is multiplied.
constexpr int LOADED = 8;
/// Steps of a thread that are loaded before the first is looked at.
constexpr int SCANS = 4;

struct EmbedShared {
    float inputs[GROUP][INPUTS];
    u32 found[SCANS * WARPS];
};

/// Blocks of a kind for 128 channels: for each slice, some inputs.
__device__ inline int blocks_of(const KindGradient& kind) { return (kind.inputs + INPUTS - 1) / INPUTS * kind.slices; }

/// The gradient of some inputs' weights, and of the bias, for channel c over a slice of the steps, in their order.
__device__ inline void kind_backward(
    const EmbedBackward& p, const KindGradient& kind, int token, int block, int c, EmbedShared& s) {
    int slice = block % kind.slices, first_input = block / kind.slices * INPUTS;
    int begin = slice * kind.slice_steps;
    int end = begin + kind.slice_steps < p.steps ? begin + kind.slice_steps : p.steps;
    float sums[INPUTS] = {}, bias = 0.f;
    for (int group = begin; group < end; group += GROUP) {
        int step = group + threadIdx.x / INPUTS, input = first_input + threadIdx.x % INPUTS;
        bool exists = step < end && input < kind.inputs;
        __syncthreads();
        s.inputs[threadIdx.x / INPUTS][threadIdx.x % INPUTS] =
            exists ? kind.input[u64(step) * kind.inputs + input] : 0.f;
        __syncthreads();
        const float* from = p.dx + (u64(group) * 3 + token) * p.width + c;
#pragma unroll 1
        for (int first = 0; first < GROUP; first += LOADED) {
            float dx[LOADED];
#pragma unroll
            for (int i = 0; i < LOADED; i++, from += 3 * p.width)
                dx[i] = c < p.width && group + first + i < end ? *from : 0.f;
#pragma unroll
            for (int i = 0; i < LOADED; i++) {
#pragma unroll
                for (int j = 0; j < INPUTS; j++) sums[j] = fmaf(s.inputs[first + i][j], dx[i], sums[j]);
                bias += dx[i];
            }
        }
    }
    if (c >= p.width) return;
#pragma unroll
    for (int j = 0; j < INPUTS; j++) {
        int input = first_input + j;
        if (input < kind.inputs) kind.weight[(u64(slice) * kind.inputs + input) * p.width + c] = sums[j];
    }
    if (first_input == 0) kind.bias[u64(slice) * p.width + c] = bias;
}

/// One row of the table and a slice of the steps, for channel c. The block checks for every step of the slice, in order,
/// whether it used the row: so sums have a fixed order, and there is no race. Without slices one block would add up all
/// steps of a batch where all have the same timestep, as those after a recipe's largest do.
__device__ inline void table_backward(const EmbedBackward& p, int block, int c, EmbedShared& s) {
    u32 row = block % p.table_rows;
    int slice = block / p.table_rows;
    float sum = 0.f;
    int begin = slice * p.slice_steps;
    int end = begin + p.slice_steps < p.steps ? begin + p.slice_steps : p.steps;
    for (int first = begin; first < end; first += SCANS * THREADS) {
        u32 timesteps[SCANS];
        int lengths[SCANS];
#pragma unroll
        for (int i = 0; i < SCANS; i++) {
            int step = first + i * THREADS + threadIdx.x;
            timesteps[i] = step < end ? p.timesteps[step] : 0;
            lengths[i] = step < end ? p.lengths[step / p.context] : 0;
        }
#pragma unroll
        for (int i = 0; i < SCANS; i++) {
            int step = first + i * THREADS + threadIdx.x;
            u32 votes = __ballot_sync(ALL_LANES, step % p.context < lengths[i] && timesteps[i] == row);
            if (threadIdx.x % LANES == 0) s.found[i * WARPS + threadIdx.x / LANES] = votes;
        }
        __syncthreads();
        for (int word = 0; word < SCANS * WARPS; word++) {
            for (u32 bits = s.found[word]; bits != 0; bits &= bits - 1) {
                u64 token = 3 * u64(first + word * LANES + __ffs(int(bits)) - 1);
                // The rows of tokens that do not exist are zero.
                if (c < p.width)
                    for (int kind = 0; kind < 3; kind++) sum += p.dx[(token + kind) * p.width + c];
            }
        }
        __syncthreads();
    }
    if (c < p.width) p.table[(u64(slice) * p.table_rows + row) * p.width + c] = sum;
}

/// The gradients of the embedding: a block has 128 channels of the weights of one kind, or of a row of the table.
extern "C" __global__ void __launch_bounds__(THREADS, 8) embed_backward(EmbedBackward p) {
    SHARED(EmbedShared, s);
    int c = blockIdx.y * THREADS + threadIdx.x, block = blockIdx.x;
    int returns = blocks_of(p.return_to_go), observations = blocks_of(p.observation), actions = blocks_of(p.action);
    if (block < returns) return kind_backward(p, p.return_to_go, 0, block, c, s);
    block -= returns;
    if (block < observations) return kind_backward(p, p.observation, 1, block, c, s);
    block -= observations;
    if (block < actions) return kind_backward(p, p.action, 2, block, c, s);
    table_backward(p, block - actions, c, s);
}
EXPORT(embed_backward)
