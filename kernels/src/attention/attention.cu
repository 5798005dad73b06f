// Causal attention of short sequences, exact f32: see `mod.rs` for the formulas.
//
// A block has 32 rows of one head of one window: queries for the output and for dq, keys for dk and dv. It processes
// the other side 32 rows at a time, with both in shared memory, and skips what causality masks. Scores and
// probabilities are in registers and in one tile of shared memory; global memory has the log of each query's sum.
// Heads of more than 128 channels are taken 128 at a time, the scores computed again for each. So shared memory does
// not depend on the context.
#pragma once
#include "../dropout/dropout.h"

constexpr int SIDE = 32;
constexpr int CHUNK = 128;
/// Below any score, and still a number: no infinity is ever subtracted from another.
constexpr float LOWEST = -3e38f;

struct Attention {
    /// Rows of queries and of keys; a key's value is `width` numbers after it.
    const float* q;
    const float* kv;
    Numbers out;
    /// (query rows) x H: the log of the sum.
    float* logs;
    /// For the backward only.
    const float* dout;
    Numbers dq;
    Numbers dkv;
    const int* lengths;
    Drop drop;
    /// Rows of a window: its queries, its keys (3 K).
    int queries, keys;
    int width, heads, q_stride, kv_stride;
    /// Query i sees stride i + offset keys, itself the last.
    int visible_stride, visible_offset;
};

/// Rows are padded by 16 bytes, so that lanes that read quads of different rows read different banks.
struct Tiles {
    __align__(16) float a[SIDE][CHUNK + 4];
    __align__(16) float b[SIDE][CHUNK + 4];
    __align__(16) float p[SIDE][SIDE + 4];
    float logs[SIDE];
    float deltas[SIDE];
    Bits bits[SIDE];
};

/// One head of one window, as processed by a block.
struct Scene {
    const Attention& p;
    int window, head, d, queries, keys, first_token;
    /// Row 0 of the window.
    u64 query_row, key_row;

    __device__ Scene(const Attention& p, int index) : p(p), window(index / p.heads), head(index % p.heads) {
        d = p.width / p.heads;
        int steps = p.lengths[window];
        keys = steps > 0 ? 3 * steps - 1 : 0;
        queries = p.visible_stride == 1 ? keys : steps;
        first_token = 3 * p.drop.first_steps[window];
        query_row = u64(window) * p.queries;
        key_row = u64(window) * p.keys;
    }

    /// Keys that a query sees; none if there is no such query.
    __device__ int sees(int query) const {
        return query < queries ? p.visible_stride * query + p.visible_offset : 0;
    }
    /// The first query that sees a key.
    __device__ int first_that_sees(int key) const {
        int before = key + 1 - p.visible_offset;
        return before > 0 ? (before + p.visible_stride - 1) / p.visible_stride : 0;
    }
    __device__ const float* q_rows(const float* of) const { return of + query_row * p.q_stride + head * d; }
    __device__ const float* out_rows(const float* of) const { return of + query_row * p.width + head * d; }
    __device__ const float* k_rows() const { return p.kv + key_row * p.kv_stride + head * d; }
    __device__ const float* v_rows() const { return k_rows() + p.width; }
    __device__ u64 log_at(int query) const { return (query_row + query) * p.heads + head; }
    __device__ Bits bits(int query) const {
        return bits_of(p.drop, p.drop.site + (u64(head) << 32), window, first_token + sees(query) - 1);
    }
    __device__ float keep(Bits of_query, int key) const {
        return p.drop.threshold > 0 ? mask(p.drop, of_query, first_token + key) : 1.f;
    }
};

