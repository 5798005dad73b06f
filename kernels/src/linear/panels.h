// The pieces of the factors that a product has in shared memory: how they are laid out, and how they get there.
//
// A piece is 32 deep and as wide as a block's tile. It is read from memory in quads of four neighbours, rounded, and
// stored while another piece is multiplied. Lines in shared memory are padded so that lanes use different banks
// whenever they store, or read, quads or rows of 16 bytes.
#pragma once
#include "../device/device.h"

constexpr int DEPTH = 32;

/// Exact f32. Its pieces are always depth x tile, so that a thread reads its rows and its columns four at a time.
struct F32 {
    typedef float Type;
    static constexpr bool BY_DEPTH = true;
    static constexpr int pad(bool along) { return along ? 4 : 8; }
    __device__ static void store(float* to, float4 x) { *reinterpret_cast<float4*>(to) = x; }
};

/// TF32 on tensor cores.
struct Tf32 {
    typedef u32 Type;
    static constexpr bool BY_DEPTH = false;
    static constexpr int pad(bool along) { return along ? 4 : 8; }
    __device__ static void store(u32* to, float4 x) {
        *reinterpret_cast<uint4*>(to) = {round_tf32(x.x), round_tf32(x.y), round_tf32(x.z), round_tf32(x.w)};
    }
};

/// bfloat16 on tensor cores.
struct Bf16 {
    typedef unsigned short Type;
    static constexpr bool BY_DEPTH = false;
    static constexpr int pad(bool) { return 8; }
    __device__ static void store(unsigned short* to, float4 x) {
        *reinterpret_cast<uint2*>(to) = {pack_bf16(x.x, x.y), pack_bf16(x.z, x.w)};
    }
};

/// A piece in shared memory. ALONG: the lines of the factor in memory run along the depth.
template <class Factor, int TILE, bool ALONG>
struct Panel {
    static constexpr bool BY_DEPTH = Factor::BY_DEPTH || !ALONG;
    static constexpr int LINES = BY_DEPTH ? DEPTH : TILE, LENGTH = BY_DEPTH ? TILE : DEPTH;
    __align__(16) typename Factor::Type at[LINES][LENGTH + Factor::pad(ALONG)];
};

/// A factor in memory: the lines of a tile, or its columns, begin at `first`; there are `count` of them.
struct Lines {
    const float* base;
    int stride;
    Rows rows;
    int first, count;
};

/// A thread's share of a piece: four quads of one line.
struct Carried {
    float4 quads[4];
};

/// A thread's shares of the pieces of a factor, in turn. VECTOR: rows begin at 16 bytes, and a
/// factor whose lines do not run along the depth has whole tiles.
template <class Factor, int TILE, int BLOCK, bool ALONG, bool VECTOR>
struct Share {
    static constexpr int LINES = ALONG ? TILE : DEPTH, SHARERS = BLOCK / LINES;
    /// Whether lines become columns as they are stored.
    static constexpr bool TURNED = Factor::BY_DEPTH && ALONG;
    const float* from;
    u64 advance;
    /// Numbers, or lines, of the tile that exist.
    int existing;

    /// Lanes that store at the same time have lines apart, whose banks differ.
    __device__ static int line() {
        constexpr int GROUP = SHARERS == 8 ? 2 : 4;
        int i = threadIdx.x / SHARERS;
        return i / 8 * 8 + i % GROUP * (8 / GROUP) + i % 8 / GROUP;
    }
    __device__ static int column(int i) { return (threadIdx.x % SHARERS + i * SHARERS) * 4; }

    __device__ Share(const Lines& lines, int start) : existing(lines.count - lines.first) {
        int row = (ALONG ? lines.first : start) + line(), place = (ALONG ? start : lines.first) + column(0);
        // A line after the last is read as the last: nothing that is computed of it is stored.
        if (VECTOR && ALONG) row = row < lines.count ? row : lines.count - 1;
        from = lines.base + u64(lines.rows.token_row(row)) * lines.stride + place;
        advance = ALONG ? DEPTH : u64(lines.rows.stride) * DEPTH * lines.stride;
    }

    /// Reads the next piece, of which `depth` lines or columns exist.
    __device__ void load_part(Carried& to, int depth) {
        bool is_inside = ALONG ? VECTOR || line() < existing : line() < depth;
#pragma unroll
        for (int i = 0; i < 4; i++) {
            int count = ALONG ? depth - column(i) : VECTOR ? 4 : existing - column(i);
            to.quads[i] = load4<VECTOR>(from + (column(i) - column(0)), is_inside ? count : 0);
        }
        from += advance;
    }

    /// Reads the next piece, which is whole, with VECTOR.
    __device__ void load(Carried& to) {
#pragma unroll
        for (int i = 0; i < 4; i++) to.quads[i] = *reinterpret_cast<const float4*>(from + (column(i) - column(0)));
        from += advance;
    }

    __device__ static void store(const Carried& carried, Panel<Factor, TILE, ALONG>& to) {
#pragma unroll
        for (int i = 0; i < 4; i++) {
            float4 x = carried.quads[i];
            if constexpr (TURNED) {
                to.at[column(i)][line()] = x.x;
                to.at[column(i) + 1][line()] = x.y;
                to.at[column(i) + 2][line()] = x.z;
                to.at[column(i) + 3][line()] = x.w;
            } else {
                Factor::store(&to.at[line()][column(i)], x);
            }
        }
    }
};
