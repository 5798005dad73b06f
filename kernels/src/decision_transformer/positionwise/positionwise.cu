// What a model of 128 channels computes of each token by itself, between the attention of two layers, in bfloat16:
// the projection and its residual connection, a norm, the MLP and its residual connection; and the next layer's norm,
// queries, keys and values. Every number has the bits that the kernels of the single parts give it.
//
// A block has 48 rows of tokens, which stay in shared memory. Each of its warps computes 32 of every 128 columns, so
// that no two of them need the same part of a weight: a warp reads its parts itself, 128 rows ahead, through shared
// memory of its own, and waits for the others only where rows change.
#include "../../layer_norm/layer_norm.cu"
#include "../../linear/finish.h"
#include "../../linear/sums.h"

constexpr int CHANNELS = THREADS, INNER = 4 * CHANNELS;
/// Rows of a block, in tiles of 16.
constexpr int STRIP = 48, STRIP_TILES = STRIP / 16;
constexpr int STRIP_COLUMNS = CHANNELS / WARPS;
/// Pieces, each 32 deep, that a product of 128 channels has.
constexpr int STRIP_PIECES = CHANNELS / DEPTH;

struct Layer {
    const Half* weight;
    const float* bias;
};

struct Positionwise {
    /// rows x C: the attention's output, and what it is added to, of which these are the rows.
    const Half* attended;
    const float* residual;
    Rows token_rows;
    Layer projection, up, down;
    Drop projection_drop, mlp_drop;
    /// `x` is the stream after the projection.
    Norm norm;
    /// rows x 4 C: GELU's input, and the activation's output.
    float* input;
    Half* hidden;
    /// rows x C: the stream after the block.
    float* to;
    /// Of the next layer, with `x` = `to`; without rows in the last one. Queries are of token rows `query_rows` alone.
    Norm next;
    Layer qkv;
    Numbers q;
    Numbers kv;
    Rows query_rows;
    int q_stride, kv_stride;
    int rows, activation;
};

/// Rows as factors, padded so that lanes that read eight of them use different banks.
typedef Half Strip[STRIP][CHANNELS + 8];

struct StripTiles {
    union {
        struct {
            Strip x, hidden;
        };
        /// The stream, in place of both.
        float stream[STRIP][CHANNELS + 4];
    };
    /// In turn: one is read while the other is written.
    Half weights[WARPS][2][DEPTH][STRIP_COLUMNS + 8];
    Bits projection_bits[STRIP], mlp_bits[STRIP];
};

/// 128 x 128 of a weight.
struct Square {
    /// In bytes, from the weight of the projection: all weights are in one allocation, and what is relative to a
    /// parameter is known to the compiler to be in global memory.
    u64 behind;
    int stride;

    __device__ static Square of(const Positionwise& p, const Half* at, int stride) {
        return {u64(at) - u64(p.projection.weight), stride};
    }
    /// In the order of their products: the projection; in turn up and down, 128 hidden channels at a time; and queries,
    /// keys, values.
    __device__ static Square of(const Positionwise& p, int index) {
        constexpr int MLP_SQUARES = 2 * INNER / CHANNELS;
        if (index == 0) return of(p, p.projection.weight, CHANNELS);
        if (index > MLP_SQUARES) return of(p, p.qkv.weight + (index - 1 - MLP_SQUARES) * CHANNELS, 3 * CHANNELS);
        int channel = (index - 1) / 2 * CHANNELS;
        if (index % 2) return of(p, p.up.weight + channel, INNER);
        return of(p, p.down.weight + channel * CHANNELS, CHANNELS);
    }
    __device__ const Half* at(const Positionwise& p) const {
        return reinterpret_cast<const Half*>(reinterpret_cast<const char*>(p.projection.weight) + behind);
    }
};

/// A thread's share of a square: parts of lines of the columns of its warp.
struct Carrier {
    static constexpr int LOADS = DEPTH * STRIP_COLUMNS / 8 / LANES, SHARERS = STRIP_COLUMNS / 8;
    uint4 loads[STRIP_PIECES][LOADS];

    /// Lanes that store at the same time have lines apart, whose banks differ.
    __device__ static int line(int i) {
        int group = threadIdx.x % LANES / SHARERS;
        return group % 2 * 4 + group / 2 + i * LANES / SHARERS;
    }
    __device__ static int column() { return threadIdx.x % SHARERS * 8; }