/// Channels c.. of rows row.. into a tile; zero after the last row and channel, of which there is one at least.
template <bool VECTOR>
__device__ inline void lay_rows(
    float (&to)[SIDE][CHUNK + 4], const float* from, int stride, int row, int rows, int c, int d) {
    int channel = threadIdx.x % LANES * 4;
    if constexpr (VECTOR) {
        // All of a thread's loads are in flight at a time: without branches, those of rows that do not exist, too.
        constexpr int SHARE = SIDE / WARPS;
        float4 loaded[SHARE];
        int existing = c + channel < d ? channel : 0;
#pragma unroll
        for (int i = 0; i < SHARE; i++) {
            int r = row + threadIdx.x / LANES + i * WARPS;
            loaded[i] = load4<true>(from + u64(r < rows ? r : rows - 1) * stride + c + existing, 4);
        }
#pragma unroll
        for (int i = 0; i < SHARE; i++) {
            int r = threadIdx.x / LANES + i * WARPS;
            float4 x = loaded[i];
            if (row + r >= rows || c + channel >= d) x = {0.f, 0.f, 0.f, 0.f};
            *reinterpret_cast<float4*>(&to[r][channel]) = x;
        }
    } else {
#pragma unroll 1
        for (int r = threadIdx.x / LANES; r < SIDE; r += WARPS) {
            const float* quad = from + u64(row + r) * stride + c + channel;
            float4 x = load4<false>(quad, row + r < rows ? d - c - channel : 0);
            *reinterpret_cast<float4*>(&to[r][channel]) = x;
        }
    }
}

/// A thread's share of 32 x 32 dot products: rows r and r + 16, columns c, c + 8, c + 16, c + 24.
struct Place {
    int row, column;
    __device__ Place() : row(threadIdx.x / 8), column(threadIdx.x % 8) {}
};

/// Four neighbours of a tile.
__device__ inline float4 quad(const float* at) { return *reinterpret_cast<const float4*>(at); }

/// sum + a . b, in the order of the channels.
__device__ inline float add_dot(float sum, float4 a, float4 b) {
    return fmaf(a.w, b.w, fmaf(a.z, b.z, fmaf(a.y, b.y, fmaf(a.x, b.x, sum))));
}

/// sums = A B^T for 32 rows of each.
template <bool VECTOR>
__device__ inline void dots(
    Tiles& s, float (&sums)[2][4], const float* a, int a_stride, int a_row, int a_rows, const float* b, int b_stride,
    int b_row, int b_rows, int d) {
    Place at;
    for (auto& row : sums)
        for (float& sum : row) sum = 0.f;
    for (int c = 0; c < d; c += CHUNK) {
        lay_rows<VECTOR>(s.a, a, a_stride, a_row, a_rows, c, d);
        lay_rows<VECTOR>(s.b, b, b_stride, b_row, b_rows, c, d);
        __syncthreads();
        // What is after the last channel is zero.
        int channels = d - c < CHUNK ? d - c : CHUNK;
#pragma unroll 2
        for (int e = 0; e < channels; e += 4) {
            float4 left[2], right[4];
            for (int i = 0; i < 2; i++) left[i] = quad(&s.a[at.row + 16 * i][e]);
            for (int j = 0; j < 4; j++) right[j] = quad(&s.b[at.column + 8 * j][e]);
            for (int i = 0; i < 2; i++)
                for (int j = 0; j < 4; j++) sums[i][j] = add_dot(sums[i][j], left[i], right[j]);
        }
        __syncthreads();
    }
}

/// sums[row][channel] += sum over the tile of p[row][j] b[j][channel]: a warp has 8 rows, a lane four neighbouring
/// channels.
__device__ inline void add_mixed(const Tiles& s, float (&sums)[8][4]) {
    int row = threadIdx.x / LANES * 8, channel = threadIdx.x % LANES * 4;
#pragma unroll 1
    for (int j = 0; j < SIDE; j += 4) {
        float4 b[4];
        for (int n = 0; n < 4; n++) b[n] = quad(&s.b[j + n][channel]);
        for (int r = 0; r < 8; r++) {
            float4 weights = quad(&s.p[row + r][j]);
            float of[4] = {weights.x, weights.y, weights.z, weights.w};
            for (int n = 0; n < 4; n++) {
                sums[r][0] = fmaf(of[n], b[n].x, sums[r][0]);
                sums[r][1] = fmaf(of[n], b[n].y, sums[r][1]);
                sums[r][2] = fmaf(of[n], b[n].z, sums[r][2]);
                sums[r][3] = fmaf(of[n], b[n].w, sums[r][3]);
            }
        }
    }
}

