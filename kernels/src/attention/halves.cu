// Causal attention on tensor cores, of queries, keys, values and gradients in bfloat16: the same formulas as in
// `attention.cu`, for heads of at most 128 channels, a multiple of 16.
//
// A block has 64 rows of one head of one window, 16 in each warp: queries for the output and for dq, keys for dk and
// dv. It processes the other side 64 rows at a time, both in shared memory. Dot products, probabilities and their
// slopes stay in registers: rounded, two tiles of 16 x 8 sums are a factor of the next product. Sums are f32.
#include "../linear/sums.h"
#include "attention.cu"

constexpr int SQUARE_SIDE = 64, HEAD_STEPS = CHUNK / 16;

/// Rows of one head, padded so that lanes that read eight of them use different banks.
typedef Half HeadRows[SQUARE_SIDE][CHUNK + 8];

struct HalfTiles {
    __align__(16) HeadRows q, k, v;
    Bits bits[SQUARE_SIDE];
};

struct HalfBackTiles {
    __align__(16) HeadRows q, k, v, dout;
    float logs[SQUARE_SIDE], deltas[SQUARE_SIDE];
    Bits bits[SQUARE_SIDE];
};
/// Dynamic shared memory of the kernels.
constexpr int FORWARD_BYTES = 52 << 10, BACKWARD_BYTES = 70 << 10;
static_assert(sizeof(HalfTiles) <= FORWARD_BYTES && sizeof(HalfBackTiles) <= BACKWARD_BYTES, "it fits");

/// A head's rows in memory: the first of its window, how far the next one is, and how many are valid.
struct HeadMatrix {
    const Half* at;
    int stride, count;

    __device__ static HeadMatrix queries(const Scene& scene, const float* of, int stride) {
        u64 first = scene.query_row * stride + scene.head * scene.d;
        return {reinterpret_cast<const Half*>(of) + first, stride, scene.queries};
    }
    __device__ static HeadMatrix keys(const Scene& scene, const float* of, int stride) {
        u64 first = scene.key_row * stride + scene.head * scene.d;
        return {reinterpret_cast<const Half*>(of) + first, stride, scene.keys};
    }
    /// Copies rows from `first` on; those that are not valid are zero.
    __device__ void copy(HeadRows& to, int first, int d) const {
        constexpr int PARTS = CHUNK / 8;
        int column = threadIdx.x % PARTS * 8;
#pragma unroll
        for (int i = 0; i < SQUARE_SIDE * PARTS / THREADS; i++) {
            int row = threadIdx.x / PARTS + i * (THREADS / PARTS);
            const Half* from = at + u64(first + row) * stride + column;
            if (column < d) copy_async(&to[row][column], from, first + row < count);
        }
    }
};

/// Waits for all copies of this thread; then for all of the block.
__device__ inline void end_copies() {
    commit_copies();
    wait_for_copies<0>();
}
__device__ inline void wait_for_rows() {
    end_copies();
    __syncthreads();
}

/// Row and column of element i of 16 x 8 sums of this warp, the jth.
__device__ inline int sum_row(int i) { return threadIdx.x / LANES * 16 + threadIdx.x % LANES / 4 + i / 2 * 8; }
__device__ inline int sum_column(int j, int i) { return 8 * j + threadIdx.x % 4 * 2 + i % 2; }

/// A warp's sums, of its 16 rows and some columns.
template <int WIDTH>
struct Dots {
    static constexpr int COLUMNS = WIDTH / 8;
    float parts[COLUMNS][4];

    /// Dot products of this warp's rows of `a` with those of `b` from `from` on.
    __device__ static Dots of(const HeadRows& a, const HeadRows& b, int from, int d) {
        Dots sums = {};
        int lane = threadIdx.x % LANES, first = threadIdx.x / LANES * 16;
#pragma unroll
        for (int step = 0; step < HEAD_STEPS; step++) {
            if (16 * step >= d) break;
            u32 left[4];
            load_matrices(left, &a[first + lane % 16][16 * step + lane / 16 * 8]);
#pragma unroll
            for (int j = 0; j < COLUMNS; j += 2) {
                u32 right[4];
                load_matrices(right, &b[from + 8 * j + lane / 16 * 8 + lane % 8][16 * step + lane / 8 % 2 * 8]);
                multiply_bf16(sums.parts[j], left, right[0], right[1]);
                multiply_bf16(sums.parts[j + 1], left, right[2], right[3]);
            }
        }
        return sums;
    }
};