    __device__ void load(const Positionwise& p, const Square& square, int piece) {
        const Half* from = square.at(p) + threadIdx.x / LANES * STRIP_COLUMNS + column();
#pragma unroll
        for (int i = 0; i < LOADS; i++)
            loads[piece][i] = *reinterpret_cast<const uint4*>(from + (piece * DEPTH + line(i)) * square.stride);
    }

    __device__ void store(StripTiles& s, int piece) const {
#pragma unroll
        for (int i = 0; i < LOADS; i++)
            Bf16::store(&s.weights[threadIdx.x / LANES][piece % 2][line(i)][column()], loads[piece][i]);
    }
};

/// Row and column of quad j of this thread in a tile.
__device__ inline int strip_row(int tile) { return 16 * tile + threadIdx.x % LANES / 4 + threadIdx.x % 2 * 8; }
__device__ inline int strip_column(int j) {
    return threadIdx.x / LANES * STRIP_COLUMNS + 8 * j + threadIdx.x % 4 / 2 * 4;
}

/// Numbers at the columns of a thread's quads. What is loaded before a product has arrived behind it.
struct Quads {
    static constexpr int COUNT = STRIP_COLUMNS / 8;
    float4 at[COUNT];

    __device__ static Quads load(const float* row, bool exists = true) {
        Quads loaded;
#pragma unroll
        for (int j = 0; j < COUNT; j++) loaded.at[j] = load4<true>(row + strip_column(j), exists ? 4 : 0);
        return loaded;
    }
};

/// A stream's numbers at all of a thread's quads.
struct Residual {
    Quads tiles[STRIP_TILES];

    __device__ static Residual load(const float* stream, Rows rows, int first, int count) {
        Residual loaded;
#pragma unroll
        for (int i = 0; i < STRIP_TILES; i++) {
            int row = first + strip_row(i);
            loaded.tiles[i] = Quads::load(stream + u64(rows.token_row(row)) * CHANNELS, row < count);
        }
        return loaded;
    }
    __device__ float4 first(int j) const { return tiles[0].at[j]; }
    __device__ void next() {
#pragma unroll
        for (int i = 0; i + 1 < STRIP_TILES; i++) tiles[i] = tiles[i + 1];
    }
};

struct NoResidual {
    __device__ float4 first(int) const { return {0.f, 0.f, 0.f, 0.f}; }
    __device__ void next() {}
};

/// A lane's part of a norm's gain and bias.
struct NormQuads {
    float4 gain, bias;

    __device__ static NormQuads load(const Norm& p) {
        int channel = threadIdx.x % LANES * 4;
        return {load4<true>(p.gain + channel, 4), load4<true>(p.bias + channel, 4)};
    }
};

/// A warp's sums: of all rows, its columns of 128.
struct StripSums {
    float parts[STRIP_TILES][STRIP_COLUMNS / 8][4];

    __device__ void clear() {
        for (auto& tile : parts)
            for (auto& part : tile)
                for (float& x : part) x = 0.f;
    }

    /// Adds rows times square `index`, and loads the square after it.
    __device__ void add(
        const Positionwise& p, const Strip& rows, StripTiles& s, Carrier& carrier, int index, int squares) {
        int lane = threadIdx.x % LANES;
        Square next = Square::of(p, index + 1);
#pragma unroll
        for (int piece = 0; piece < STRIP_PIECES; piece++) {
            carrier.store(s, piece);
            if (index + 1 < squares) carrier.load(p, next, piece);
            // After it this piece is complete, and no lane reads the one before it.
            __syncwarp();
            auto& weights = s.weights[threadIdx.x / LANES][piece % 2];
#pragma unroll
            for (int k = 0; k < DEPTH; k += 16) {
                u32 a[STRIP_TILES][4], b[STRIP_COLUMNS / 16][4];
#pragma unroll
                for (int i = 0; i < STRIP_TILES; i++)
                    load_matrices(a[i], &rows[16 * i + lane % 16][piece * DEPTH + k + lane / 16 * 8]);
#pragma unroll
                for (int j = 0; j < STRIP_COLUMNS / 16; j++)
                    load_transposed(b[j], &weights[k + lane % 16][16 * j + lane / 16 * 8]);
#pragma unroll
                for (int i = 0; i < STRIP_TILES; i++)
#pragma unroll
                    for (int j = 0; j < STRIP_COLUMNS / 8; j++)
                        multiply_bf16(parts[i][j], a[i], b[j / 2][j % 2 * 2], b[j / 2][j % 2 * 2 + 1]);
            }
        }
    }

