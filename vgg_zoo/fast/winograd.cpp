// Inference kernels of VGG on a CPU: Winograd F(4x4, 3x3) (Lavin & Gray 2015), the first convolution, A-LRN's
// normalisation, FC layers.
//
// Maps are NHWC, float. Called through ctypes, so no header of PyTorch is needed and one build serves all its versions.
// Every output is summed in an order that depends on the layer alone: not on the batch, its place in it, or the threads.
#if defined(_OPENMP)
#include <omp.h>
#else
static int omp_get_thread_num() { return 0; }  // the pragmas are ignored then, and one thread does all
#endif

#include <algorithm>
#include <cmath>
#include <vector>
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
constexpr int BLOCK = 16;           // channels that lie together in V: one cache line
constexpr int PANEL = 2 * LANES;    // outputs of one micro-kernel
constexpr int PARTS = BLOCK / LANES;
constexpr int POINTS = 36, IN = 6, OUT = 4;

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

struct Layer {
    const float *x, *u, *bias;
    float* y;
    long batch, height, width, channels, outputs;  // of the input map; channels and outputs are multiples of BLOCK
    long relu, pool, out_height, out_width;        // of the output map, after the pool
    long down, across;                             // tiles
    const float* zeros;
    long panels() const { return (outputs + PANEL - 1) / PANEL; }
    long blocks() const { return channels / BLOCK; }
    // An odd number of cache lines between points: their stores must not compete for one set of the cache.
    long v_stride(long tiles) const { return (blocks() * tiles | 1) * BLOCK; }
    long m_stride(long tiles) const { return (panels() * tiles * PANEL / BLOCK | 1) * BLOCK; }
};

// B^T d: one dimension of the input transform.
static inline void input_1d(const vec d[IN], vec out[IN]) {
    vec a = d[4] - 4.0f * d[2], b = d[3] - 4.0f * d[1];
    vec c = d[4] - d[2], e = 2.0f * (d[3] - d[1]);
    out[0] = 4.0f * d[0] - 5.0f * d[2] + d[4];
    out[1] = a + b;
    out[2] = a - b;
    out[3] = c + e;
    out[4] = c - e;
    out[5] = 4.0f * d[1] - 5.0f * d[3] + d[5];
}

// A^T m: one dimension of the output transform.
static inline void output_1d(const vec m[IN], vec out[OUT]) {
    vec a = m[1] + m[2], b = m[1] - m[2], c = m[3] + m[4], e = m[3] - m[4];
    out[0] = m[0] + a + c;
    out[1] = b + 2.0f * e;
    out[2] = a + 4.0f * c;
    out[3] = b + 8.0f * e + m[5];
}

// The 6 x 6 pixels that a tile sees; those outside the map are zeros.
static void pixels_of(const Layer& l, long tile, const float* pixels[POINTS]) {
    long image = tile / (l.down * l.across), place = tile % (l.down * l.across);
    long top = place / l.across * OUT - 1, left = place % l.across * OUT - 1;
    for (long i = 0; i < IN; i++)
        for (long j = 0; j < IN; j++) {
            long y = top + i, x = left + j;
            bool inside = y >= 0 && y < l.height && x >= 0 && x < l.width;
            pixels[i * IN + j] = inside ? l.x + ((image * l.height + y) * l.width + x) * l.channels : l.zeros;
        }
}

// V of tile `slot` of `tiles`: [point][channel block][tile][BLOCK].
static void transform_input(const Layer& l, long tile, float* v, long slot, long tiles) {
    const float* pixels[POINTS];
    pixels_of(l, tile, pixels);
    const long stride = l.v_stride(tiles);
    for (long block = 0; block < l.blocks(); block++)
        for (int part = 0; part < PARTS; part++) {
            const long c = block * BLOCK + part * LANES;
            vec half[IN][IN];
            for (int j = 0; j < IN; j++) {
                vec d[IN], t[IN];
                for (int i = 0; i < IN; i++) d[i] = load(pixels[i * IN + j] + c);
                input_1d(d, t);
                for (int i = 0; i < IN; i++) half[i][j] = t[i];
            }
            float* to = v + (block * tiles + slot) * BLOCK + part * LANES;
            for (int i = 0; i < IN; i++) {
                vec t[IN];
                input_1d(half[i], t);
                for (int j = 0; j < IN; j++) store(to + (i * IN + j) * stride, t[j]);
            }
        }
}

