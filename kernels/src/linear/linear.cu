// Products of matrices: C = A B, in three precisions, with the epilogue of the product in the same
// kernel.
//
// A block computes a tile of 64 x 64 elements, of 128 x 128, or of 128 x 256. It walks along the depth in pieces of 32:
// while the tensor cores (or, for exact f32, the multiply-adds) work on a piece of both factors in shared memory, the
// next ones are on their way: halves straight to other places of shared memory, floats to registers, from which
// they go, rounded, to its other half. The sums go from registers to memory, four neighbours at a time.
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

/// The sums over the lanes that have the same columns: every COUNTth.
template <int COUNT, int NUMBERS>
__device__ inline void sums_of_sharers(float (&x)[NUMBERS]) {
    for (int by = COUNT; by < LANES; by *= 2)
        for (float& sum : x) sum += __shfl_xor_sync(ALL_LANES, sum, by);
}

/// The sums of B's columns over a slice, as they are in memory. Those of f32 are read in shared memory, every other
/// line of a column; those that TF32 rounds, by the threads that carry them.
template <class Factor, class Tile>
struct Columns {
    static constexpr bool IN_SHARED = Factor::BY_DEPTH;
    static constexpr int SHARERS = Tile::BLOCK / DEPTH, PARTS = IN_SHARED ? 2 : Tile::BLOCK / LANES;
    float4 sums[4] = {};

    __device__ void carry(const Carried<Factor>& carried) {
        for (int i = 0; i < Factor::LOADS && !IN_SHARED; i++) {
            float4 sum = sums[i], x = carried.loads[i];
            sums[i] = {sum.x + x.x, sum.y + x.y, sum.z + x.z, sum.w + x.w};
        }
    }
    template <class Panel>
    __device__ void read(const Panel& panel) {
        if constexpr (IN_SHARED) {
            for (int line = threadIdx.x / Tile::COLUMNS; line < DEPTH; line += PARTS)
                sums[0].x += panel.at[line][threadIdx.x % Tile::COLUMNS];
        }
    }
    __device__ void store(float (&to)[PARTS][Tile::COLUMNS]) const {
        if constexpr (IN_SHARED) {
            to[threadIdx.x / Tile::COLUMNS][threadIdx.x % Tile::COLUMNS] = sums[0].x;
        } else {
            for (int i = 0; i < 4; i++) {
                float sum[4] = {sums[i].x, sums[i].y, sums[i].z, sums[i].w};
                sums_of_sharers<SHARERS>(sum);
                int column = (threadIdx.x % SHARERS + i * SHARERS) * 4;
                if (threadIdx.x % LANES >= SHARERS) continue;
                *reinterpret_cast<float4*>(&to[threadIdx.x / LANES][column]) = float4{sum[0], sum[1], sum[2], sum[3]};
            }
        }
    }
};

/// Those of halves: a thread reads what it copied itself.
template <class Tile>
struct Columns<Bf16, Tile> {
    typedef Copies<Tile::COLUMNS, Tile::BLOCK, false> Copied;
    static constexpr int PARTS = Tile::BLOCK / LANES;
    float sums[8] = {};

    template <class Panel>
    __device__ void read(const Panel& panel) {
#pragma unroll
        for (int i = 0; i < Copied::COUNT; i++) {
            uint4 x = Bf16::load(&panel.at[Copied::line(i)][Copied::column()]);
            u32 twos[4] = {x.x, x.y, x.z, x.w};
            for (int two = 0; two < 4; two++) {
                sums[2 * two] += low_half(twos[two]);
                sums[2 * two + 1] += high_half(twos[two]);
            }
        }
    }
    __device__ void store(float (&to)[PARTS][Tile::COLUMNS]) {
        sums_of_sharers<Copied::PARTS>(sums);
        if (threadIdx.x % LANES >= Copied::PARTS) return;
        for (int i = 0; i < 8; i++) to[threadIdx.x / LANES][Copied::column() + i] = sums[i];
    }
};

/// One copy of this where there are no sums of columns.
template <class Factor, class Tile, Across ACROSS>
struct ColumnParts {
    float at[1][1];
};
template <class Factor, class Tile>
struct ColumnParts<Factor, Tile, LEFT> {
    __align__(16) float at[Columns<Factor, Tile>::PARTS][Tile::COLUMNS];
};

template <class Factor, class Tile, Across ACROSS>
struct Panels {
    /// In turn: one is read while others are written.
    static constexpr int COUNT = Factor::ASYNC ? Tile::STAGES : 2;
    Panel<Factor, Tile::ROWS, ACROSS != LEFT> a[COUNT];
    Panel<Factor, Tile::COLUMNS, ACROSS == RIGHT> b[COUNT];
    ColumnParts<Factor, Tile, ACROSS> columns;
    Bits bits[Tile::ROWS];
    /// Which tile this is. It is in no register while sums are added up.
    Block block;
};

