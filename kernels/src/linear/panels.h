// The pieces of the factors that a product has in shared memory: how they are laid out, and how they get there.
//
// A piece is 32 deep and as wide as a block's tile. Floats are read from memory in quads of four neighbours, rounded,
// and stored while another piece is multiplied; halves are copied 16 bytes at a time, some pieces ahead. Lines in
// shared memory are padded so that lanes use different banks whenever they store, or read, quads or rows of 16 bytes.
#pragma once
#include "../device/device.h"

constexpr int DEPTH = 32;

/// The tile of a result that a block computes, by two rows of warps. Factors that are copied asynchronously have
/// several pieces in shared memory.
template <int ROWS_, int COLUMNS_, int STAGES_>
struct Tile {
    static constexpr int ROWS = ROWS_, COLUMNS = COLUMNS_, STAGES = STAGES_;
    static constexpr int BLOCK = 2 * ROWS, WARP_ROWS = ROWS / 2, WARP_COLUMNS = COLUMNS / (BLOCK / LANES / 2);
};
typedef Tile<64, 64, 4> Small;
/// With dynamic shared memory.
typedef Tile<128, 128, 4> Large;
typedef Tile<128, 256, 3> Wide;

/// How the numbers of a factor of floats are in memory: what a thread loads at once, and how often for its share of a
/// piece.
struct InFloats {
    static constexpr bool ASYNC = false;
    typedef float Number;
    typedef float4 Load;
    static constexpr int WIDE = 4, LOADS = 4;
    template <bool VECTOR>
    __device__ static float4 load(const float* from, int count) {
        return load4<VECTOR>(from, count);
    }
};
/// Exact f32. Its pieces are always depth x tile, so that a thread reads its rows and its columns four at a time.
struct F32 : InFloats {
    typedef float Type;
    static constexpr bool BY_DEPTH = true;
    static constexpr int pad(bool along) { return along ? 4 : 8; }
    __device__ static void store(float* to, float4 x) { *reinterpret_cast<float4*>(to) = x; }
};

/// TF32 on tensor cores.
struct Tf32 : InFloats {
    typedef u32 Type;
    static constexpr bool BY_DEPTH = false;
    static constexpr int pad(bool along) { return along ? 4 : 8; }
    __device__ static void store(u32* to, float4 x) {
        *reinterpret_cast<uint4*>(to) = {round_tf32(x.x), round_tf32(x.y), round_tf32(x.z), round_tf32(x.w)};
    }
};

/// bfloat16 on tensor cores, and in memory. Its pieces are copied asynchronously.
struct Bf16 {
    typedef Half Number;
    typedef Half Type;
    static constexpr bool ASYNC = true, BY_DEPTH = false;
    static constexpr int pad(bool) { return 8; }
    __device__ static uint4 load(const Half* from) { return *reinterpret_cast<const uint4*>(from); }
    __device__ static void store(Half* to, uint4 x) { *reinterpret_cast<uint4*>(to) = x; }
};

/// A piece in shared memory. ALONG: the lines of the factor in memory run along the depth.
template <class Factor, int TILE, bool ALONG>
struct Panel {
    static constexpr bool BY_DEPTH = Factor::BY_DEPTH || !ALONG;
    static constexpr int LINES = BY_DEPTH ? DEPTH : TILE, LENGTH = BY_DEPTH ? TILE : DEPTH;
    __align__(16) typename Factor::Type at[LINES][LENGTH + Factor::pad(ALONG)];
};

/// A factor in memory: the lines of a tile, or its columns, begin at `first`; there are `count` of them.
template <class Factor>
struct Lines {
    const typename Factor::Number* base;
    int stride;
    Rows rows;
    int first, count;
};

/// A thread's share of a piece: parts of one line.
template <class Factor>
struct Carried {
    typename Factor::Load loads[Factor::LOADS];
};

/// A thread's shares of the pieces of a factor, in turn. VECTOR: rows begin at 16 bytes, and a
/// factor whose lines do not run along the depth has whole tiles.
template <class Factor, int TILE, int BLOCK, bool ALONG, bool VECTOR>
struct Share {
    static constexpr int LINES = ALONG ? TILE : DEPTH, SHARERS = BLOCK / LINES;
    /// Whether lines become columns as they are stored.
    static constexpr bool TURNED = Factor::BY_DEPTH && ALONG;
    static constexpr int WIDE = Factor::WIDE, LOADS = Factor::LOADS;
    const typename Factor::Number* from;
    u64 advance;
    /// Numbers, or lines, of the tile that exist.
    int existing;