/// Writes these sums, times a factor for each row, to the rows that exist.
template <bool VECTOR>
__device__ inline void write_mixed(
    const float (&sums)[8][4], const float (&factors)[8], const Numbers& to, u64 place, int stride, int first, int rows,
    int c, int d) {
    int row = first + threadIdx.x / LANES * 8, channel = c + threadIdx.x % LANES * 4;
    for (int r = 0; r < 8; r++) {
        float x = factors[r];
        float4 four = {sums[r][0] * x, sums[r][1] * x, sums[r][2] * x, sums[r][3] * x};
        to.store<VECTOR>(place + u64(row + r) * stride + channel, four, row + r < rows ? d - channel : 0);
    }
}

template <bool VECTOR>
__device__ void attend(const Attention& p, Tiles& s) {
    int tiles = (p.queries + SIDE - 1) / SIDE;
    Scene scene(p, blockIdx.x / tiles);
    int first = blockIdx.x % tiles * SIDE, d = scene.d;
    int row = threadIdx.x / LANES * 8, lane = threadIdx.x % LANES;
    float scale = 1.f / sqrtf(float(d));
    int last = scene.queries < first + SIDE ? scene.queries : first + SIDE;
    int keys = last > first ? scene.sees(last - 1) : 0;
    if (threadIdx.x < SIDE && p.drop.threshold > 0) s.bits[threadIdx.x] = scene.bits(first + threadIdx.x);
    __syncthreads();
    for (int c = 0; c < d; c += CHUNK) {
        float sums[8][4], most[8], totals[8], inverse[8];
        for (int r = 0; r < 8; r++) {
            most[r] = LOWEST;
            totals[r] = 0.f;
            for (float& sum : sums[r]) sum = 0.f;
        }
        for (int key = 0; key < keys; key += SIDE) {
            Place at;
            float scores[2][4];
            dots<VECTOR>(s, scores, scene.q_rows(p.q), p.q_stride, first, scene.queries, scene.k_rows(), p.kv_stride,
                         key, scene.keys, d);
            for (int i = 0; i < 2; i++)
                for (int j = 0; j < 4; j++) s.p[at.row + 16 * i][at.column + 8 * j] = scores[i][j] * scale;
            lay_rows<VECTOR>(s.b, scene.v_rows(), p.kv_stride, key, scene.keys, c, d);
            __syncthreads();
            // A row belongs to one warp from here on. Sums computed with a smaller maximum are
            // rescaled.
            for (int r = 0; r < 8; r++) {
                bool visible = key + lane < scene.sees(first + row + r);
                float score = visible ? s.p[row + r][lane] : LOWEST;
                float larger = fmaxf(most[r], warp_max(score));
                float weight = visible ? expf(score - larger) : 0.f;
                float shrink = expf(most[r] - larger);
                most[r] = larger;
                totals[r] = totals[r] * shrink + warp_sum(weight);
                for (float& sum : sums[r]) sum *= shrink;
                Bits bits = {0, 0};
                if (p.drop.threshold > 0) bits = s.bits[row + r];
                s.p[row + r][lane] = weight * scene.keep(bits, key + lane);
            }
            __syncwarp();
            add_mixed(s, sums);
            __syncthreads();
        }
        for (int r = 0; r < 8; r++) {
            inverse[r] = totals[r] > 0.f ? 1.f / totals[r] : 0.f;
            int query = first + row + r;
            if (lane == 0 && c == 0 && query < p.queries)
                p.logs[scene.log_at(query)] = totals[r] > 0.f ? most[r] + logf(totals[r]) : 0.f;
        }
        u64 place = scene.query_row * p.width + scene.head * d;
        write_mixed<VECTOR>(sums, inverse, p.out, place, p.width, first, p.queries, c, d);
    }
}