// R tiles times one panel: m[r][PANEL] = sum over channels of v[r][c] u[c][PANEL].
template <int R>
static void micro(const float* v, long v_block, const float* u, long blocks, float* m) {
    vec sums[R][2];
    for (int r = 0; r < R; r++) sums[r][0] = sums[r][1] = vec{};
    for (long block = 0; block < blocks; block++, v += v_block)
        for (int c = 0; c < BLOCK; c++, u += PANEL) {
            vec u0 = load(u), u1 = load(u + LANES);
            for (int r = 0; r < R; r++) {
                float a = v[r * BLOCK + c];
                sums[r][0] = add_product(sums[r][0], a, u0);
                sums[r][1] = add_product(sums[r][1], a, u1);
            }
        }
    for (int r = 0; r < R; r++) {
        store(m + r * PANEL, sums[r][0]);
        store(m + r * PANEL + LANES, sums[r][1]);
    }
}

using Micro = void (*)(const float*, long, const float*, long, float*);
template <int... R>
struct Micros {
    static constexpr Micro table[] = {micro<R>...};
};
#if defined(__AVX512F__)
constexpr const Micro* MICRO = Micros<1, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14>::table;
#else
constexpr const Micro* MICRO = Micros<1, 1, 2, 3, 4, 5, 6>::table;
#endif

// M of one point and one panel: [point][panel][tile][PANEL].
static void multiply(const Layer& l, long point, long panel, const float* v, float* m, long tiles) {
    const float* a = v + point * l.v_stride(tiles);
    const float* u = l.u + (point * l.panels() + panel) * l.channels * PANEL;
    float* to = m + point * l.m_stride(tiles) + panel * tiles * PANEL;
    const long groups = (tiles + ROWS - 1) / ROWS;
    for (long g = 0; g < groups; g++) {
        const long start = g * tiles / groups, end = (g + 1) * tiles / groups;
        MICRO[end - start](a + start * BLOCK, tiles * BLOCK, u, l.blocks(), to + start * PANEL);
    }
}

// The outputs of a tile, with bias and ReLU, and the max-pool if there is one.
static void transform_output(const Layer& l, long tile, const float* m, long slot, long tiles) {
    const long image = tile / (l.down * l.across), place = tile % (l.down * l.across);
    const long top = place / l.across * OUT, left = place % l.across * OUT, stride = l.m_stride(tiles);
    const long rows = std::min<long>(OUT, l.height - top), columns = std::min<long>(OUT, l.width - left);
    for (long c = 0; c < l.outputs; c += LANES) {
        const float* from = m + (c / PANEL * tiles + slot) * PANEL + c % PANEL;
        vec half[OUT][IN], out[OUT][OUT];
        for (int j = 0; j < IN; j++) {
            vec d[IN], t[OUT];
            for (int i = 0; i < IN; i++) d[i] = load(from + (i * IN + j) * stride);
            output_1d(d, t);
            for (int i = 0; i < OUT; i++) half[i][j] = t[i];
        }
        const vec bias = load(l.bias + c);
        for (int i = 0; i < OUT; i++) {
            output_1d(half[i], out[i]);
            for (int j = 0; j < OUT; j++) {
                out[i][j] += bias;
                if (l.relu) out[i][j] = relu_of(out[i][j]);
            }
        }
        if (!l.pool) {
            for (long i = 0; i < rows; i++)
                for (long j = 0; j < columns; j++)
                    store(l.y + ((image * l.out_height + top + i) * l.out_width + left + j) * l.outputs + c, out[i][j]);
            continue;
        }
        for (long i = rows; i < OUT; i++) for (long j = 0; j < OUT; j++) out[i][j] = vec{};  // 0 is the least after ReLU
        for (long j = columns; j < OUT; j++) for (long i = 0; i < OUT; i++) out[i][j] = vec{};
        for (long i = 0; i < 2; i++)
            for (long j = 0; j < 2; j++) {
                const long y = top / 2 + i, x = left / 2 + j;
                if (y >= l.out_height || x >= l.out_width) continue;
                vec most = larger(larger(out[2 * i][2 * j], out[2 * i][2 * j + 1]),
                                  larger(out[2 * i + 1][2 * j], out[2 * i + 1][2 * j + 1]));
                store(l.y + ((image * l.out_height + y) * l.out_width + x) * l.outputs + c, most);
            }
    }
}

static void whole_block(const Layer& l, float* v, float* m, long first, long tiles) {
    for (long t = 0; t < tiles; t++) transform_input(l, first + t, v, t, tiles);
    for (long point = 0; point < POINTS; point++)
        for (long panel = 0; panel < l.panels(); panel++) multiply(l, point, panel, v, m, tiles);
    for (long t = 0; t < tiles; t++) transform_output(l, first + t, m, t, tiles);
}

