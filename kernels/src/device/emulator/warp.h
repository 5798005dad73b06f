// Operations of all lanes of a warp. A mask must name all lanes: the kernels never split a warp.
#pragma once
#include "block.h"

namespace emulator {

constexpr unsigned ALL_LANES = 0xffffffffu;

/// The thread in lane `lane` of this thread's warp.
inline Thread& lane_of_warp(unsigned lane) { return *running->threads[running->current / WARP * WARP + lane]; }

/// Shows `value` to the warp, and gives what `read` makes of it. No lane continues before all have
/// read.
template <class T, class Read>
auto exchange(unsigned mask, const T& value, int line, Read read) {
    if (mask != ALL_LANES || running->size % WARP != 0) fail("a warp operation without all 32 lanes");
    self().published = &value;
    warp_barrier(line);
    auto found = read();
    warp_barrier(-line);
    return found;
}

template <class T>
const T& published(unsigned lane) {
    return *static_cast<const T*>(lane_of_warp(lane).published);
}

template <class T>
T shuffle_xor(unsigned mask, T value, unsigned by, int line) {
    return exchange(mask, value, line, [&] { return published<T>((running->current % WARP) ^ by); });
}

inline unsigned ballot(unsigned mask, bool vote, int line) {
    return exchange(mask, vote, line, [] {
        unsigned bits = 0;
        for (unsigned lane = 0; lane < WARP; lane++) bits |= unsigned(published<bool>(lane)) << lane;
        return bits;
    });
}

}  // namespace emulator