/// What the backward pass needs of 32 queries: the log of each one's sum, the dot product of its output with the
/// gradient there, and the bits of its mask.
template <bool VECTOR>
__device__ inline void lay_queries(const Attention& p, const Scene& scene, Tiles& s, int first) {
    int row = threadIdx.x / LANES * 8, lane = threadIdx.x % LANES, d = scene.d;
#pragma unroll 1
    for (int r = row; r < row + 8; r++) {
        int query = first + r;
        float delta = 0.f;
        if (query < scene.queries)
#pragma unroll 1
            for (int e = 4 * lane; e < d; e += 4 * LANES) {
                u64 at = (scene.query_row + query) * p.width + scene.head * d + e;
                delta = add_dot(delta, load4<VECTOR>(p.dout + at, d - e), p.out.load<VECTOR>(at, d - e));
            }
        delta = warp_sum(delta);
        if (lane == 0) {
            s.deltas[r] = delta;
            s.logs[r] = query < scene.queries ? p.logs[scene.log_at(query)] : 0.f;
            if (p.drop.threshold > 0) s.bits[r] = scene.bits(query);
        }
    }
}

/// dq of 32 queries.
template <bool VECTOR>
__device__ void back_to_queries(const Attention& p, const Scene& scene, Tiles& s, int first) {
    int d = scene.d;
    float scale = 1.f / sqrtf(float(d));
    int last = scene.queries < first + SIDE ? scene.queries : first + SIDE;
    int keys = last > first ? scene.sees(last - 1) : 0;
    lay_queries<VECTOR>(p, scene, s, first);
    __syncthreads();
    for (int c = 0; c < d; c += CHUNK) {
        float sums[8][4], ones[8];
        for (int r = 0; r < 8; r++) {
            ones[r] = 1.f;
            for (float& sum : sums[r]) sum = 0.f;
        }
        for (int key = 0; key < keys; key += SIDE) {
            Place at;
            float scores[2][4], slopes[2][4];
            dots<VECTOR>(s, scores, scene.q_rows(p.q), p.q_stride, first, scene.queries, scene.k_rows(), p.kv_stride,
                         key, scene.keys, d);
            dots<VECTOR>(s, slopes, scene.out_rows(p.dout), p.width, first, scene.queries, scene.v_rows(),
                         p.kv_stride, key, scene.keys, d);
            for (int i = 0; i < 2; i++)
                for (int j = 0; j < 4; j++) {
                    int r = at.row + 16 * i, k = at.column + 8 * j;
                    float ds = 0.f;
                    if (key + k < scene.sees(first + r)) {
                        Bits bits = {0, 0};
                        if (p.drop.threshold > 0) bits = s.bits[r];
                        float weight = expf(scores[i][j] * scale - s.logs[r]);
                        ds = weight * (scene.keep(bits, key + k) * slopes[i][j] - s.deltas[r]) * scale;
                    }
                    s.p[r][k] = ds;
                }
            lay_rows<VECTOR>(s.b, scene.k_rows(), p.kv_stride, key, scene.keys, c, d);
            __syncthreads();
            add_mixed(s, sums);
            __syncthreads();
        }
        u64 place = scene.query_row * p.q_stride + scene.head * d;
        write_mixed<VECTOR>(sums, ones, p.dq, place, p.q_stride, first, p.queries, c, d);
    }
}