/// Scores of all keys at once, whose largest is searched; in the backward pass, of a part, which leaves more registers.
constexpr int PART = 32;
typedef Dots<SQUARE_SIDE> Whole;
typedef Dots<PART> Part;

/// A warp's 16 rows of 128 channels: sums of weights times rows in shared memory.
struct HeadSums {
    float parts[2 * HEAD_STEPS][4];

    __device__ void clear() {
        for (auto& part : parts)
            for (float& x : part) x = 0.f;
    }
    template <int WIDTH>
    __device__ void add(const Dots<WIDTH>& weights, const HeadRows& rows, int from, int d) {
        int lane = threadIdx.x % LANES;
#pragma unroll
        for (int step = 0; step < WIDTH / 16; step++) {
            const float(&low)[4] = weights.parts[2 * step], (&high)[4] = weights.parts[2 * step + 1];
            u32 left[4] = {pack_bf16(low[0], low[1]), pack_bf16(low[2], low[3]), pack_bf16(high[0], high[1]),
                           pack_bf16(high[2], high[3])};
#pragma unroll
            for (int n = 0; n < HEAD_STEPS; n++) {
                if (16 * n >= d) break;
                u32 right[4];
                load_transposed(right, &rows[from + 16 * step + lane % 16][16 * n + lane / 16 * 8]);
                multiply_bf16(parts[2 * n], left, right[0], right[1]);
                multiply_bf16(parts[2 * n + 1], left, right[2], right[3]);
            }
        }
    }
    /// Writes them, times a factor for each of the two rows, to the rows from `first` on of which there are `count`.
    __device__ void write(const float (&factors)[2], Half* to, int stride, int first, int count, int d) const {
        bool odd = threadIdx.x % 2 == 1;
        int row = first + sum_row(odd ? 2 : 0);
        float x = odd ? factors[1] : factors[0];
#pragma unroll
        for (int n = 0; n < 2 * HEAD_STEPS; n++) {
            if (8 * n >= d) break;
            float4 four = neighbours(parts[n]);
            four = {four.x * x, four.y * x, four.z * x, four.w * x};
            store4<true>(to + u64(row) * stride + 8 * n + threadIdx.x % 4 / 2 * 4, four, row < count ? 4 : 0);
        }
    }
};

/// The largest, and the sum, over the four lanes that have a row.
__device__ inline float row_max(float x) {
    x = fmaxf(x, __shfl_xor_sync(ALL_LANES, x, 1));
    return fmaxf(x, __shfl_xor_sync(ALL_LANES, x, 2));
}
__device__ inline float row_sum(float x) {
    x += __shfl_xor_sync(ALL_LANES, x, 1);
    return x + __shfl_xor_sync(ALL_LANES, x, 2);
}

