// Products of matrices: C = A B, in three precisions, with the epilogue of the product in the same
// kernel.
//
// A block computes a tile of 64 x 64 elements. It walks along the depth in steps of 32: while the tensor cores (or,
// for exact f32, the multiply-adds) work on two pieces in shared memory, the next two are already being loaded into
// registers. The sums then go through shared memory once, so that the end of the product (`finish`) reads and writes
// whole rows whatever the hardware's layout of a fragment is.
//
// A may be read transposed (weight gradients: A = X^T) and so may B (gradients of inputs: B = W^T).
// Products over the rows of a batch are deep and small, so they are divided along the depth into
// slices that different blocks compute; `adamw.cu` adds the slices up, in their order.
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
};

struct Product {
    const float* a;
    const float* b;
    const float* bias;
    const float* residual;
    float* input;
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
    /// Distance between slices, in `to` and in `sums`.
    u64 to_slice, sums_slice;
};

constexpr int TILE = 64;
constexpr int DEPTH = 32;
/// Numbers of a piece that one thread loads.
constexpr int CARRIED = TILE * DEPTH / THREADS;

/// Exact f32. Rows in shared memory are an odd number of words apart: lanes that read a column use
/// different banks.
struct F32 {
    typedef float Type;
    static constexpr int PAD = 1;
    __device__ static float convert(float x) { return x; }
};

/// TF32 on tensor cores. Fragments must begin at 32 bytes and rows lie a multiple of 16 bytes apart.
struct Tf32 {
    typedef float Type;
    typedef nvcuda::wmma::precision::tf32 Element;
    static constexpr int PAD = 4;
    static constexpr int STEP = 8;
    __device__ static float convert(float x) { return nvcuda::wmma::__float_to_tf32(x); }
};

/// bfloat16 on tensor cores, with the same rules.
struct Bf16 {
    typedef __nv_bfloat16 Type;
    typedef __nv_bfloat16 Element;
    static constexpr int PAD = 8;
    static constexpr int STEP = 16;
    __device__ static __nv_bfloat16 convert(float x) { return __float2bfloat16_rn(x); }
};

/// Shared memory of a block. A transposed factor is stored as in memory: depth x 64.
template <class Factor, bool ACROSS_A, bool ACROSS_B>
struct Pieces {
    static constexpr int A_LINES = ACROSS_A ? DEPTH : TILE, A_LENGTH = ACROSS_A ? TILE : DEPTH;
    static constexpr int B_LINES = ACROSS_B ? TILE : DEPTH, B_LENGTH = ACROSS_B ? DEPTH : TILE;
    __align__(32) typename Factor::Type a[A_LINES][A_LENGTH + Factor::PAD];
    __align__(32) typename Factor::Type b[B_LINES][B_LENGTH + Factor::PAD];
    __align__(32) float c[TILE][TILE + 4];
    float sums[THREADS / TILE][TILE];
    Bits bits[TILE];
};

/// Reads this thread's share of a piece of lines x length, zero outside the matrix.
template <int LINES, int LENGTH>
__device__ void fetch(
    float (&carried)[CARRIED], const float* from, int stride, Rows rows, int line, int lines, int column, int columns) {
    int c = column + int(threadIdx.x) % LENGTH;
#pragma unroll
    for (int i = 0; i < CARRIED; i++) {
        int l = line + int(threadIdx.x) / LENGTH + i * (THREADS / LENGTH);
        bool inside = l < lines && c < columns;
        carried[i] = inside ? from[u64(rows.token_row(l)) * stride + c] : 0.f;
    }
}

/// Stores it in shared memory.
template <class Factor, int LINES, int LENGTH>
__device__ void lay(const float (&carried)[CARRIED], typename Factor::Type (&to)[LINES][LENGTH + Factor::PAD]) {
#pragma unroll
    for (int i = 0; i < CARRIED; i++) {
        to[threadIdx.x / LENGTH + i * (THREADS / LENGTH)][threadIdx.x % LENGTH] = Factor::convert(carried[i]);
    }
}

/// A transposed factor in shared memory is a column-major matrix.
template <bool ACROSS>
struct Order {
    typedef nvcuda::wmma::row_major Layout;
};
template <>
struct Order<true> {
    typedef nvcuda::wmma::col_major Layout;
};