/// dk and dv of 32 keys.
template <bool VECTOR>
__device__ void back_to_keys(const Attention& p, const Scene& scene, Tiles& s, int first) {
    int d = scene.d;
    float scale = 1.f / sqrtf(float(d));
    int from = scene.first_that_sees(first) / SIDE * SIDE;
    for (int c = 0; c < d; c += CHUNK) {
        float dk[8][4], dv[8][4], ones[8];
        for (int r = 0; r < 8; r++) {
            ones[r] = 1.f;
            for (int n = 0; n < 4; n++) dk[r][n] = dv[r][n] = 0.f;
        }
        for (int query = from; query < scene.queries; query += SIDE) {
            lay_queries<VECTOR>(p, scene, s, query);
            Place at;
            float scores[2][4], slopes[2][4];
            dots<VECTOR>(s, scores, scene.k_rows(), p.kv_stride, first, scene.keys, scene.q_rows(p.q), p.q_stride,
                         query, scene.queries, d);
            dots<VECTOR>(s, slopes, scene.v_rows(), p.kv_stride, first, scene.keys, scene.out_rows(p.dout), p.width,
                         query, scene.queries, d);
            // First the masked probabilities, for dv; the slopes become ds, for dk.
            for (int i = 0; i < 2; i++)
                for (int j = 0; j < 4; j++) {
                    int key = at.row + 16 * i, q = at.column + 8 * j;
                    float weight = 0.f, ds = 0.f;
                    if (first + key < scene.sees(query + q)) {
                        Bits bits = {0, 0};
                        if (p.drop.threshold > 0) bits = s.bits[q];
                        float keep = scene.keep(bits, first + key);
                        weight = expf(scores[i][j] * scale - s.logs[q]);
                        ds = weight * (keep * slopes[i][j] - s.deltas[q]) * scale;
                        weight *= keep;
                    }
                    s.p[key][q] = weight;
                    slopes[i][j] = ds;
                }
            lay_rows<VECTOR>(s.b, scene.out_rows(p.dout), p.width, query, scene.queries, c, d);
            __syncthreads();
            add_mixed(s, dv);
            __syncthreads();
            for (int i = 0; i < 2; i++)
                for (int j = 0; j < 4; j++) s.p[at.row + 16 * i][at.column + 8 * j] = slopes[i][j];
            lay_rows<VECTOR>(s.b, scene.q_rows(p.q), p.q_stride, query, scene.queries, c, d);
            __syncthreads();
            add_mixed(s, dk);
            __syncthreads();
        }
        u64 place = scene.key_row * p.kv_stride + scene.head * d;
        write_mixed<VECTOR>(dk, ones, p.dkv, place, p.kv_stride, first, p.keys, c, d);
        write_mixed<VECTOR>(dv, ones, p.dkv, place + p.width, p.kv_stride, first, p.keys, c, d);
    }
}

/// The gradients of queries, keys and values. A head has some blocks for its queries, then some for its keys.
template <bool VECTOR>
__device__ void back(const Attention& p, Tiles& s) {
    int of_queries = (p.queries + SIDE - 1) / SIDE, of_keys = (p.keys + SIDE - 1) / SIDE;
    Scene scene(p, blockIdx.x / (of_queries + of_keys));
    int block = blockIdx.x % (of_queries + of_keys);
    if (block < of_queries)
        back_to_queries<VECTOR>(p, scene, s, block * SIDE);
    else
        back_to_keys<VECTOR>(p, scene, s, (block - of_queries) * SIDE);
}

/// Whether four channels of a head can be read at once.
__device__ inline bool is_aligned(const Attention& p) {
    u64 addresses = u64(p.q) | u64(p.kv) | u64(p.out.at) | u64(p.dout) | u64(p.dq.at) | u64(p.dkv.at);
    return addresses % 16 == 0 && (p.width | p.width / p.heads | p.q_stride | p.kv_stride) % 4 == 0;
}

// The whole grid takes one way.
#define ATTENTION(name, of)                                                                                        \
    extern "C" __global__ void __launch_bounds__(THREADS, 2) name(Attention p) {                                   \
        SHARED(Tiles, s);                                                                                          \
        if (is_aligned(p))                                                                                         \
            of<true>(p, s);                                                                                        \
        else                                                                                                       \
            of<false>(p, s);                                                                                       \
    }                                                                                                              \
    EXPORT(name)

ATTENTION(attention, attend)
ATTENTION(attention_backward, back)
