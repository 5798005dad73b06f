// Functions of CUDA's mathematics that differ from the C library's.
//
// CUDA documents errors of at most 1 ulp for expf and logf, 2 for erfcf and tanhf beyond those of a correctly rounded
// result; the C library's are below 1. RTG_EMULATED_ULPS=SEED moves each result by -2 to 2 units in the last place,
// always by the same for the same argument, so that a test that only passes with this machine's library fails.
#pragma once
#include <cmath>
#include <cstdint>
#include <cstring>

namespace emulator {

#ifdef RTG_EMULATED_ULPS
/// `result` with an error that depends on the argument.
inline float inexact(float result, float argument) {
    uint32_t bits, from;
    std::memcpy(&from, &argument, sizeof from);
    std::memcpy(&bits, &result, sizeof bits);
    bool small = (bits & 0x7f800000u) == 0, infinite = (bits & 0x7f800000u) == 0x7f800000u;
    if (small || infinite) return result;
    uint64_t hash = (uint64_t(from) + uint64_t(RTG_EMULATED_ULPS) * 0x9e3779b9u + 1) * 0xbf58476d1ce4e5b9u;
    bits += uint32_t((hash >> 40) % 5) - 2;
    std::memcpy(&result, &bits, sizeof bits);
    return result;
}
#else
inline float inexact(float result, float) { return result; }
#endif

inline float exponential(float x) { return inexact(::expf(x), x); }
inline float logarithm(float x) { return inexact(::logf(x), x); }
inline float complement_of_error_function(float x) { return inexact(::erfcf(x), x); }
inline float hyperbolic_tangent(float x) { return inexact(::tanhf(x), x); }

}  // namespace emulator

#define expf emulator::exponential
#define logf emulator::logarithm
#define erfcf emulator::complement_of_error_function
#define tanhf emulator::hyperbolic_tangent