    /// Lanes that store at the same time have lines apart, whose banks differ.
    __device__ static int line() {
        constexpr int GROUP = SHARERS == 8 ? 2 : 4;
        int i = threadIdx.x / SHARERS;
        return i / 8 * 8 + i % GROUP * (8 / GROUP) + i % 8 / GROUP;
    }
    __device__ static int column(int i) { return (threadIdx.x % SHARERS + i * SHARERS) * WIDE; }

    __device__ Share(const Lines<Factor>& lines, int start) : existing(lines.count - lines.first) {
        int row = (ALONG ? lines.first : start) + line(), place = (ALONG ? start : lines.first) + column(0);
        // A line after the last is read as the last: nothing that is computed of it is stored.
        if (VECTOR && ALONG) row = row < lines.count ? row : lines.count - 1;
        from = lines.base + u64(lines.rows.token_row(row)) * lines.stride + place;
        advance = ALONG ? DEPTH : u64(lines.rows.stride) * DEPTH * lines.stride;
    }

    /// Reads the next piece, of which `depth` lines or columns exist.
    __device__ void load_part(Carried<Factor>& to, int depth) {
        bool is_inside = ALONG ? VECTOR || line() < existing : line() < depth;
#pragma unroll
        for (int i = 0; i < LOADS; i++) {
            int count = ALONG ? depth - column(i) : VECTOR ? WIDE : existing - column(i);
            to.loads[i] = Factor::template load<VECTOR>(from + (column(i) - column(0)), is_inside ? count : 0);
        }
        from += advance;
    }

    /// Reads the next piece, which is whole, with VECTOR.
    __device__ void load(Carried<Factor>& to) {
#pragma unroll
        for (int i = 0; i < LOADS; i++)
            to.loads[i] = *reinterpret_cast<const typename Factor::Load*>(from + (column(i) - column(0)));
        from += advance;
    }

    __device__ static void store(const Carried<Factor>& carried, Panel<Factor, TILE, ALONG>& to) {
#pragma unroll
        for (int i = 0; i < LOADS; i++) {
            typename Factor::Load x = carried.loads[i];
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

/// A thread's part of the pieces of a factor in bfloat16, in turn: some lines of eight neighbours. A factor whose lines
/// do not run along the depth has whole tiles.
template <int TILE, int BLOCK, bool ALONG>
struct Copies {
    static constexpr int LINES = ALONG ? TILE : DEPTH, PARTS = (ALONG ? DEPTH : TILE) / 8;
    static constexpr int COUNT = LINES * PARTS / BLOCK;
    const Half* from;
    u64 advance;
    int offsets[COUNT];

    /// Lanes that store at the same time have lines apart, whose banks differ.
    __device__ static int line(int i) {
        int line = (threadIdx.x + i * BLOCK) / PARTS;
        return ALONG ? line / 8 * 8 + line % 2 * 4 + line % 8 / 2 : line;
    }
    __device__ static int column() { return threadIdx.x % PARTS * 8; }

    __device__ Copies(const Lines<Bf16>& lines, int start) {
        int row = ALONG ? lines.first : start, place = (ALONG ? start : lines.first) + column();
        from = lines.base + u64(lines.rows.token_row(row)) * lines.stride + place;
        advance = ALONG ? DEPTH : u64(lines.rows.stride) * DEPTH * lines.stride;
        for (int i = 0; i < COUNT; i++) {
            // A line after the last is read as the last: nothing that is computed of it is stored.
            int existing = ALONG && row + line(i) >= lines.count ? lines.count - 1 - row : line(i);
            offsets[i] = existing * lines.rows.stride * lines.stride;
        }
    }

    /// Copies the next piece, of which `depth` lines or columns exist; the others are zero.
    __device__ void copy(Panel<Bf16, TILE, ALONG>& to, int depth) {
#pragma unroll
        for (int i = 0; i < COUNT; i++)
            copy_async(&to.at[line(i)][column()], from + offsets[i], (ALONG ? column() : line(i)) < depth);
        from += advance;
    }
};