// The first convolution: R neighbouring pixels of a row, one panel of outputs, all taps of all channels.
template <int R>
static void first_micro(const float* x, long row, long plane, const float* w, long channels, vec sums[R][2]) {
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
static void first_pixels(const float* x, long row, long plane, const float* w, const float* bias, long channels,
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
static void first(const float* x, const float* w, const float* bias, T* y, const long* shape, long relu, long threads) {
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
static void dots(const T* a, const T* w, long stride, long count, vec* sums, long outputs) {
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
static void dots_of(long rows, const T* a, const T* w, long stride, long count, vec* sums, long outputs) {
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
static void product(const T* x, const T* w, const float* bias, float* y, long rows, long inputs, long outputs, long relu,
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

extern "C" {

int vgg_panel() { return PANEL; }
int vgg_rows() { return ROWS; }

// Floats of V and M for blocks of `tiles`.
long vgg_v_floats(long channels, long tiles) {
    Layer l{};
    l.channels = channels;
    return POINTS * l.v_stride(tiles);
}
long vgg_m_floats(long outputs, long tiles) {
    Layer l{};
    l.outputs = outputs;
    return POINTS * l.m_stride(tiles);
}

// U, [point][panel][channel][PANEL], of a weight (outputs, channels, 3, 3): G g G^T, in double.
void vgg_transform_weight(const float* weight, float* u, long channels, long outputs) {
    static const double G[IN][3] = {{1. / 4, 0, 0},           {-1. / 6, -1. / 6, -1. / 6}, {-1. / 6, 1. / 6, -1. / 6},
                                    {1. / 24, 1. / 12, 1. / 6}, {1. / 24, -1. / 12, 1. / 6}, {0, 0, 1}};
    const long panels = (outputs + PANEL - 1) / PANEL;
#pragma omp parallel for
    for (long panel = 0; panel < panels; panel++)
        for (long c = 0; c < channels; c++)
            for (long k = 0; k < PANEL; k++) {
                const long out = panel * PANEL + k;
                const float* g = weight + (out * channels + c) * 9;
                for (int i = 0; i < IN; i++)
                    for (int j = 0; j < IN; j++) {
                        double sum = 0;
                        for (int a = 0; a < 3 && out < outputs; a++)
                            for (int b = 0; b < 3; b++) sum += G[i][a] * g[a * 3 + b] * G[j][b];
                        u[(((i * IN + j) * panels + panel) * channels + c) * PANEL + k] = (float)sum;
                    }
            }
}

// One layer. `together`: all threads share blocks of `tiles`, else each has its own; `space` holds V and M for it.
void vgg_winograd(const float* x, const float* u, const float* bias, float* y, const long* shape, long relu, long pool,
                  long together, long tiles, float* space, const float* zeros, long threads) {
    Layer l{x, u, bias, y, shape[0], shape[1], shape[2], shape[3], shape[4], relu, pool, shape[5], shape[6], 0, 0, zeros};
    l.down = (l.height + OUT - 1) / OUT;
    l.across = (l.width + OUT - 1) / OUT;
    const long total = l.batch * l.down * l.across;
    const long v_floats = vgg_v_floats(l.channels, tiles), m_floats = vgg_m_floats(l.outputs, tiles);
    const long blocks = (total + tiles - 1) / tiles;
    if (!together) {
#pragma omp parallel num_threads(threads)
        {
            float* v = space + omp_get_thread_num() * (v_floats + m_floats);
#pragma omp for schedule(dynamic)
            for (long b = 0; b < blocks; b++) {
                const long start = b * total / blocks, end = (b + 1) * total / blocks;
                whole_block(l, v, v + v_floats, start, end - start);
            }
        }
        return;
    }
    float *v = space, *m = space + v_floats;
#pragma omp parallel num_threads(threads)
    for (long b = 0; b < blocks; b++) {
        const long start = b * total / blocks, count = (b + 1) * total / blocks - start;
#pragma omp for schedule(dynamic, 4)
        for (long t = 0; t < count; t++) transform_input(l, start + t, v, t, count);
#pragma omp for schedule(dynamic, 2)
        for (long i = 0; i < POINTS * l.panels(); i++) multiply(l, i / l.panels(), i % l.panels(), v, m, count);
#pragma omp for schedule(dynamic, 4)
        for (long t = 0; t < count; t++) transform_output(l, start + t, m, t, count);
    }
}

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
