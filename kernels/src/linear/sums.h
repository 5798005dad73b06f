// The sums of a block: which thread has which elements of the tile, and how a piece is added to them.
#pragma once
#include "panels.h"

/// Of 16 x 8 sums a lane has two neighbours in each of two rows; it exchanges two with the lane beside it, and has four
/// neighbours of row lane / 4, or of the eighth row after it if the lane is odd.
__device__ inline float4 neighbours(const float (&x)[4]) {
    bool odd = threadIdx.x % 2 == 1;
    float first = __shfl_xor_sync(ALL_LANES, odd ? x[0] : x[2], 1);
    float second = __shfl_xor_sync(ALL_LANES, odd ? x[1] : x[3], 1);
    return odd ? float4{first, second, x[2], x[3]} : float4{x[0], x[1], first, second};
}

/// On tensor cores: tiles of 16 x 8, rows and columns of which a warp has.
template <class Factor, class Tile, bool ALONG_A, bool ALONG_B>
struct Sums {
    static constexpr int BLOCK = Tile::BLOCK, ROWS = Tile::WARP_ROWS / 16, COLUMNS = Tile::WARP_COLUMNS / 8;
    /// A round of the epilogue is four quads of each thread, in neighbouring columns.
    static constexpr int GROUPS = COLUMNS / 4, ROUNDS = ROWS * GROUPS;
    /// The depth of an instruction; and numbers in 16 bytes, half of it.
    static constexpr int HALF = 16 / sizeof(typename Factor::Type), STEP = 2 * HALF;
    static constexpr bool HALVES = sizeof(typename Factor::Type) == 2;
    typedef Panel<Factor, Tile::ROWS, ALONG_A> A;
    typedef Panel<Factor, Tile::COLUMNS, ALONG_B> B;
    float parts[ROUNDS][4][4];

    static constexpr int ACROSS = Tile::COLUMNS / Tile::WARP_COLUMNS;
    __device__ static int warp_row() { return threadIdx.x / LANES / ACROSS * Tile::WARP_ROWS; }
    __device__ static int warp_column() { return threadIdx.x / LANES % ACROSS * Tile::WARP_COLUMNS; }

    __device__ void clear() {
        for (auto& round : parts)
            for (auto& part : round)
                for (float& x : part) x = 0.f;
    }

    /// Elements m.. x k.. of A.
    __device__ static void load_a(u32 (&a)[4], const A& piece, int m, int k) {
        int lane = threadIdx.x % LANES;
        if constexpr (ALONG_A) {
            load_matrices(a, &piece.at[m + lane % 16][k + lane / 16 * HALF]);
        } else if constexpr (HALVES) {
            load_transposed(a, &piece.at[k + lane / 16 * 8 + lane % 8][m + lane / 8 % 2 * 8]);
        } else {
            m += lane / 4;
            k += lane % 4;
            for (int i = 0; i < 4; i++) a[i] = piece.at[k + i / 2 * 4][m + i % 2 * 8];
        }
    }

    /// Elements k.. x n.. of B, for two instructions.
    __device__ static void load_b(u32 (&b)[4], const B& piece, int k, int n) {
        int lane = threadIdx.x % LANES;
        if constexpr (ALONG_B) {
            load_matrices(b, &piece.at[n + lane / 16 * 8 + lane % 8][k + lane / 8 % 2 * HALF]);
        } else if constexpr (HALVES) {
            load_transposed(b, &piece.at[k + lane % 16][n + lane / 16 * 8]);
        } else {
            n += lane / 4;
            k += lane % 4;
            for (int i = 0; i < 4; i++) b[i] = piece.at[k + i % 2 * 4][n + i / 2 * 8];
        }
    }

