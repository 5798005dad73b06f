// What all kernels share. nvcc compiles them for a GPU; g++, with RTG_EMULATED, for tests without one.
//
// Every kernel takes one plain struct by value, which mirrors a Rust struct next to its launch.
// Numbers are read one by one, never as vectors: parameters may be anywhere in the flat buffer, so
// wider loads would be misaligned. Shared memory is static and below 48 KB, so no launch has to
// request more. Blocks have one dimension; grids put what can be large into x, whose limit is 2^31.
// Warps are never split: every lane reaches every shuffle.
#pragma once
#ifdef RTG_EMULATED
#include "emulator/emulator.h"
#else
#include <cuda_bf16.h>
#include <mma.h>
#define SHARED(type, name) __shared__ type name
#define EXPORT(kernel)
#endif

typedef unsigned int u32;
typedef unsigned long long u64;

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
