// Runs CUDA C on the CPU, for tests without a GPU. The kernels include this instead of CUDA's
// headers.
//
// Every thread of a block is a fiber (fiber.h). They run one after the other, in order or in reverse, each to its
// next barrier (block.h), and a warp as far as it can before the next one; so a barrier that is missing shows as another
// result in one of the two orders. A barrier that only some threads reach is found, with its line; so are threads at two
// different barriers. Asynchronous copies (copies.h) are as late as they may be, or in reverse as early. Shared memory is
// full of NaN when a block begins, each object in an allocation of its own, so that AddressSanitizer sees overruns.
// Lanes of a warp exchange values (warp.h) and multiply matrices (matrix.h) together. There are no atomics: kernels
// here add up in a fixed order, so that a step gives the same bits again.
//
// What it does not show: races between blocks beyond the two orders, memory access patterns, time.
#pragma once
#include "block.h"
#include "copies.h"
#include "math.h"
#include "matrix.h"
#include "warp.h"

#define __global__
#define __device__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __align__(bytes) __attribute__((aligned(bytes)))

#define threadIdx (dim3{emulator::running->current, 0, 0})
#define blockIdx (emulator::running->index)
#define gridDim (emulator::running->grid)
#define __syncthreads() emulator::block_barrier(__LINE__)
#define __syncwarp() emulator::warp_barrier(__LINE__)
#define __shfl_xor_sync(mask, value, by) emulator::shuffle_xor(mask, value, by, __LINE__)
#define __ballot_sync(mask, vote) emulator::ballot(mask, vote, __LINE__)

/// A shared object of a kernel.
#define SHARED(type, name) type& name = emulator::shared<type>()
#define DYNAMIC_SHARED(type, name) type& name = emulator::shared<type>(true)

/// Makes a kernel callable from outside; see `emulated.rs`.
#define EXPORT(kernel)                                                                                            \
    extern "C" const char* emulated_##kernel(                                                                     \
        const unsigned* grid, unsigned threads, unsigned dynamic_bytes, const void* parameters,                   \
        unsigned long bytes, bool reversed) {                                                                     \
        return emulator::launch(kernel, grid, threads, dynamic_bytes, parameters, bytes, reversed);               \
    }

inline float __uint_as_float(unsigned bits) { return emulator::float_of_bits(bits); }
inline int __ffs(int bits) { return __builtin_ffs(bits); }

struct __attribute__((aligned(16))) float4 {
    float x, y, z, w;
};

struct __attribute__((aligned(8))) float2 {
    float x, y;
};

struct __attribute__((aligned(8))) uint2 {
    unsigned x, y;
};

struct __attribute__((aligned(16))) uint4 {
    unsigned x, y, z, w;
};