/// The sums of a block on tensor cores: each of four warps has a quarter of 32 x 32, in four fragments.
template <class Factor, bool ACROSS_A, bool ACROSS_B>
struct Sums {
    static constexpr int STEP = Factor::STEP;
    nvcuda::wmma::fragment<nvcuda::wmma::accumulator, 16, 16, STEP, float> parts[2][2];

    __device__ void clear() {
        for (auto& row : parts)
            for (auto& part : row) nvcuda::wmma::fill_fragment(part, 0.f);
    }

    __device__ void add(const Pieces<Factor, ACROSS_A, ACROSS_B>& s) {
        namespace wmma = nvcuda::wmma;
        typedef typename Factor::Element Element;
        wmma::fragment<wmma::matrix_a, 16, 16, STEP, Element, typename Order<ACROSS_A>::Layout> a[2];
        wmma::fragment<wmma::matrix_b, 16, 16, STEP, Element, typename Order<ACROSS_B>::Layout> b[2];
        int warp = threadIdx.x / LANES, row = warp / 2 * 32, column = warp % 2 * 32;
#pragma unroll
        for (int k = 0; k < DEPTH; k += STEP) {
            for (int i = 0; i < 2; i++) {
                int m = row + 16 * i, n = column + 16 * i;
                wmma::load_matrix_sync(a[i], ACROSS_A ? &s.a[k][m] : &s.a[m][k], s.A_LENGTH + Factor::PAD);
                wmma::load_matrix_sync(b[i], ACROSS_B ? &s.b[n][k] : &s.b[k][n], s.B_LENGTH + Factor::PAD);
            }
            for (int i = 0; i < 2; i++)
                for (int j = 0; j < 2; j++) wmma::mma_sync(parts[i][j], a[i], b[j], parts[i][j]);
        }
    }

    __device__ void lay(float (&c)[TILE][TILE + 4]) {
        int warp = threadIdx.x / LANES, row = warp / 2 * 32, column = warp % 2 * 32;
        for (int i = 0; i < 2; i++)
            for (int j = 0; j < 2; j++)
                nvcuda::wmma::store_matrix_sync(
                    &c[row + 16 * i][column + 16 * j], parts[i][j], TILE + 4, nvcuda::wmma::mem_row_major);
    }
};

/// The same by multiply-adds: each thread has 8 rows, 8 apart, and 4 columns, 16 apart.
template <bool ACROSS_A, bool ACROSS_B>
struct Sums<F32, ACROSS_A, ACROSS_B> {
    float parts[8][4];

    __device__ void clear() {
        for (auto& row : parts)
            for (auto& part : row) part = 0.f;
    }

    __device__ void add(const Pieces<F32, ACROSS_A, ACROSS_B>& s) {
        int row = threadIdx.x / 16, column = threadIdx.x % 16;
#pragma unroll 4
        for (int k = 0; k < DEPTH; k++) {
            float a[8], b[4];
            for (int i = 0; i < 8; i++) a[i] = ACROSS_A ? s.a[k][row + 8 * i] : s.a[row + 8 * i][k];
            for (int j = 0; j < 4; j++) b[j] = ACROSS_B ? s.b[column + 16 * j][k] : s.b[k][column + 16 * j];
            for (int i = 0; i < 8; i++)
                for (int j = 0; j < 4; j++) parts[i][j] = fmaf(a[i], b[j], parts[i][j]);
        }
    }

    __device__ void lay(float (&c)[TILE][TILE + 4]) {
        int row = threadIdx.x / 16, column = threadIdx.x % 16;
        for (int i = 0; i < 8; i++)
            for (int j = 0; j < 4; j++) c[row + 8 * i][column + 16 * j] = parts[i][j];
    }
};

/// The epilogue of one element.
__device__ inline void finish(const Product& p, float* to, int row, int column, float value, Bits bits) {
    if (p.bias != nullptr) value += p.bias[column];
    u64 at = u64(row) * p.to_stride + column;
    auto in = [&](Rows rows) { return u64(rows.token_row(row)) * p.to_stride + column; };
    switch (p.finish) {
    case STORE: to[at] = value; break;
    case ACTIVATE:
        if (p.activation == GELU) p.input[at] = value;
        to[at] = activate(p.activation, value);
        break;
    case RESIDUAL: to[at] = p.residual[in(p.residual_rows)] + mask(p.drop, bits, column) * value; break;
    case ADD: to[in(p.token_rows)] += value; break;
    case SLOPE: to[at] = value * slope(p.activation, p.input[at]); break;
    }
}