__device__ inline void attend_halves(const Attention& p, HalfTiles& s) {
    int tiles = (p.queries + SQUARE_SIDE - 1) / SQUARE_SIDE;
    Scene scene(p, blockIdx.x / tiles);
    int first = blockIdx.x % tiles * SQUARE_SIDE, d = scene.d;
    float scale = 1.f / sqrtf(float(d));
    int last = scene.queries < first + SQUARE_SIDE ? scene.queries : first + SQUARE_SIDE;
    int keys = last > first ? scene.sees(last - 1) : 0;
    HeadMatrix q = HeadMatrix::queries(scene, p.q, p.q_stride), k = HeadMatrix::keys(scene, p.kv, p.kv_stride);
    HeadMatrix v = {k.at + p.width, k.stride, k.count};
    q.copy(s.q, first, d);
    if (threadIdx.x < SQUARE_SIDE && p.drop.threshold > 0) s.bits[threadIdx.x] = scene.bits(first + threadIdx.x);
    float most[2] = {LOWEST, LOWEST}, totals[2] = {0.f, 0.f};
    HeadSums sums;
    sums.clear();
#pragma unroll 1
    for (int key = 0; key < keys; key += SQUARE_SIDE) {
        k.copy(s.k, key, d);
        v.copy(s.v, key, d);
        wait_for_rows();
        Whole scores = Whole::of(s.q, s.k, 0, d);
        float larger[2] = {LOWEST, LOWEST}, added[2] = {0.f, 0.f};
        int seen[2] = {scene.sees(first + sum_row(0)) - key, scene.sees(first + sum_row(2)) - key};
#pragma unroll
        for (int j = 0; j < Whole::COLUMNS; j++)
#pragma unroll
            for (int i = 0; i < 4; i++) {
                float& score = scores.parts[j][i];
                score = sum_column(j, i) < seen[i / 2] ? score * scale : LOWEST;
                larger[i / 2] = fmaxf(larger[i / 2], score);
            }
        for (int i = 0; i < 2; i++) {
            larger[i] = fmaxf(most[i], row_max(larger[i]));
            float shrink = expf(most[i] - larger[i]);
            most[i] = larger[i];
            totals[i] *= shrink;
#pragma unroll
            for (auto& part : sums.parts) part[2 * i] *= shrink, part[2 * i + 1] *= shrink;
        }
        Bits bits[2] = {{0, 0}, {0, 0}};
        if (p.drop.threshold > 0) bits[0] = s.bits[sum_row(0)], bits[1] = s.bits[sum_row(2)];
#pragma unroll
        for (int j = 0; j < Whole::COLUMNS; j++)
#pragma unroll
            for (int i = 0; i < 4; i++) {
                float& score = scores.parts[j][i];
                int column = sum_column(j, i);
                float weight = column < seen[i / 2] ? expf(score - most[i / 2]) : 0.f;
                added[i / 2] += weight;
                score = weight * scene.keep(bits[i / 2], key + column);
            }
        for (int i = 0; i < 2; i++) totals[i] += row_sum(added[i]);
        sums.add(scores, s.v, 0, d);
        // No warp reads these keys any more.
        __syncthreads();
    }
    // Those of a block without keys were not waited for.
    end_copies();
    float inverse[2];
    for (int i = 0; i < 2; i++) {
        inverse[i] = totals[i] > 0.f ? 1.f / totals[i] : 0.f;
        int query = first + sum_row(2 * i);
        if (threadIdx.x % 4 == 0 && query < p.queries)
            p.logs[scene.log_at(query)] = totals[i] > 0.f ? most[i] + logf(totals[i]) : 0.f;
    }
    Half* out = reinterpret_cast<Half*>(p.out.at) + scene.query_row * p.width + scene.head * d;
    sums.write(inverse, out, p.width, first, p.queries, d);
}

/// What the backward pass needs of 64 queries, as `lay_queries` in attention.cu.
__device__ inline void lay_query_halves(const Attention& p, const Scene& scene, HalfBackTiles& s, int first) {
    constexpr int TOGETHER = 4;
    int row = threadIdx.x / LANES * 16, lane = threadIdx.x % LANES, d = scene.d;
    const Half* dout = reinterpret_cast<const Half*>(p.dout);
    const Half* out = reinterpret_cast<const Half*>(p.out.at);
#pragma unroll
    for (int group = 0; group < 16; group += TOGETHER) {
        float deltas[TOGETHER];
#pragma unroll
        for (int r = 0; r < TOGETHER; r++) {
            int query = first + row + group + r, count = query < scene.queries ? d - 4 * lane : 0;
            u64 at = (scene.query_row + query) * p.width + scene.head * d + 4 * lane;
            deltas[r] = add_dot(0.f, load4<true>(dout + at, count), load4<true>(out + at, count));
        }
        warp_sums(deltas);
#pragma unroll
        for (int r = 0; r < TOGETHER; r++) {
            int query = first + row + group + r;
            if (lane == 0) {
                s.deltas[row + group + r] = deltas[r];
                s.logs[row + group + r] = query < scene.queries ? p.logs[scene.log_at(query)] : 0.f;
            }
        }
    }
    if (threadIdx.x < SQUARE_SIDE && p.drop.threshold > 0) s.bits[threadIdx.x] = scene.bits(first + threadIdx.x);
}

/// A probability and the slope of its score, from the score and the slope of the probability.
__device__ inline void weigh(
    const Scene& scene, const HalfBackTiles& s, float scale, int query, int key, int seen, float& score, float& slope) {
    float weight = 0.f, ds = 0.f;
    if (key < seen) {
        Bits bits = {0, 0};
        if (scene.p.drop.threshold > 0) bits = s.bits[query];
        float keep = scene.keep(bits, key);
        weight = expf(score * scale - s.logs[query]);
        ds = weight * (keep * slope - s.deltas[query]) * scale;
        weight *= keep;
    }
    score = weight, slope = ds;
}

