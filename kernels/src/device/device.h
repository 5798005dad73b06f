// What all kernels share. nvcc compiles them for a GPU; g++, with RTG_EMULATED, for tests without one.
//
// Every kernel takes one plain struct by value, which mirrors a Rust struct next to its launch.
// Four numbers are read at once where every row begins at 16 bytes, which is so if widths are multiples of four;
// other rows have a kernel, or a way through one, of their own. Shared memory is static and below 48 KB, or dynamic
// and below the 99 KB of the devices that have the least. Blocks have one dimension; grids put what can be large into
// x, whose limit is 2^31.
// Warps are never split: every lane reaches every shuffle.
#pragma once
#ifdef RTG_EMULATED
#include "emulator/emulator.h"
#else
#define SHARED(type, name) __shared__ type name
#define DYNAMIC_SHARED(type, name)                                                                                 \
    extern __shared__ __align__(16) unsigned char shared_bytes[];                                                  \
    type& name = *reinterpret_cast<type*>(shared_bytes)
#define EXPORT(kernel)
#endif

typedef unsigned int u32;
typedef unsigned long long u64;
#ifndef RTG_EMULATED
#include "copies.h"
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

/// A number as bfloat16: the upper half of an f32.
typedef unsigned short Half;

__device__ inline float low_half(u32 two) { return __uint_as_float(two << 16); }
__device__ inline float high_half(u32 two) { return __uint_as_float(two & 0xffff0000u); }

/// The same of numbers in bfloat16, at an address of 8 bytes, or at any.
template <bool VECTOR>
__device__ inline float4 load4(const Half* from, int count) {
    if (VECTOR) {
        uint2 four = count > 0 ? *reinterpret_cast<const uint2*>(from) : uint2{0, 0};
        return {low_half(four.x), high_half(four.x), low_half(four.y), high_half(four.y)};
    }
    u32 x = count > 0 ? from[0] : 0, y = count > 1 ? from[1] : 0;
    u32 z = count > 2 ? from[2] : 0, w = count > 3 ? from[3] : 0;
    return {low_half(x), low_half(y), low_half(z), low_half(w)};
}
template <bool VECTOR>
__device__ inline void store4(Half* to, float4 x, int count) {
    uint2 four = {pack_bf16(x.x, x.y), pack_bf16(x.z, x.w)};
    if (VECTOR) {
        if (count > 0) *reinterpret_cast<uint2*>(to) = four;
        return;
    }
    if (count > 0) to[0] = Half(four.x);
    if (count > 1) to[1] = Half(four.x >> 16);
    if (count > 2) to[2] = Half(four.y);
    if (count > 3) to[3] = Half(four.y >> 16);
}

/// Numbers in memory, as f32 or as bfloat16.
struct Numbers {
    float* at;
    int are_halves;

    template <bool VECTOR>
    __device__ float4 load(u64 place, int count) const {
        if (are_halves) return load4<VECTOR>(reinterpret_cast<const Half*>(at) + place, count);
        return load4<VECTOR>(at + place, count);
    }
    template <bool VECTOR>
    __device__ void store(u64 place, float4 x, int count) const {
        if (are_halves)
            store4<VECTOR>(reinterpret_cast<Half*>(at) + place, x, count);
        else
            store4<VECTOR>(at + place, x, count);
    }
};

/// The sums of some numbers over the warp, for every lane.
template <int COUNT>
__device__ inline void warp_sums(float (&x)[COUNT]) {
    for (int by = LANES / 2; by > 0; by /= 2)
        for (float& sum : x) sum += __shfl_xor_sync(ALL_LANES, sum, by);
}

__device__ inline float warp_sum(float x) {
    float sums[1] = {x};
    warp_sums(sums);
    return sums[0];
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