/// A product's factors from depth `k` to `end`, at its tile.
template <class Factor>
struct Slice {
    Lines<Factor> a, b;
    int k, end;

    __device__ int pieces() const { return (end - k + DEPTH - 1) / DEPTH; }
};

/// Adds up a slice of factors that go through registers. Pieces are loaded two ahead: one is multiplied, one waits to
/// be stored, one is on its way.
template <class Factor, class Tile, Across ACROSS, bool VECTOR, bool SUMS_COLUMNS, class Totals>
__device__ inline void add_carried(
    const Slice<Factor>& slice, Panels<Factor, Tile, ACROSS>& s, Totals& totals, Columns<Factor, Tile>& columns) {
    Share<Factor, Tile::ROWS, Totals::BLOCK, ACROSS != LEFT, VECTOR> a(slice.a, slice.k);
    Share<Factor, Tile::COLUMNS, Totals::BLOCK, ACROSS == RIGHT, VECTOR> b(slice.b, slice.k);
    Carried<Factor> of_a[2], of_b[2];
    int k = slice.k, end = slice.end, pieces = slice.pieces();
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
}

/// Adds up a slice of factors that are copied asynchronously: all stages but one are on their way.
template <class Tile, Across ACROSS, bool SUMS_COLUMNS, class Totals>
__device__ inline void add_copied(
    const Slice<Bf16>& slice, Panels<Bf16, Tile, ACROSS>& s, Totals& totals, Columns<Bf16, Tile>& columns) {
    Copies<Tile::ROWS, Tile::BLOCK, ACROSS != LEFT> a(slice.a, slice.k);
    Copies<Tile::COLUMNS, Tile::BLOCK, ACROSS == RIGHT> b(slice.b, slice.k);
    int left = slice.end - slice.k, pieces = slice.pieces();
    auto copy = [&](int stage) {
        if (left > 0) {
            a.copy(s.a[stage], left);
            b.copy(s.b[stage], left);
        }
        // A group of nothing counts, too.
        commit_copies();
        left -= DEPTH;
    };
#pragma unroll
    for (int stage = 0; stage + 1 < Tile::STAGES; stage++) copy(stage);
    // What else is in shared memory is complete after a barrier, too, also in a slice behind the last row.
    if (pieces <= 0) __syncthreads();
#pragma unroll 1
    for (int piece = 0; piece < pieces;) {
        // Unrolled, so that places in shared memory are known.
#pragma unroll
        for (int now = 0; now < Tile::STAGES; now++) {
            wait_for_copies<Tile::STAGES - 2>();
            // After it all threads' copies of this piece are there, and no thread reads the one before it.
            __syncthreads();
            copy((now + Tile::STAGES - 1) % Tile::STAGES);
            totals.add(s.a[now], s.b[now]);
            if (SUMS_COLUMNS) columns.read(s.b[now]);
            if (++piece == pieces) break;
        }
    }
}

template <class Factor, class Tile, Across ACROSS, bool VECTOR, bool SUMS_COLUMNS>
__device__ void product(const Product& p, Block block, Panels<Factor, Tile, ACROSS>& s) {
    typedef Sums<Factor, Tile, ACROSS != LEFT, ACROSS == RIGHT> Totals;
    typedef typename Factor::Number Number;
    if (threadIdx.x == 0) s.block = block;
    int row = block.row * Tile::ROWS, column = block.column * Tile::COLUMNS;
    int k = block.slice * p.slice_depth;
    int end = k + p.slice_depth < p.depth ? k + p.slice_depth : p.depth;
    Rows b_rows = ACROSS == RIGHT ? Rows{1, 0} : p.b_rows;
    typedef const Number* From;
    Slice<Factor> slice = {{From(p.a), p.a_stride, p.a_rows, row, p.rows},
                           {From(p.b), p.b_stride, b_rows, column, p.columns}, k, end};
    bool drops = ACROSS == NEITHER && p.finish == RESIDUAL && p.drop.threshold > 0;
    if (drops && threadIdx.x < Tile::ROWS && row + int(threadIdx.x) < p.rows)
        s.bits[threadIdx.x] = bits_of_row(p.drop, p.token_rows.token_row(row + threadIdx.x));
    Totals totals;
    Columns<Factor, Tile> columns;
    totals.clear();
    if constexpr (!VECTOR) totals.rounding = Rounding(p.rounding);
    if constexpr (Factor::ASYNC)
        add_copied<Tile, ACROSS, SUMS_COLUMNS>(slice, s, totals, columns);
    else
        add_carried<Factor, Tile, ACROSS, VECTOR, SUMS_COLUMNS>(slice, s, totals, columns);
    block = s.block;
    row = block.row * Tile::ROWS, column = block.column * Tile::COLUMNS;
    auto end_as = [&](auto finish, auto activation) {
        end_tile<finish.value, activation.value, VECTOR, Number>(p, block.slice, totals, s.bits, row, column);
    };
    bool is_gelu = p.activation == GELU;
    if (ACROSS == NEITHER && p.finish == RESIDUAL) return end_as(Is<RESIDUAL>{}, Is<RELU>{});
    if (ACROSS == NEITHER && p.finish == ACTIVATE)
        return is_gelu ? end_as(Is<ACTIVATE>{}, Is<GELU>{}) : end_as(Is<ACTIVATE>{}, Is<RELU>{});
    if (ACROSS == RIGHT && p.finish == ADD) return end_as(Is<ADD>{}, Is<RELU>{});
    if (ACROSS == RIGHT && p.finish == SLOPE)
        return is_gelu ? end_as(Is<SLOPE>{}, Is<GELU>{}) : end_as(Is<SLOPE>{}, Is<RELU>{});
    if (ACROSS != LEFT && Factor::ASYNC && p.finish == FACTOR) return end_as(Is<FACTOR>{}, Is<RELU>{});
    end_as(Is<STORE>{}, Is<RELU>{});
    if constexpr (SUMS_COLUMNS) {
        columns.store(s.columns.at);
        __syncthreads();
        int c = threadIdx.x;
        if (c < Tile::COLUMNS && column + c < p.columns) {
            float sum = 0.f;
            for (auto& part : s.columns.at) sum += part[c];
            p.sums[block.slice * p.sums_slice + column + c] = sum;
        }
    }
}