    /// Calls f(quad of sums and bias, row, column, quad of `others`) for each of this thread's quads, and leaves no
    /// sums.
    template <class Others, class F>
    __device__ void each(const Quads& bias, Others& others, F f) {
        // Not unrolled: that would be three times as much code. So the tile is always the first.
#pragma unroll 1
        for (int tile = 0; tile < STRIP_TILES; tile++) {
#pragma unroll
            for (int j = 0; j < Quads::COUNT; j++) {
                float4 x = neighbours(parts[0][j]), of_column = bias.at[j];
                x = {x.x + of_column.x, x.y + of_column.y, x.z + of_column.z, x.w + of_column.w};
                f(x, strip_row(tile), strip_column(j), others.first(j));
            }
            others.next();
#pragma unroll
            for (int i = 0; i + 1 < STRIP_TILES; i++)
                for (int j = 0; j < Quads::COUNT; j++)
                    for (int k = 0; k < 4; k++) parts[i][j][k] = parts[i + 1][j][k];
        }
    }
};

__device__ inline void store_four(Half* to, uint2 four) { *reinterpret_cast<uint2*>(to) = four; }

/// The norm of the stream in shared memory, which becomes the next factor in its place. A warp has some rows of it,
/// four at a time.
__device__ inline void norm_strip(const Norm& p, const NormQuads& at, StripTiles& s, int first) {
    constexpr int SHARE = STRIP / WARPS, TOGETHER = 4;
    int lane = threadIdx.x % LANES, row = threadIdx.x / LANES * SHARE;
    float4 gain = at.gain, bias = at.bias;
    uint2 halves[SHARE];
#pragma unroll
    for (int group = 0; group < SHARE; group += TOGETHER) {
        float4 x[TOGETHER];
        float means[TOGETHER], scales[TOGETHER];
#pragma unroll
        for (int r = 0; r < TOGETHER; r++) {
            x[r] = *reinterpret_cast<const float4*>(&s.stream[row + group + r][4 * lane]);
            means[r] = x[r].x + x[r].y + x[r].z + x[r].w;
        }
        warp_sums(means);
#pragma unroll
        for (int r = 0; r < TOGETHER; r++) {
            float mean = means[r] /= CHANNELS;
            x[r] = {x[r].x - mean, x[r].y - mean, x[r].z - mean, x[r].w - mean};
            scales[r] = fmaf(x[r].w, x[r].w, fmaf(x[r].z, x[r].z, fmaf(x[r].y, x[r].y, x[r].x * x[r].x)));
        }
        warp_sums(scales);
#pragma unroll
        for (int r = 0; r < TOGETHER; r++) {
            float scale = 1.f / sqrtf(scales[r] / CHANNELS + EPSILON);
            halves[group + r] = {pack_bf16(fmaf(x[r].x * scale, gain.x, bias.x), fmaf(x[r].y * scale, gain.y, bias.y)),
                                 pack_bf16(fmaf(x[r].z * scale, gain.z, bias.z), fmaf(x[r].w * scale, gain.w, bias.w))};
            int place = first + row + group + r;
            if (lane == 0 && place < p.rows) p.statistics[place] = float2{means[r], scale};
        }
    }
    // All have read the stream.
    __syncthreads();
#pragma unroll
    for (int r = 0; r < SHARE; r++) {
        Half* to = reinterpret_cast<Half*>(p.y.at) + u64(first + row + r) * CHANNELS + 4 * lane;
        store_four(&s.x[row + r][4 * lane], halves[r]);
        if (first + row + r < p.rows) store_four(to, halves[r]);
    }
    __syncthreads();
}

/// The MLP of the rows in `x`, up to the sums of its output.
__device__ inline void add_mlp(
    const Positionwise& p, StripTiles& s, Carrier& carrier, StripSums& sums, int first, int squares) {
    sums.clear();
#pragma unroll 1
    for (int channel = 0; channel < INNER; channel += CHANNELS) {
        int index = 1 + channel / CHANNELS * 2;
        Quads bias = Quads::load(p.up.bias + channel);
        NoResidual none;
        StripSums up;
        up.clear();
        up.add(p, s.x, s, carrier, index, squares);
        // No warp reads the hidden channels before these any more.
        __syncthreads();
        up.each(bias, none, [&](float4 x, int row, int column, float4) {
            u64 place = u64(first + row) * INNER + channel + column;
            bool exists = first + row < p.rows;
            if (p.activation == GELU) {
                if (exists) store4<true>(p.input + place, x, 4);
                x = finish<ACTIVATE, GELU>(p.mlp_drop, x, x, {0, 0}, column);
            } else {
                x = finish<ACTIVATE, RELU>(p.mlp_drop, x, x, {0, 0}, column);
            }
            uint2 halves = {pack_bf16(x.x, x.y), pack_bf16(x.z, x.w)};
            store_four(&s.hidden[row][column], halves);
            if (exists) store_four(p.hidden + place, halves);
        });
        __syncthreads();
        sums.add(p, s.hidden, s, carrier, index + 1, squares);
    }
}

