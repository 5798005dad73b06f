// Products of matrices: C = A B, in three precisions, with the epilogue of the product in the same
// kernel.
//
// A block computes a tile of 64 x 64 elements, or of 128 x 128. It walks along the depth in pieces of 32: while the
// tensor cores (or, for exact f32, the multiply-adds) work on a piece of both factors in shared memory, the next two
// are already being loaded into registers, from which they go, rounded, to the other half of shared memory. The sums
// go from registers to memory, four neighbours at a time.
//
// A may be read transposed (weight gradients: A = X^T) and so may B (gradients of inputs: B = W^T).
// Products over the rows of a batch are deep and small, so they are divided along the depth into
// slices that different blocks compute; `adamw.cu` adds the slices up, in their order.
#include "finish.h"
#include "sums.h"

/// Which factor is transposed, and so which epilogues there are.
enum Across { NEITHER, RIGHT, LEFT };

/// A tile of the result and a slice of the depth: what a block computes.
struct Block {
    int row, column, slice;
    __device__ static Block of(int index, int rows, int columns) {
        return {index % rows, index / rows % columns, index / rows / columns};
    }
};

/// The sums of B's columns over a slice, as they are in memory: a thread adds those of its share. An f32 product's
/// are read in shared memory, every other line of a column.
template <class Factor, int TILE>
struct Columns {
    static constexpr bool IN_SHARED = Factor::BY_DEPTH;
    static constexpr int SHARERS = 2 * TILE / DEPTH, PARTS = IN_SHARED ? 2 : 2 * TILE / LANES;
    float4 sums[4] = {};

    __device__ void add(int i, float4 x) {
        float4 sum = sums[i];
        sums[i] = {sum.x + x.x, sum.y + x.y, sum.z + x.z, sum.w + x.w};
    }
    __device__ void carry(const Carried<Factor>& carried) {
        for (int i = 0; i < Factor::LOADS && !IN_SHARED; i++) {
            if constexpr (Factor::WIDE == 4) {
                add(i, carried.loads[i]);
            } else {
                uint4 x = carried.loads[i];
                add(2 * i, {low_half(x.x), high_half(x.x), low_half(x.y), high_half(x.y)});
                add(2 * i + 1, {low_half(x.z), high_half(x.z), low_half(x.w), high_half(x.w)});
            }
        }
    }
    template <class Panel>
    __device__ void read(const Panel& panel) {
        if constexpr (IN_SHARED) {
            for (int line = threadIdx.x / TILE; line < DEPTH; line += PARTS)
                sums[0].x += panel.at[line][threadIdx.x % TILE];
        }
    }
    /// The sum over the lanes that have the same columns.
    __device__ static float of_warp(float x) {
        for (int by = SHARERS; by < LANES; by *= 2) x += __shfl_xor_sync(ALL_LANES, x, by);
        return x;
    }
    __device__ void store(float (&to)[PARTS][TILE]) const {
        if constexpr (IN_SHARED) {
            to[threadIdx.x / TILE][threadIdx.x % TILE] = sums[0].x;
        } else {
            for (int i = 0; i < 4; i++) {
                float4 sum = {of_warp(sums[i].x), of_warp(sums[i].y), of_warp(sums[i].z), of_warp(sums[i].w)};
                constexpr int QUADS = Factor::WIDE / 4;
                int column = (threadIdx.x % SHARERS + i / QUADS * SHARERS) * Factor::WIDE + i % QUADS * 4;
                if (threadIdx.x % LANES < SHARERS) *reinterpret_cast<float4*>(&to[threadIdx.x / LANES][column]) = sum;
            }
        }
    }
};

template <class Factor, int TILE, Across ACROSS>
struct Panels {
    /// In turn: one is read while the other is written.
    Panel<Factor, TILE, ACROSS != LEFT> a[2];
    Panel<Factor, TILE, ACROSS == RIGHT> b[2];
    __align__(16) float columns[Columns<Factor, TILE>::PARTS][TILE];
    Bits bits[TILE];
    /// Which tile this is. It is in no register while sums are added up.
    Block block;
};

