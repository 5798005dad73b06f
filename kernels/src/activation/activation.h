// The activations and their slopes, in the epilogue of a product.
#pragma once
#include "../device/device.h"

enum Activation { RELU = 0, GELU = 1 };

/// Phi(x), by the complementary error function, which keeps its relative precision in the tail.
__device__ inline float normal_distribution(float x) { return 0.5f * erfcf(-0.70710678f * x); }

__device__ inline float activate(int activation, float x) {
    return activation == RELU ? fmaxf(x, 0.f) : x * normal_distribution(x);
}

/// f'(x). ReLU's is read off its output, so `x` is the output there.
__device__ inline float slope(int activation, float x) {
    if (activation == RELU) return x > 0.f ? 1.f : 0.f;
    return normal_distribution(x) + x * 0.39894228f * expf(-0.5f * x * x);
}
