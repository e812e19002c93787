// Inference kernels of VGG on a CPU that compute directly: the first convolution, A-LRN's normalisation, FC layers.
//
// Maps are NHWC, float. Every output is summed in an order that depends on the layer alone: not on the batch, its place
// in it, or the threads.
#include <cmath>
#include <vector>

#include "vectors.h"

namespace {

// The first convolution: R neighbouring pixels of a row, one panel of outputs, all taps of all channels.
template <int R>
void first_micro(const float* x, long row, long plane, const float* w, long channels, vec sums[R][2]) {
    for (int r = 0; r < R; r++) sums[r][0] = sums[r][1] = vec{};
    for (long c = 0; c < channels; c++)
        for (int i = 0; i < 3; i++)
            for (int j = 0; j < 3; j++, w += PANEL) {
                const float* a = x + c * plane + i * row + j;
                vec w0 = load(w), w1 = load(w + LANES);
                for (int r = 0; r < R; r++) {
                    sums[r][0] = add_product(sums[r][0], a[r], w0);
                    sums[r][1] = add_product(sums[r][1], a[r], w1);
                }
            }
}

template <int R, typename T>
void first_pixels(const float* x, long row, long plane, const float* w, const float* bias, long channels,
                         long outputs, long relu, T* y) {
    for (long k = 0; k < outputs; k += PANEL) {
        vec sums[R][2];
        first_micro<R>(x, row, plane, w + k * channels * 9, channels, sums);
        const int parts = std::min<long>(2, (outputs - k) / LANES);
        for (int r = 0; r < R; r++)
            for (int part = 0; part < parts; part++) {
                vec sum = sums[r][part] + load(bias + k + part * LANES);
                put(y + r * outputs + k + part * LANES, relu ? relu_of(sum) : sum);
            }
    }
}

// x: (batch, channels, height + 2, width + 2), padded, NCHW; y: NHWC.
template <typename T>
void first(const float* x, const float* w, const float* bias, T* y, const long* shape, long relu, long threads) {
    const long batch = shape[0], height = shape[1], width = shape[2], channels = shape[3], outputs = shape[4];
    const long row = width + 2, plane = (height + 2) * row;
#pragma omp parallel for num_threads(threads) schedule(dynamic, 4)
    for (long i = 0; i < batch * height; i++) {
        const float* from = x + i / height * channels * plane + i % height * row;
        T* to = y + i * width * outputs;
        long j = 0;
        for (; j + ROWS <= width; j += ROWS)
            first_pixels<ROWS>(from + j, row, plane, w, bias, channels, outputs, relu, to + j * outputs);
        for (; j < width; j++)
            first_pixels<1>(from + j, row, plane, w, bias, channels, outputs, relu, to + j * outputs);
    }
}

// What FC layers multiply: floats; or, where the processor does, bfloat16, whose products it sums as floats.
template <typename T>
struct Multiplied {
    typedef vec Vector;
    static constexpr int COUNT = LANES;
    static Vector load_from(const T* p) { return load(p); }
    static vec add_products(vec sum, Vector a, Vector b) { return add_product(sum, a, b); }
};
#if defined(__AVX512BF16__)
template <>
struct Multiplied<bfloat16> {
    typedef __m512bh Vector;
    static constexpr int COUNT = 2 * LANES;
    static Vector load_from(const bfloat16* p) { return (__m512bh)_mm512_loadu_si512(p); }
    static vec add_products(vec sum, Vector a, Vector b) { return (vec)_mm512_dpbf16_ps((__m512)sum, a, b); }
};
#endif

// R images' rows times N rows of a matrix, all along the K numbers of a row: sums[r][n] += a[r] . w[n], lane by lane.
template <typename T, int R, int N>
void dots(const T* a, const T* w, long stride, long count, vec* sums, long outputs) {
    using M = Multiplied<T>;
    vec s[R][N];
    for (int r = 0; r < R; r++)
        for (int n = 0; n < N; n++) s[r][n] = sums[r * outputs + n];
    for (long k = 0; k < count; k += M::COUNT) {
        typename M::Vector b[N];
        for (int n = 0; n < N; n++) b[n] = M::load_from(w + n * stride + k);
        for (int r = 0; r < R; r++) {
            typename M::Vector x = M::load_from(a + r * stride + k);
            for (int n = 0; n < N; n++) s[r][n] = M::add_products(s[r][n], x, b[n]);
        }
    }
    for (int r = 0; r < R; r++)
        for (int n = 0; n < N; n++) sums[r * outputs + n] = s[r][n];
}

template <typename T, int N>
void dots_of(long rows, const T* a, const T* w, long stride, long count, vec* sums, long outputs) {
    switch (rows) {
        case 1: return dots<T, 1, N>(a, w, stride, count, sums, outputs);
        case 2: return dots<T, 2, N>(a, w, stride, count, sums, outputs);
        case 3: return dots<T, 3, N>(a, w, stride, count, sums, outputs);
        default: return dots<T, 4, N>(a, w, stride, count, sums, outputs);
    }
}

// y = x w^T + bias: x (rows, inputs), w (outputs, inputs) as PyTorch has it, inputs a multiple of
// Multiplied<T>::COUNT.
template <typename T>
void product(const T* x, const T* w, const float* bias, float* y, long rows, long inputs, long outputs, long relu,
                    long threads) {
    // Few rows: the matrix streams from memory in long runs. Many: parts of both that stay in L2.
    const long together = 8 * FC_OUTPUTS, run = rows <= 2 * FC_ROWS ? inputs : 1568 * 4 / sizeof(T);
#pragma omp parallel num_threads(threads)
    {
        vec* sums = new vec[rows * together];
#pragma omp for schedule(dynamic)
        for (long first = 0; first < outputs; first += together) {
            const long count = std::min(together, outputs - first);
            for (long i = 0; i < rows * together; i++) sums[i] = vec{};
            for (long k = 0; k < inputs; k += run) {
                const long length = std::min(run, inputs - k);
                for (long n = 0; n < count;) {
                    const bool whole = n + FC_OUTPUTS <= count;
                    const T* from = w + (first + n) * inputs + k;
                    for (long r = 0; r < rows; r += FC_ROWS) {
                        const T* a = x + r * inputs + k;
                        vec* to = sums + r * together + n;
                        const long some = std::min<long>(FC_ROWS, rows - r);
                        if (whole) dots_of<T, FC_OUTPUTS>(some, a, from, inputs, length, to, together);
                        else dots_of<T, 1>(some, a, from, inputs, length, to, together);
                    }
                    n += whole ? FC_OUTPUTS : 1;
                }
            }
            for (long r = 0; r < rows; r++)
                for (long n = 0; n < count; n++) {
                    float sum = 0;
                    for (int lane = 0; lane < LANES; lane++) sum += sums[r * together + n][lane];
                    sum += bias[first + n];
                    y[r * outputs + first + n] = relu && sum < 0 ? 0 : sum;
                }
        }
        delete[] sums;
    }
}

}  // namespace