template <class Factor, int TILE, Across ACROSS, bool VECTOR, bool SUMS_COLUMNS>
__device__ void product(const Product& p, Block block, Panels<Factor, TILE, ACROSS>& s) {
    typedef Sums<Factor, TILE, ACROSS != LEFT, ACROSS == RIGHT> Totals;
    typedef typename Factor::Number Number;
    if (threadIdx.x == 0) s.block = block;
    int row = block.row * TILE, column = block.column * TILE;
    int k = block.slice * p.slice_depth;
    int end = k + p.slice_depth < p.depth ? k + p.slice_depth : p.depth;
    Rows b_rows = ACROSS == RIGHT ? Rows{1, 0} : p.b_rows;
    typedef const Number* From;
    Share<Factor, TILE, Totals::BLOCK, ACROSS != LEFT, VECTOR> a({From(p.a), p.a_stride, p.a_rows, row, p.rows}, k);
    Share<Factor, TILE, Totals::BLOCK, ACROSS == RIGHT, VECTOR> b({From(p.b), p.b_stride, b_rows, column, p.columns}, k);
    bool drops = ACROSS == NEITHER && p.finish == RESIDUAL && p.drop.threshold > 0;
    if (drops && threadIdx.x < TILE && row + int(threadIdx.x) < p.rows)
        s.bits[threadIdx.x] = bits_of_row(p.drop, p.token_rows.token_row(row + threadIdx.x));
    Totals totals;
    Columns<Factor, TILE> columns;
    totals.clear();
    if constexpr (!VECTOR) totals.rounding = Rounding(p.rounding);
    // Pieces are loaded two ahead: one is multiplied, one waits to be stored, one is on its way.
    Carried<Factor> of_a[2], of_b[2];
    int pieces = (end - k + DEPTH - 1) / DEPTH;
    auto load_part = [&](int set, int piece) {
        a.load_part(of_a[set], end - k - piece * DEPTH);
        b.load_part(of_b[set], end - k - piece * DEPTH);
    };
    auto load = [&](int set) {
        a.load(of_a[set]);
        b.load(of_b[set]);
    };
    auto store = [&](int set, int to) {
        a.store(of_a[set], s.a[to]);
        b.store(of_b[set], s.b[to]);
        if (SUMS_COLUMNS) columns.carry(of_b[set]);
    };
    auto add = [&](int from) {
        totals.add(s.a[from], s.b[from]);
        if (SUMS_COLUMNS) columns.read(s.b[from]);
    };
    load_part(0, 0);
    load_part(1, 1);
    store(0, 0);
    int piece = 0;
    // One barrier is enough for a piece: after it this piece is complete, and no thread reads the one before it.
    if (VECTOR) {
        for (; k + (piece + 4) * DEPTH <= end; piece += 2) {
            __syncthreads();
            load(0);
            add(0);
            store(1, 1);
            __syncthreads();
            load(1);
            add(1);
            store(0, 0);
        }
    }
    // The last ones; what is loaded after them is zero.
    int now = 0;
#pragma unroll 1
    for (;; piece++) {
        __syncthreads();
        load_part(0, piece + 2);
        add(now);
        if (piece + 1 >= pieces) break;
        now ^= 1;
        store(1, now);
        of_a[1] = of_a[0];
        of_b[1] = of_b[0];
    }
    block = s.block;
    row = block.row * TILE, column = block.column * TILE;
    if (ACROSS == NEITHER) {
        if (p.finish == RESIDUAL) return end_tile<RESIDUAL, RELU, VECTOR, Number>(p, block.slice, totals, s.bits, row, column);
        if (p.finish == ACTIVATE) {
            if (p.activation == RELU) return end_tile<ACTIVATE, RELU, VECTOR, Number>(p, block.slice, totals, s.bits, row, column);
            return end_tile<ACTIVATE, GELU, VECTOR, Number>(p, block.slice, totals, s.bits, row, column);
        }
    }
    if (ACROSS == RIGHT) {
        if (p.finish == ADD) return end_tile<ADD, RELU, VECTOR, Number>(p, block.slice, totals, s.bits, row, column);
        if (p.finish == SLOPE) {
            if (p.activation == RELU) return end_tile<SLOPE, RELU, VECTOR, Number>(p, block.slice, totals, s.bits, row, column);
            return end_tile<SLOPE, GELU, VECTOR, Number>(p, block.slice, totals, s.bits, row, column);
        }
    }
    end_tile<STORE, RELU, VECTOR, Number>(p, block.slice, totals, s.bits, row, column);
    if (!SUMS_COLUMNS) return;
    columns.store(s.columns);
    __syncthreads();
    int c = threadIdx.x;
    if (c < TILE && column + c < p.columns) {
        float sum = 0.f;
        for (auto& part : s.columns) sum += part[c];
        p.sums[block.slice * p.sums_slice + column + c] = sum;
    }
}