template <class Factor, class Tile, Across ACROSS, bool VECTOR>
__device__ void product(const Product& p, Block block, Panels<Factor, Tile, ACROSS>& s) {
    // The whole block takes one way.
    if (ACROSS == LEFT && p.sums != nullptr && block.row == 0)
        product<Factor, Tile, ACROSS, VECTOR, ACROSS == LEFT>(p, block, s);
    else
        product<Factor, Tile, ACROSS, VECTOR, false>(p, block, s);
}

/// The gradients of a layer's input and of its weight: one launch, because neither needs the other. Either may have no
/// blocks.
struct Gradients {
    Product input, weight;
    /// Tiles in rows and columns; a weight's are as often as it has slices.
    int input_rows, input_columns, weight_rows, weight_columns;
};

template <class Factor, class Tile>
union EitherPanels {
    Panels<Factor, Tile, RIGHT> input;
    Panels<Factor, Tile, LEFT> weight;
};

template <class Factor, class Tile, bool VECTOR>
__device__ void gradients(const Gradients& p, EitherPanels<Factor, Tile>& s) {
    // Blocks of a weight are the deeper ones, so they begin first.
    int index = blockIdx.x, inputs = p.input_rows * p.input_columns, weights = gridDim.x - inputs;
    if (index < weights) {
        product<Factor, Tile, LEFT, VECTOR>(p.weight, Block::of(index, p.weight_rows, p.weight_columns), s.weight);
        return;
    }
    index -= weights;
    product<Factor, Tile, RIGHT, VECTOR>(p.input, {index % p.input_rows, index / p.input_rows, 0}, s.input);
}

/// Dynamic shared memory of the kernels of large tiles.
constexpr int LARGE_BYTES = 96 << 10;

#define PRODUCTS(name, Factor, Tile, VECTOR, PANELS)                                                               \
    typedef Panels<Factor, Tile, NEITHER> Panels_##name;                                                           \
    extern "C" __global__ void __launch_bounds__(Tile::BLOCK, 192 / Tile::ROWS) product_##name(Product p) {        \
        PANELS(Panels_##name, s);                                                                                  \
        product<Factor, Tile, NEITHER, VECTOR>(p, {int(blockIdx.x), int(blockIdx.y), 0}, s);                       \
    }                                                                                                              \
    EXPORT(product_##name)                                                                                         \
    typedef EitherPanels<Factor, Tile> Either_##name;                                                              \
    extern "C" __global__ void __launch_bounds__(Tile::BLOCK, 192 / Tile::ROWS) gradients_##name(Gradients p) {    \
        PANELS(Either_##name, s);                                                                                  \
        gradients<Factor, Tile, VECTOR>(p, s);                                                                     \
    }                                                                                                              \
    EXPORT(gradients_##name)

PRODUCTS(f32, F32, Small, true, SHARED)
PRODUCTS(tf32, Tf32, Small, true, SHARED)
PRODUCTS(bf16, Bf16, Small, true, SHARED)
PRODUCTS(bf16_large, Bf16, Large, true, DYNAMIC_SHARED)
PRODUCTS(bf16_wide, Bf16, Wide, true, DYNAMIC_SHARED)
static_assert(sizeof(Panels_bf16_wide) <= LARGE_BYTES && sizeof(Either_bf16_wide) <= LARGE_BYTES, "it fits");
static_assert(sizeof(Panels_bf16_large) <= LARGE_BYTES && sizeof(Either_bf16_large) <= LARGE_BYTES, "it fits");
// For sizes that those refuse, in any precision, without tensor cores.
PRODUCTS(any, F32, Small, false, SHARED)
