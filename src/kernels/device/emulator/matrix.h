// nvcuda::wmma: products of small matrices by a whole warp.
//
// As on a device, the elements of a fragment are spread over the lanes: element e (row by row) belongs to lane
// e / (elements of a lane). A device spreads them in another, unspecified way, so no kernel may rely on it.
//
// A tensor core multiplies exactly, adds the products of one instruction to the accumulator with more bits than f32
// has, and cuts the sum off: each instruction is off by up to one unit in the last place, always towards zero
// (Fasi, Higham, Mikaitis, Pranesh, Numerical behavior of NVIDIA tensor cores, 2021). So long sums are biased here, too.
#pragma once
#include "warp.h"
#include <cmath>
#include <type_traits>

namespace nvcuda {
namespace wmma {

struct matrix_a;
struct matrix_b;
struct accumulator;
struct row_major;
struct col_major;
enum layout_t { mem_row_major, mem_col_major };

namespace precision {
struct tf32;
}

/// What a fragment of this element type stores.
template <class Element>
struct storage {
    using type = Element;
};
template <>
struct storage<precision::tf32> {
    using type = float;
};

template <class Use, int M, int N, int K, class Element, class Layout = void>
struct fragment {
    static constexpr int ROWS = std::is_same<Use, matrix_b>::value ? K : M;
    static constexpr int COLUMNS = std::is_same<Use, matrix_a>::value ? K : N;
    static constexpr int num_elements = ROWS * COLUMNS / int(emulator::WARP);
    typename storage<Element>::type x[num_elements];
};

/// Rounds to the 11 significant bits of TF32, ties away from zero, as the instruction cvt.rna does.
inline float __float_to_tf32(float value) {
    uint32_t bits;
    std::memcpy(&bits, &value, sizeof bits);
    if ((bits & 0x7f800000u) != 0x7f800000u) bits = (bits + 0x1000u) & ~0x1fffu;
    std::memcpy(&value, &bits, sizeof bits);
    return value;
}

/// The f32 next to `value` towards zero.
inline float cut_off(double value) {
    float nearest = float(value);
    return std::fabs(double(nearest)) > std::fabs(value) ? std::nextafter(nearest, 0.f) : nearest;
}

template <class T>
void check_place(const T* place, unsigned stride) {
    if (reinterpret_cast<uintptr_t>(place) % 32 != 0) emulator::fail("a matrix does not begin at 32 bytes");
    if (stride * sizeof(T) % 16 != 0) emulator::fail("rows of a matrix are not a multiple of 16 bytes apart");
}

template <class Use, int M, int N, int K, class Element>
void fill_fragment(fragment<Use, M, N, K, Element>& to, float value) {
    for (auto& x : to.x) x = value;
}

template <class Use, int M, int N, int K, class Element, class Layout>
void load_matrix_sync(
    fragment<Use, M, N, K, Element, Layout>& to, const typename storage<Element>::type* from, unsigned stride) {
    using Fragment = fragment<Use, M, N, K, Element, Layout>;
    check_place(from, stride);
    emulator::warp_barrier(__LINE__);
    unsigned lane = emulator::running->current % emulator::WARP;
    for (int i = 0; i < Fragment::num_elements; i++) {
        unsigned element = lane * Fragment::num_elements + i;
        unsigned row = element / Fragment::COLUMNS, column = element % Fragment::COLUMNS;
        bool by_rows = std::is_same<Layout, row_major>::value;
        to.x[i] = from[by_rows ? row * stride + column : column * stride + row];
    }
}

template <int M, int N, int K, class Element, class LayoutA, class LayoutB>
void mma_sync(
    fragment<accumulator, M, N, K, float>& to, const fragment<matrix_a, M, N, K, Element, LayoutA>& a,
    const fragment<matrix_b, M, N, K, Element, LayoutB>& b, const fragment<accumulator, M, N, K, float>& add) {
    using A = fragment<matrix_a, M, N, K, Element, LayoutA>;
    using B = fragment<matrix_b, M, N, K, Element, LayoutB>;
    struct Factors {
        const A* a;
        const B* b;
    } mine = {&a, &b};
    emulator::exchange(emulator::ALL_LANES, mine, __LINE__, [&] {
        unsigned lane = emulator::running->current % emulator::WARP;
        for (int i = 0; i < to.num_elements; i++) {
            unsigned element = lane * to.num_elements + i;
            unsigned row = element / N, column = element % N;
            double sum = add.x[i];
            for (unsigned k = 0; k < unsigned(K); k++) {
                unsigned left = row * K + k, right = k * N + column;
                auto of = [](unsigned owner) { return emulator::published<Factors>(owner); };
                float x = of(left / A::num_elements).a->x[left % A::num_elements];
                float y = of(right / B::num_elements).b->x[right % B::num_elements];
                sum += double(x) * double(y);
            }
            to.x[i] = cut_off(sum);
        }
        return 0;
    });
}

template <int M, int N, int K>
void store_matrix_sync(float* to, const fragment<accumulator, M, N, K, float>& from, unsigned stride, layout_t layout) {
    check_place(to, stride);
    emulator::warp_barrier(__LINE__);
    unsigned lane = emulator::running->current % emulator::WARP;
    for (int i = 0; i < from.num_elements; i++) {
        unsigned element = lane * from.num_elements + i;
        unsigned row = element / N, column = element % N;
        to[layout == mem_row_major ? row * stride + column : column * stride + row] = from.x[i];
    }
    emulator::warp_barrier(__LINE__);
}

}  // namespace wmma
}  // namespace nvcuda