/// Queries, keys and values of the rows in `x`.
__device__ inline void project_next(const Positionwise& p, StripTiles& s, Carrier& carrier, int first, int squares) {
#pragma unroll 1
    for (int index = squares - 3; index < squares; index++) {
        int part = index + 3 - squares;
        Quads bias = Quads::load(p.qkv.bias + part * CHANNELS);
        NoResidual none;
        StripSums sums;
        sums.clear();
        sums.add(p, s.x, s, carrier, index, squares);
        sums.each(bias, none, [&](float4 x, int row, int column, float4) {
            int token = first + row;
            if (token >= p.rows) return;
            if (part > 0) return p.kv.store<true>(u64(token) * p.kv_stride + (part - 1) * CHANNELS + column, x, 4);
            int behind = token - p.query_rows.offset;
            if (behind % p.query_rows.stride != 0) return;
            p.q.store<true>(u64(behind / p.query_rows.stride) * p.q_stride + column, x, 4);
        });
    }
}

extern "C" __global__ void __launch_bounds__(THREADS, 2) positionwise_bf16(Positionwise p) {
    SHARED(StripTiles, s);
    int first = blockIdx.x * STRIP;
    int squares = p.next.rows > 0 ? 12 : 9;
    constexpr int QUADS = CHANNELS / 8;
#pragma unroll
    for (int i = 0; i < STRIP * QUADS / THREADS; i++) {
        int row = threadIdx.x / QUADS + i * (THREADS / QUADS), column = threadIdx.x % QUADS * 8;
        // A row after the last is read as the last: nothing that is computed of it is stored.
        int existing = first + row < p.rows ? first + row : p.rows - 1;
        const Half* from = p.attended + u64(existing) * CHANNELS + column;
        Bf16::store(&s.x[row][column], *reinterpret_cast<const uint4*>(from));
    }
    if (threadIdx.x < STRIP && first + int(threadIdx.x) < p.rows) {
        int row = p.token_rows.token_row(first + threadIdx.x);
        if (p.projection_drop.threshold > 0) s.projection_bits[threadIdx.x] = bits_of_row(p.projection_drop, row);
        if (p.mlp_drop.threshold > 0) s.mlp_bits[threadIdx.x] = bits_of_row(p.mlp_drop, row);
    }
    Carrier carrier;
#pragma unroll
    for (int piece = 0; piece < STRIP_PIECES; piece++) carrier.load(p, Square::of(p, 0), piece);
    __syncthreads();

    // The sums, masked and added to the residual, become the stream.
    StripSums sums;
    auto end_branch = [&](const Quads& bias, Residual& residual, const Drop& drop, const Bits* bits, float* to) {
        // No warp reads the factors any more.
        __syncthreads();
        sums.each(bias, residual, [&](float4 x, int row, int column, float4 residual) {
            Bits of_row = {0, 0};
            if (drop.threshold > 0) of_row = bits[row];
            x = finish<RESIDUAL, RELU>(drop, x, residual, of_row, column);
            *reinterpret_cast<float4*>(&s.stream[row][column]) = x;
            if (first + row < p.rows) store4<true>(to + u64(first + row) * CHANNELS + column, x, 4);
        });
        __syncthreads();
    };
    float* middle = const_cast<float*>(p.norm.x);
    Quads bias = Quads::load(p.projection.bias);
    Residual residual = Residual::load(p.residual, p.token_rows, first, p.rows);
    sums.clear();
    sums.add(p, s.x, s, carrier, 0, squares);
    NormQuads norm = NormQuads::load(p.norm);
    end_branch(bias, residual, p.projection_drop, s.projection_bits, middle);
    norm_strip(p.norm, norm, s, first);

    add_mlp(p, s, carrier, sums, first, squares);
    // A thread reads again what it wrote itself.
    bias = Quads::load(p.down.bias);
    residual = Residual::load(middle, Rows{1, 0}, first, p.rows);
    if (p.next.rows > 0) norm = NormQuads::load(p.next);
    end_branch(bias, residual, p.mlp_drop, s.mlp_bits, p.to);
    if (p.next.rows == 0) return;
    norm_strip(p.next, norm, s, first);
    project_next(p, s, carrier, first, squares);
}
EXPORT(positionwise_bf16)