template <class Factor, bool ACROSS_A, bool ACROSS_B>
__device__ void product(const Product& p, Pieces<Factor, ACROSS_A, ACROSS_B>& s) {
    typedef Pieces<Factor, ACROSS_A, ACROSS_B> Shape;
    int row = blockIdx.x * TILE, column = blockIdx.y * TILE;
    int start = blockIdx.z * p.slice_depth;
    int end = start + p.slice_depth < p.depth ? start + p.slice_depth : p.depth;
    bool sums_columns = p.sums != nullptr && blockIdx.x == 0;
    float a[CARRIED], b[CARRIED];
    float column_sum = 0.f;
    Rows weight_rows = {1, 0};
    auto fetch_both = [&](int k) {
        // The lines of a transposed factor are the depth.
        if (ACROSS_A)
            fetch<Shape::A_LINES, Shape::A_LENGTH>(a, p.a, p.a_stride, p.a_rows, k, end, row, p.rows);
        else
            fetch<Shape::A_LINES, Shape::A_LENGTH>(a, p.a, p.a_stride, p.a_rows, row, p.rows, k, end);
        if (ACROSS_B)
            fetch<Shape::B_LINES, Shape::B_LENGTH>(b, p.b, p.b_stride, weight_rows, column, p.columns, k, end);
        else
            fetch<Shape::B_LINES, Shape::B_LENGTH>(b, p.b, p.b_stride, p.b_rows, k, end, column, p.columns);
    };
    Sums<Factor, ACROSS_A, ACROSS_B> sums;
    sums.clear();
    fetch_both(start);
    for (int k = start; k < end; k += DEPTH) {
        lay<Factor, Shape::A_LINES, Shape::A_LENGTH>(a, s.a);
        lay<Factor, Shape::B_LINES, Shape::B_LENGTH>(b, s.b);
        // Each thread loads numbers of one column of B, unless B is transposed.
        if (sums_columns)
            for (float x : b) column_sum += x;
        __syncthreads();
        if (k + DEPTH < end) fetch_both(k + DEPTH);
        sums.add(s);
        __syncthreads();
    }
    sums.lay(s.c);
    if (p.finish == RESIDUAL && threadIdx.x < TILE && row + int(threadIdx.x) < p.rows && p.drop.threshold > 0)
        s.bits[threadIdx.x] = bits_of_row(p.drop, p.token_rows.token_row(row + threadIdx.x));
    s.sums[threadIdx.x / TILE][threadIdx.x % TILE] = column_sum;
    __syncthreads();
    float* to = p.to + blockIdx.z * p.to_slice;
    for (int i = threadIdx.x; i < TILE * TILE; i += THREADS) {
        int r = i / TILE, c = i % TILE;
        if (row + r < p.rows && column + c < p.columns) {
            Bits bits = {0, 0};
            if (p.finish == RESIDUAL && p.drop.threshold > 0) bits = s.bits[r];
            finish(p, to, row + r, column + c, s.c[r][c], bits);
        }
    }
    int c = threadIdx.x;
    if (sums_columns && c < TILE && column + c < p.columns) {
        float sum = 0.f;
        for (int part = 0; part < THREADS / TILE; part++) sum += s.sums[part][c];
        p.sums[blockIdx.z * p.sums_slice + column + c] = sum;
    }
}

#define PRODUCT(name, Factor, ACROSS_A, ACROSS_B)                                                                  \
    typedef Pieces<Factor, ACROSS_A, ACROSS_B> Pieces_##name;                                                      \
    extern "C" __global__ void __launch_bounds__(THREADS) product_##name(Product p) {                              \
        SHARED(Pieces_##name, s);                                                                                  \
        product<Factor, ACROSS_A, ACROSS_B>(p, s);                                                                 \
    }                                                                                                              \
    EXPORT(product_##name)

PRODUCT(f32, F32, false, false)
PRODUCT(f32_back, F32, false, true)
PRODUCT(f32_weight, F32, true, false)
PRODUCT(tf32, Tf32, false, false)
PRODUCT(tf32_back, Tf32, false, true)
PRODUCT(tf32_weight, Tf32, true, false)
PRODUCT(bf16, Bf16, false, false)
PRODUCT(bf16_back, Bf16, false, true)
PRODUCT(bf16_weight, Bf16, true, false)
