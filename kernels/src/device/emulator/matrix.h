// The instructions of ../matrix.h, with each element in the lane that the PTX ISA gives it to.
//
// A tensor core multiplies exactly, adds the products of one instruction to the accumulator with more bits than f32
// has, and cuts the sum off: each instruction is off by up to one unit in the last place, always towards zero
// (Fasi, Higham, Mikaitis, Pranesh, Numerical behavior of NVIDIA tensor cores, 2021). So long sums are biased here, too.
#pragma once
#include "warp.h"
#include <cmath>

namespace emulator {

inline uint32_t bits_of_float(float value) {
    uint32_t bits;
    std::memcpy(&bits, &value, sizeof bits);
    return bits;
}

inline float float_of_bits(uint32_t bits) {
    float value;
    std::memcpy(&value, &bits, sizeof value);
    return value;
}

inline uint32_t bf16(float value) {
    uint32_t wide = bits_of_float(value);
    if (value != value) return 0x7fff;
    return (wide + 0x7fffu + ((wide >> 16) & 1u)) >> 16;
}

/// The f32 next to `value` towards zero.
inline float cut_off(double value) {
    float nearest = float(value);
    return std::fabs(double(nearest)) > std::fabs(value) ? std::nextafter(nearest, 0.f) : nearest;
}

/// Word `word` of a row of a matrix whose rows the lanes gave.
inline uint32_t word_of(unsigned owner, unsigned word) {
    uint32_t found;
    std::memcpy(&found, static_cast<const char*>(published<const void*>(owner)) + 4 * word, sizeof found);
    return found;
}

inline void check_row(const void* row) {
    if (reinterpret_cast<uintptr_t>(row) % 16 != 0) fail("a row of a matrix does not begin at 16 bytes");
}

/// The factors of a lane.
struct Factors {
    uint32_t a[4], b[2];
};

/// sums += a b, where the lane that has element (row, k) of A, and (k, column) of B, is known from `left` and `right`.
template <int DEPTH, class Left, class Right>
void multiply(float (&sums)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1, int line, Left left, Right right) {
    Factors mine = {{a[0], a[1], a[2], a[3]}, {b0, b1}};
    exchange(ALL_LANES, mine, line, [&] {
        unsigned lane = running->current % WARP;
        for (unsigned i = 0; i < 4; i++) {
            unsigned row = lane / 4 + i / 2 * 8, column = lane % 4 * 2 + i % 2;
            double sum = sums[i];
            for (unsigned k = 0; k < DEPTH; k++) sum += double(left(row, k)) * double(right(k, column));
            sums[i] = cut_off(sum);
        }
        return 0;
    });
}

}  // namespace emulator

inline uint32_t pack_bf16(float low, float high) { return emulator::bf16(high) << 16 | emulator::bf16(low); }

inline uint32_t round_tf32(float value) {
    uint32_t bits = emulator::bits_of_float(value);
    return (bits & 0x7f800000u) != 0x7f800000u ? (bits + 0x1000u) & ~0x1fffu : bits;
}

inline void load_matrices(uint32_t (&to)[4], const void* row) {
    emulator::check_row(row);
    emulator::exchange(emulator::ALL_LANES, row, __LINE__, [&] {
        unsigned lane = emulator::running->current % emulator::WARP;
        for (unsigned i = 0; i < 4; i++) to[i] = emulator::word_of(8 * i + lane / 4, lane % 4);
        return 0;
    });
}

inline void load_transposed(uint32_t (&to)[4], const void* row) {
    emulator::check_row(row);
    emulator::exchange(emulator::ALL_LANES, row, __LINE__, [&] {
        unsigned lane = emulator::running->current % emulator::WARP;
        // Halves (2 w, r) and (2 w + 1, r), where (r, 2 w) and (r, 2 w + 1) would be.
        unsigned column = lane / 4, shift = column % 2 * 16;
        for (unsigned i = 0; i < 4; i++) {
            unsigned first = emulator::word_of(8 * i + lane % 4 * 2, column / 2) >> shift & 0xffffu;
            unsigned second = emulator::word_of(8 * i + lane % 4 * 2 + 1, column / 2) >> shift & 0xffffu;
            to[i] = second << 16 | first;
        }
        return 0;
    });
}

inline void multiply_bf16(float (&sums)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
    // A word has two neighbours along the depth.
    auto half = [](uint32_t word, unsigned k) {
        return emulator::float_of_bits(k % 2 ? word & 0xffff0000u : word << 16);
    };
    auto left = [&](unsigned row, unsigned k) {
        const auto& owner = emulator::published<emulator::Factors>(row % 8 * 4 + k % 8 / 2);
        return half(owner.a[row / 8 + k / 8 * 2], k);
    };
    auto right = [&](unsigned k, unsigned column) {
        const auto& owner = emulator::published<emulator::Factors>(column * 4 + k % 8 / 2);
        return half(owner.b[k / 8], k);
    };
    emulator::multiply<16>(sums, a, b0, b1, __LINE__, left, right);
}

inline void multiply_tf32(float (&sums)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
    // The hardware does not read the lower bits.
    auto number = [](uint32_t word) { return emulator::float_of_bits(word & ~0x1fffu); };
    auto left = [&](unsigned row, unsigned k) {
        const auto& owner = emulator::published<emulator::Factors>(row % 8 * 4 + k % 4);
        return number(owner.a[row / 8 + k / 4 * 2]);
    };
    auto right = [&](unsigned k, unsigned column) {
        const auto& owner = emulator::published<emulator::Factors>(column * 4 + k % 4);
        return number(owner.b[k / 4]);
    };
    emulator::multiply<8>(sums, a, b0, b1, __LINE__, left, right);
}
