// What all kernels share. nvcc compiles them for a GPU; g++, with RTG_EMULATED, for tests without one.
//
// Every kernel takes one plain struct by value, which mirrors a Rust struct next to its launch.
// Four numbers are read at once where every row begins at 16 bytes, which is so if widths are multiples of four;
// other rows have a kernel, or a way through one, of their own. Shared memory is static and below 48 KB, so no launch
// has to request more. Blocks have one dimension; grids put what can be large into x, whose limit is 2^31.
// Warps are never split: every lane reaches every shuffle.
#pragma once
#ifdef RTG_EMULATED
#include "emulator/emulator.h"
#else
#define SHARED(type, name) __shared__ type name
#define EXPORT(kernel)
#endif

typedef unsigned int u32;
typedef unsigned long long u64;
#ifndef RTG_EMULATED
#include "matrix.h"
#endif

constexpr u32 ALL_LANES = 0xffffffffu;
constexpr int LANES = 32;
/// Threads of every block but those of the sums over all parameters.
constexpr int THREADS = 128;
constexpr int WARPS = THREADS / LANES;

/// How many batches of the uploaded queue are done: all that a replayed graph needs to know.
struct Clock {
    u32 part;
};

/// The rows of a matrix of tokens that an op works on: row r is token row stride r + offset.
///
/// A window has 3 K token rows, its valid tokens first: return-to-go, observation, action of each step. So all tokens
/// are (1, 0) and the observations, for one, (3, 1).
struct Rows {
    int stride, offset;
    __device__ int token_row(int row) const { return stride * row + offset; }
};

/// Four numbers at an address of 16 bytes; or, without VECTOR, the first `count` of four at any address, then zeros.
template <bool VECTOR>
__device__ inline float4 load4(const float* from, int count) {
    if (VECTOR) return count > 0 ? *reinterpret_cast<const float4*>(from) : float4{0.f, 0.f, 0.f, 0.f};
    float x = count > 0 ? from[0] : 0.f, y = count > 1 ? from[1] : 0.f;
    return {x, y, count > 2 ? from[2] : 0.f, count > 3 ? from[3] : 0.f};
}

/// Stores what `load4` loads.
template <bool VECTOR>
__device__ inline void store4(float* to, float4 x, int count) {
    if (VECTOR) {
        if (count > 0) *reinterpret_cast<float4*>(to) = x;
        return;
    }
    if (count > 0) to[0] = x.x;
    if (count > 1) to[1] = x.y;
    if (count > 2) to[2] = x.z;
    if (count > 3) to[3] = x.w;
}

__device__ inline float warp_sum(float x) {
    for (int by = LANES / 2; by > 0; by /= 2) x += __shfl_xor_sync(ALL_LANES, x, by);
    return x;
}

__device__ inline float warp_max(float x) {
    for (int by = LANES / 2; by > 0; by /= 2) x = fmaxf(x, __shfl_xor_sync(ALL_LANES, x, by));
    return x;
}

/// The sum over the block, for every thread, in one order. `parts` has a place for each thread.
template <int COUNT, class T>
__device__ T block_sum(T x, T (&parts)[COUNT]) {
    parts[threadIdx.x] = x;
    __syncthreads();
    for (int half = COUNT / 2; half > 0; half /= 2) {
        if (int(threadIdx.x) < half) parts[threadIdx.x] += parts[threadIdx.x + half];
        __syncthreads();
    }
    T sum = parts[0];
    // No thread may write the next sum's parts before all have read this one.
    __syncthreads();
    return sum;
}
