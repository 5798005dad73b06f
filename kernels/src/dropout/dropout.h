// Dropout's masks: the same function of key, site, window, token and channel as in `cpu.rs`, bit by bit.
#pragma once
#include "../device/device.h"

/// One site. A threshold of zero drops nothing, and `scale` is one then.
struct Drop {
    /// The key of each batch of the queue.
    const u64* keys;
    const Clock* clock;
    /// B: the first valid step of each window, in padded coordinates.
    const int* first_steps;
    u64 site;
    u32 threshold;
    float scale;
    /// Token rows of a window: 3 K.
    int tokens;
};

/// The random bits of one token at one site.
struct Bits {
    u32 before, between;
};

__device__ inline u64 mix(u64 x) {
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
    return x ^ (x >> 31);
}

__device__ inline Bits bits_of(const Drop& drop, u64 site, int window, int token) {
    u64 step = mix(mix(drop.keys[drop.clock->part]) + site);
    u64 bits = mix(step ^ (u64(u32(window)) << 32 | u64(u32(token))));
    return {u32(bits), u32(bits >> 32)};
}

/// The bits of a token row, among a window's valid tokens or after them.
__device__ inline Bits bits_of_row(const Drop& drop, int token_row) {
    int window = token_row / drop.tokens;
    return bits_of(drop, drop.site, window, 3 * drop.first_steps[window] + token_row % drop.tokens);
}

/// 0 where dropped, else 1 / (1 - p).
__device__ inline float mask(const Drop& drop, Bits bits, u32 channel) {
    u32 x = bits.before + channel * 0x9e3779b9u;
    x = ((x ^ (x >> 16)) * 0x7feb352du) ^ bits.between;
    x = (x ^ (x >> 15)) * 0x846ca68bu;
    x ^= x >> 16;
    return x >= drop.threshold ? drop.scale : 0.f;
}