__device__ inline void back_to_query_halves(const Attention& p, const Scene& scene, HalfBackTiles& s, int first) {
    int d = scene.d;
    float scale = 1.f / sqrtf(float(d)), ones[2] = {1.f, 1.f};
    int last = scene.queries < first + SQUARE_SIDE ? scene.queries : first + SQUARE_SIDE;
    int keys = last > first ? scene.sees(last - 1) : 0;
    HeadMatrix k = HeadMatrix::keys(scene, p.kv, p.kv_stride), v = {k.at + p.width, k.stride, k.count};
    HeadMatrix::queries(scene, p.q, p.q_stride).copy(s.q, first, d);
    HeadMatrix::queries(scene, p.dout, p.width).copy(s.dout, first, d);
    lay_query_halves(p, scene, s, first);
    HeadSums dq;
    dq.clear();
#pragma unroll 1
    for (int key = 0; key < keys; key += SQUARE_SIDE) {
        k.copy(s.k, key, d);
        v.copy(s.v, key, d);
        wait_for_rows();
#pragma unroll 1
        for (int from = 0; from < SQUARE_SIDE; from += PART) {
            Part scores = Part::of(s.q, s.k, from, d), slopes = Part::of(s.dout, s.v, from, d);
#pragma unroll
            for (int j = 0; j < Part::COLUMNS; j++)
#pragma unroll
                for (int i = 0; i < 4; i++) {
                    int row = sum_row(i);
                    weigh(scene, s, scale, row, key + from + sum_column(j, i), scene.sees(first + row),
                          scores.parts[j][i], slopes.parts[j][i]);
                }
            dq.add(slopes, s.k, from, d);
        }
        __syncthreads();
    }
    end_copies();
    Half* to = reinterpret_cast<Half*>(p.dq.at) + scene.query_row * p.q_stride + scene.head * d;
    dq.write(ones, to, p.q_stride, first, p.queries, d);
}

__device__ inline void back_to_key_halves(const Attention& p, const Scene& scene, HalfBackTiles& s, int first) {
    int d = scene.d;
    float scale = 1.f / sqrtf(float(d)), ones[2] = {1.f, 1.f};
    int from = scene.first_that_sees(first) / SQUARE_SIDE * SQUARE_SIDE;
    HeadMatrix q = HeadMatrix::queries(scene, p.q, p.q_stride), dout = HeadMatrix::queries(scene, p.dout, p.width);
    HeadMatrix k = HeadMatrix::keys(scene, p.kv, p.kv_stride);
    k.copy(s.k, first, d);
    HeadMatrix{k.at + p.width, k.stride, k.count}.copy(s.v, first, d);
    HeadSums dk, dv;
    dk.clear();
    dv.clear();
#pragma unroll 1
    for (int query = from; query < scene.queries; query += SQUARE_SIDE) {
        q.copy(s.q, query, d);
        dout.copy(s.dout, query, d);
        lay_query_halves(p, scene, s, query);
        wait_for_rows();
#pragma unroll 1
        for (int from = 0; from < SQUARE_SIDE; from += PART) {
            Part scores = Part::of(s.k, s.q, from, d), slopes = Part::of(s.v, s.dout, from, d);
#pragma unroll
            for (int j = 0; j < Part::COLUMNS; j++)
#pragma unroll
                for (int i = 0; i < 4; i++) {
                    int column = from + sum_column(j, i);
                    weigh(scene, s, scale, column, first + sum_row(i), scene.sees(query + column),
                          scores.parts[j][i], slopes.parts[j][i]);
                }
            dv.add(scores, s.dout, from, d);
            dk.add(slopes, s.q, from, d);
        }
        __syncthreads();
    }
    end_copies();
    Half* to = reinterpret_cast<Half*>(p.dkv.at) + scene.key_row * p.kv_stride + scene.head * d;
    dk.write(ones, to, p.kv_stride, first, p.keys, d);
    dv.write(ones, to + p.width, p.kv_stride, first, p.keys, d);
}

extern "C" __global__ void __launch_bounds__(THREADS, 2) attention_bf16(Attention p) {
    DYNAMIC_SHARED(HalfTiles, s);
    attend_halves(p, s);
}
EXPORT(attention_bf16)

/// A head has some blocks for its queries, then some for its keys.
extern "C" __global__ void __launch_bounds__(THREADS, 2) attention_backward_bf16(Attention p) {
    DYNAMIC_SHARED(HalfBackTiles, s);
    int of_queries = (p.queries + SQUARE_SIDE - 1) / SQUARE_SIDE, of_keys = (p.keys + SQUARE_SIDE - 1) / SQUARE_SIDE;
    Scene scene(p, blockIdx.x / (of_queries + of_keys));
    int block = blockIdx.x % (of_queries + of_keys);
    if (block < of_queries)
        back_to_query_halves(p, scene, s, block * SQUARE_SIDE);
    else
        back_to_key_halves(p, scene, s, (block - of_queries) * SQUARE_SIDE);
}
EXPORT(attention_backward_bf16)