extern "C" {

// The first layer's weight, (outputs, channels, 3, 3), as [panel][channel, tap][PANEL].
void vgg_first_weight(const float* weight, float* w, long channels, long outputs) {
    const long taps = channels * 9;
    for (long k = 0; k < (outputs + PANEL - 1) / PANEL * PANEL; k++)
        for (long t = 0; t < taps; t++)
            w[(k / PANEL * taps + t) * PANEL + k % PANEL] = k < outputs ? weight[k * taps + t] : 0;
}

void vgg_first(const float* x, const float* w, const float* bias, float* y, const long* shape, long relu, long threads) {
    first(x, w, bias, y, shape, relu, threads);
}

// A-LRN's normalisation (Table 1), in place: each number over (k + scale * s)^(3/4), s the sum of the squares of the five
// channels around it. x: (cells, channels).
void vgg_normalise(float* x, long cells, long channels, float k, float scale, long threads) {
#pragma omp parallel num_threads(threads)
    {
        std::vector<float> padded(channels + 4);  // two zeros on both sides
        float* __restrict squares = padded.data();
#pragma omp for
        for (long i = 0; i < cells; i++) {
            float* __restrict cell = x + i * channels;
            for (long c = 0; c < channels; c++) squares[c + 2] = cell[c] * cell[c];
            for (long c = 0; c < channels; c++) {
                const float* s = squares + c;
                const float root = std::sqrt(k + scale * (s[0] + s[1] + s[2] + s[3] + s[4]));
                cell[c] /= root * std::sqrt(root);
            }
        }
    }
}

void vgg_product(const float* x, const float* w, const float* bias, float* y, long rows, long inputs, long outputs,
                 long relu, long threads) {
    product(x, w, bias, y, rows, inputs, outputs, relu, threads);
}

#if defined(__AVX512BF16__)
void vgg_first_bf16(const float* x, const float* w, const float* bias, bfloat16* y, const long* shape, long relu,
                    long threads) {
    first(x, w, bias, y, shape, relu, threads);
}

void vgg_product_bf16(const bfloat16* x, const bfloat16* w, const float* bias, float* y, long rows, long inputs,
                      long outputs, long relu, long threads) {
    product(x, w, bias, y, rows, inputs, outputs, relu, threads);
}
#endif
}