    __device__ void add(const A& a_piece, const B& b_piece) {
#pragma unroll
        for (int k = 0; k < DEPTH; k += STEP) {
            u32 a[ROWS][4], b[COLUMNS / 2][4];
#pragma unroll
            for (int i = 0; i < ROWS; i++) load_a(a[i], a_piece, warp_row() + 16 * i, k);
#pragma unroll
            for (int j = 0; j < COLUMNS / 2; j++) load_b(b[j], b_piece, k, warp_column() + 16 * j);
#pragma unroll
            for (int i = 0; i < ROWS; i++)
#pragma unroll
                for (int j = 0; j < COLUMNS; j++) {
                    u32 b0 = b[j / 2][j % 2 * 2], b1 = b[j / 2][j % 2 * 2 + 1];
                    float(&sums)[4] = parts[i * GROUPS + j / 4][j % 4];
                    if constexpr (HALVES)
                        multiply_bf16(sums, a[i], b0, b1);
                    else
                        multiply_tf32(sums, a[i], b0, b1);
                }
        }
    }

    /// Row and column of quad i of a round in the tile.
    __device__ static int row(int round, int) {
        int lane = threadIdx.x % LANES;
        return warp_row() + round / GROUPS * 16 + lane / 4 + lane % 2 * 8;
    }
    __device__ static int column(int round, int i) {
        return warp_column() + round % GROUPS * 32 + i * 8 + threadIdx.x % 4 / 2 * 4;
    }
    /// Quad i of the first round that `next` has left.
    __device__ float4 quad(int i) const { return neighbours(parts[0][i]); }
    /// Drops the first round. So a loop over rounds need not be unrolled for its sums to be in registers.
    __device__ void next() {
#pragma unroll
        for (int i = 0; i + 1 < ROUNDS; i++)
            for (int j = 0; j < 4; j++)
                for (int k = 0; k < 4; k++) parts[i][j][k] = parts[i + 1][j][k];
    }
};

/// How factors are rounded that tensor cores do not multiply.
enum Rounding { NONE = 0, TO_TF32 = 1, TO_BF16 = 2 };

__device__ inline float round(Rounding rounding, float x) {
    if (rounding == NONE) return x;
    return __uint_as_float(rounding == TO_TF32 ? round_tf32(x) : pack_bf16(0.f, x));
}

__device__ inline float4 round(Rounding rounding, const float* four) {
    float4 x = *reinterpret_cast<const float4*>(four);
    return {round(rounding, x.x), round(rounding, x.y), round(rounding, x.z), round(rounding, x.w)};
}

/// The same by multiply-adds, in the order of the depth: each thread has two times four rows, and four columns.
template <bool ALONG_A, bool ALONG_B>
struct Sums<F32, Small, ALONG_A, ALONG_B> {
    static constexpr int BLOCK = 128, ROUNDS = 2;
    float parts[8][4];
    Rounding rounding = NONE;

    __device__ void clear() {
        for (auto& row : parts)
            for (float& x : row) x = 0.f;
    }

    __device__ void add(const Panel<F32, 64, ALONG_A>& a_piece, const Panel<F32, 64, ALONG_B>& b_piece) {
#pragma unroll 4
        for (int k = 0; k < DEPTH; k++) {
            float4 low = round(rounding, &a_piece.at[k][row(0, 0)]), high = round(rounding, &a_piece.at[k][row(1, 0)]);
            float4 b = round(rounding, &b_piece.at[k][column(0, 0)]);
            float a[8] = {low.x, low.y, low.z, low.w, high.x, high.y, high.z, high.w};
            for (int i = 0; i < 8; i++) {
                parts[i][0] = fmaf(a[i], b.x, parts[i][0]);
                parts[i][1] = fmaf(a[i], b.y, parts[i][1]);
                parts[i][2] = fmaf(a[i], b.z, parts[i][2]);
                parts[i][3] = fmaf(a[i], b.w, parts[i][3]);
            }
        }
    }

    __device__ static int row(int round, int i) { return threadIdx.x / 16 * 4 + round * 32 + i; }
    __device__ static int column(int, int) { return threadIdx.x % 16 * 4; }
    __device__ float4 quad(int i) const { return {parts[i][0], parts[i][1], parts[i][2], parts[i][3]}; }
    __device__ void next() {
        for (int i = 0; i < 4; i++)
            for (int j = 0; j < 4; j++) parts[i][j] = parts[i + 4][j];
    }
};
