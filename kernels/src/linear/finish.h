// The end of a product: what is done with the sums of a tile.
#pragma once
#include "../activation/activation.h"
#include "../dropout/dropout.h"

/// The epilogue. Bias may be null.
enum Finish {
    /// to = v + bias
    STORE = 0,
    /// to = f(v + bias); GELU keeps v + bias in `input`
    ACTIVATE = 1,
    /// to = residual[residual_rows] + mask (v + bias), with the masks of the tokens `token_rows`
    RESIDUAL = 2,
    /// to[token_rows] += v
    ADD = 3,
    /// to = v f'(input), where input is the activation's output for ReLU
    SLOPE = 4,
    /// to = v + bias, as other products read it
    FACTOR = 5,
};

struct Product {
    /// The factors, as halves in a kernel for bfloat16.
    const void* a;
    const void* b;
    const float* bias;
    const float* residual;
    /// Those of a slope are as `to` is, if it is the activation's output.
    float* input;
    /// Halves if another product for bfloat16 reads them: an activation's output, a gradient behind its slope, or what
    /// attention multiplies.
    float* to;
    /// Where the sums of B's columns over a slice go, or null: the gradient of a bias.
    float* sums;
    Drop drop;
    /// Which rows of memory the rows of A, of B (if it is no weight), of the residual are; and which tokens the rows
    /// of the result are.
    Rows a_rows, b_rows, residual_rows, token_rows;
    int rows, columns, depth, slice_depth;
    int a_stride, b_stride, to_stride, finish;
    int activation;
    /// `Rounding` of the factors, for kernels that are made for more than one.
    int rounding;
    /// Distance between slices, in `to` and in `sums`.
    u64 to_slice, sums_slice;
};

/// One of two types.
template <bool FIRST, class A, class B>
struct Chosen {
    typedef A Type;
};
template <class A, class B>
struct Chosen<false, A, B> {
    typedef B Type;
};

/// A constant as an argument.
template <int VALUE>
struct Is {
    static constexpr int value = VALUE;
};

/// The epilogue of one element: its sum and its bias, what was read for it, and its mask's bits.
template <int FINISH, int ACTIVATION>
__device__ inline float finish(const Drop& drop, float value, float other, Bits bits, int column) {
    switch (FINISH) {
    case ACTIVATE: return activate(ACTIVATION, value);
    case RESIDUAL: return other + mask(drop, bits, column) * value;
    case ADD: return other + value;
    case SLOPE: return value * slope(ACTIVATION, other);
    default: return value;
    }
}

/// The same of four neighbours.
template <int FINISH, int ACTIVATION>
__device__ inline float4 finish(const Drop& drop, float4 x, float4 other, Bits bits, int column) {
    return {finish<FINISH, ACTIVATION>(drop, x.x, other.x, bits, column),
            finish<FINISH, ACTIVATION>(drop, x.y, other.y, bits, column + 1),
            finish<FINISH, ACTIVATION>(drop, x.z, other.z, bits, column + 2),
            finish<FINISH, ACTIVATION>(drop, x.w, other.w, bits, column + 3)};
}

/// The epilogue of a tile that begins at (row, column), of factors that are `Number`s in memory. What several elements
/// need is read before the first is written.
template <int FINISH, int ACTIVATION, bool VECTOR, class Number, class Sums>
__device__ void end_tile(const Product& p, int slice, Sums& sums, const Bits* bits, int row, int column) {
    constexpr int QUADS = 4;
    typedef typename Chosen<FINISH == ACTIVATE || FINISH == SLOPE || FINISH == FACTOR, Number, float>::Type Stored;
    typedef typename Chosen<ACTIVATION == RELU, Number, float>::Type Input;
    Stored* to = reinterpret_cast<Stored*>(p.to) + slice * p.to_slice;
#pragma unroll 1
    for (int round = 0; round < Sums::ROUNDS; round++, sums.next()) {
        float4 others[QUADS], biases[QUADS];
        u64 places[QUADS];
        int counts[QUADS];
#pragma unroll
        for (int i = 0; i < QUADS; i++) {
            int r = row + sums.row(round, i), c = column + sums.column(round, i);
            counts[i] = r < p.rows ? p.columns - c : 0;
            Rows rows = FINISH == ADD ? p.token_rows : Rows{1, 0};
            places[i] = u64(rows.token_row(r)) * p.to_stride + c;
            others[i] = biases[i] = {0.f, 0.f, 0.f, 0.f};
            if (FINISH == RESIDUAL) {
                const float* residual = p.residual + u64(p.residual_rows.token_row(r)) * p.to_stride + c;
                others[i] = load4<VECTOR>(residual, counts[i]);
            }
            if (FINISH == ADD) others[i] = load4<VECTOR>(to + places[i], counts[i]);
            if (FINISH == SLOPE)
                others[i] = load4<VECTOR>(reinterpret_cast<const Input*>(p.input) + places[i], counts[i]);
            if (p.bias != nullptr) biases[i] = load4<VECTOR>(p.bias + c, counts[i]);
        }
#pragma unroll
        for (int i = 0; i < QUADS; i++) {
            float4 x = sums.quad(i), bias = biases[i], other = others[i];
            int c = column + sums.column(round, i);
            Bits of_row = {0, 0};
            if (FINISH == RESIDUAL && p.drop.threshold > 0) of_row = bits[sums.row(round, i)];
            if (p.bias != nullptr) x = {x.x + bias.x, x.y + bias.y, x.z + bias.z, x.w + bias.w};
            if (FINISH == ACTIVATE && ACTIVATION == GELU) store4<VECTOR>(p.input + places[i], x, counts[i]);
            x = finish<FINISH, ACTIVATION>(p.drop, x, other, of_row, c);
            store4<VECTOR>(to + places[i], x, counts[i]);
        }
    }
}