template <class Factor, int TILE, Across ACROSS, bool VECTOR>
__device__ void product(const Product& p, Block block, Panels<Factor, TILE, ACROSS>& s) {
    // The whole block takes one way.
    if (ACROSS == LEFT && p.sums != nullptr && block.row == 0)
        product<Factor, TILE, ACROSS, VECTOR, ACROSS == LEFT>(p, block, s);
    else
        product<Factor, TILE, ACROSS, VECTOR, false>(p, block, s);
}

/// The gradients of a layer's input and of its weight: one launch, because neither needs the other. Either may have no
/// blocks.
struct Gradients {
    Product input, weight;
    /// Tiles in rows and columns; a weight's are as often as it has slices.
    int input_rows, input_columns, weight_rows, weight_columns;
};

template <class Factor, int TILE>
union EitherPanels {
    Panels<Factor, TILE, RIGHT> input;
    Panels<Factor, TILE, LEFT> weight;
};

template <class Factor, int TILE, bool VECTOR>
__device__ void gradients(const Gradients& p, EitherPanels<Factor, TILE>& s) {
    int index = blockIdx.x, inputs = p.input_rows * p.input_columns;
    if (index < inputs) {
        product<Factor, TILE, RIGHT, VECTOR>(
            p.input, {index % p.input_rows, index / p.input_rows, 0}, s.input);
        return;
    }
    product<Factor, TILE, LEFT, VECTOR>(
        p.weight, Block::of(index - inputs, p.weight_rows, p.weight_columns), s.weight);
}

#define PRODUCTS(name, Factor, TILE, VECTOR)                                                                       \
    typedef Panels<Factor, TILE, NEITHER> Panels_##name;                                                           \
    extern "C" __global__ void __launch_bounds__(2 * TILE, 192 / TILE) product_##name(Product p) {                 \
        SHARED(Panels_##name, s);                                                                                  \
        product<Factor, TILE, NEITHER, VECTOR>(p, {int(blockIdx.x), int(blockIdx.y), 0}, s);                       \
    }                                                                                                              \
    EXPORT(product_##name)                                                                                         \
    typedef EitherPanels<Factor, TILE> Either_##name;                                                              \
    extern "C" __global__ void __launch_bounds__(2 * TILE, 192 / TILE) gradients_##name(Gradients p) {             \
        SHARED(Either_##name, s);                                                                                  \
        gradients<Factor, TILE, VECTOR>(p, s);                                                                     \
    }                                                                                                              \
    EXPORT(gradients_##name)

PRODUCTS(f32, F32, 64, true)
PRODUCTS(tf32, Tf32, 64, true)
PRODUCTS(bf16, Bf16, 64, true)
PRODUCTS(bf16_large, Bf16, 128, true)
// For sizes that those refuse, in any precision, without tensor cores.
PRODUCTS(any, F32, 64, false)
