// What the kernels share: the compiler's vectors, and how many numbers are computed together on this processor.
#pragma once
#if defined(_OPENMP)
#include <omp.h>
#else
static int omp_get_thread_num() { return 0; }  // the pragmas are ignored then, and one thread does all
#endif

#include <algorithm>
#if defined(__AVX512F__) || defined(__FMA__)
#include <immintrin.h>
#elif defined(__ARM_NEON)
#include <arm_neon.h>
#endif

#if defined(__AVX512F__)
constexpr int LANES = 16, ROWS = 14, FC_ROWS = 4, FC_OUTPUTS = 6;  // 28 of 32 registers hold sums
#else
constexpr int LANES = 8, ROWS = 6, FC_ROWS = 3, FC_OUTPUTS = 4;  // 12 of 16
#endif
constexpr int BLOCK = 16;         // channels that lie together: one cache line
constexpr int PANEL = 2 * LANES;  // outputs that are summed together

typedef float vec __attribute__((vector_size(LANES * sizeof(float)), aligned(4), may_alias));

static inline vec load(const float* p) { return *reinterpret_cast<const vec*>(p); }
static inline void store(float* p, vec v) { *reinterpret_cast<vec*>(p) = v; }
static inline void put(float* p, vec v) { store(p, v); }
// sum + a * b, rounded once. It is named instead of left to the compiler, which takes two instructions in one kernel and
// one in another, as suits the CPU that it tunes for; the bits would then depend on how many rows are computed at a time.
static inline vec add_product(vec sum, vec a, vec b) {
#if defined(__AVX512F__)
    return (vec)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)sum);
#elif defined(__FMA__)
    return (vec)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)sum);
#elif defined(__ARM_NEON) && defined(__aarch64__)
    struct Halves { float32x4_t low, high; } s, x, y;
    __builtin_memcpy(&s, &sum, sizeof s), __builtin_memcpy(&x, &a, sizeof x), __builtin_memcpy(&y, &b, sizeof y);
    s = {vfmaq_f32(s.low, x.low, y.low), vfmaq_f32(s.high, x.high, y.high)};
    __builtin_memcpy(&sum, &s, sizeof s);
    return sum;
#else
    return sum + a * b;
#endif
}
static inline vec add_product(vec sum, float a, vec b) { return add_product(sum, a - vec{}, b); }
#if defined(__AVX512BF16__)
typedef unsigned short bfloat16;  // its bits
static inline void put(bfloat16* p, vec v) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), (__m256i)_mm512_cvtneps_pbh((__m512)v));
}
#endif
// As PyTorch's, both keep NaN.
static inline vec relu_of(vec v) { return v < 0.0f ? vec{} : v; }
static inline vec larger(vec a, vec b) { return (a > b) | (a != a) ? a : b; }
