// Winograd's convolutions on a CPU (Lavin & Gray 2015): F(4x4, 3x3) of the trunk, F(2x2, 7x7) of fc6 over a map.
//
// Maps are NHWC, float. Called through ctypes, so no header of PyTorch is needed and one build serves all its versions.
// Every output is summed in an order that depends on the layer alone: not on the batch, its place in it, or the threads.
#include "vectors.h"

namespace {

constexpr int PARTS = BLOCK / LANES;

// F(m x m, r x r) in one dimension: OUT = m outputs of TAPS = r taps see IN inputs, y = A^T [(G g) * (B^T d)].
struct Trunk {
    static constexpr int OUT = 4, TAPS = 3, IN = 6, POINTS = IN * IN;
    static constexpr long CHUNK = 128;  // channels whose weights are transformed at once: they stay in L2
    // B^T d
    static void input(const vec d[IN], vec out[IN]) {
        vec a = d[4] - 4.0f * d[2], b = d[3] - 4.0f * d[1];
        vec c = d[4] - d[2], e = 2.0f * (d[3] - d[1]);
        out[0] = 4.0f * d[0] - 5.0f * d[2] + d[4];
        out[1] = a + b;
        out[2] = a - b;
        out[3] = c + e;
        out[4] = c - e;
        out[5] = 4.0f * d[1] - 5.0f * d[3] + d[5];
    }
    // G g, of g[0] / 24, g[1] / 12 and g[2] / 6
    static void weight(const vec g[TAPS], vec out[IN]) {
        const vec s = add_product(g[2], 4.0f, g[0]), q = g[0] + g[2];
        out[0] = 6.0f * g[0];
        out[1] = add_product(-s, -2.0f, g[1]);
        out[2] = add_product(-s, 2.0f, g[1]);
        out[3] = q + g[1];
        out[4] = q - g[1];
        out[5] = 6.0f * g[2];
    }
    // A^T m
    static void output(const vec m[IN], vec out[OUT]) {
        vec a = m[1] + m[2], b = m[1] - m[2], c = m[3] + m[4], e = m[3] - m[4];
        out[0] = m[0] + a + c;
        out[1] = b + 2.0f * e;
        out[2] = a + 4.0f * c;
        out[3] = b + 8.0f * e + m[5];
    }
    // The taps of one channel and one panel, [tap][PANEL], of a weight as vgg_panel_weight orders it.
    static constexpr long ROOM = 1;
    static const float* taps(const float* w, long channels, long panel, long c, float*) {
        return w + (panel * channels + c) * TAPS * TAPS * PANEL;
    }
};

typedef float four __attribute__((vector_size(16), aligned(4), may_alias));
typedef int places __attribute__((vector_size(16)));
#if defined(__clang__)
#define PICK(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
#define PICK(a, b, ...) __builtin_shuffle(a, b, (places){__VA_ARGS__})
#endif

// to[j * PANEL + i] = from[i * stride + j], for i and j under 4.
inline void transpose(const float* from, long stride, float* to) {
    four rows[4];
    for (int i = 0; i < 4; i++) rows[i] = *reinterpret_cast<const four*>(from + i * stride);
    const four a = PICK(rows[0], rows[1], 0, 4, 1, 5), b = PICK(rows[2], rows[3], 0, 4, 1, 5);
    const four c = PICK(rows[0], rows[1], 2, 6, 3, 7), d = PICK(rows[2], rows[3], 2, 6, 3, 7);
    *reinterpret_cast<four*>(to) = PICK(a, b, 0, 1, 4, 5);
    *reinterpret_cast<four*>(to + PANEL) = PICK(a, b, 2, 3, 6, 7);
    *reinterpret_cast<four*>(to + 2 * PANEL) = PICK(c, d, 0, 1, 4, 5);
    *reinterpret_cast<four*>(to + 3 * PANEL) = PICK(c, d, 2, 3, 6, 7);
}

struct Fc6 {
    static constexpr int OUT = 2, TAPS = 7, IN = 8, POINTS = IN * IN;
    static constexpr long CHUNK = 64;
    static void input(const vec d[IN], vec out[IN]) {
        const vec a = d[2] + d[6] - 4.25f * d[4], b = d[1] + d[5] - 4.25f * d[3];
        const vec c = 0.25f * d[2] - 1.25f * d[4] + d[6], e = 0.5f * d[1] - 2.5f * d[3] + 2.0f * d[5];
        const vec f = 4.0f * d[2] - 5.0f * d[4] + d[6], h = 2.0f * d[1] - 2.5f * d[3] + 0.5f * d[5];
        out[0] = d[0] - d[6] + 5.25f * (d[4] - d[2]);
        out[1] = a + b;
        out[2] = a - b;
        out[3] = c + e;
        out[4] = c - e;
        out[5] = f + h;
        out[6] = f - h;
        out[7] = d[7] - d[1] + 5.25f * (d[3] - d[5]);
    }
    static void weight(const vec g[TAPS], vec out[IN]) {
        constexpr float one = -2.0f / 9, two = 1.0f / 90, half = 32.0f / 45;  // the points 1 and -1, 2 and -2, 1/2 and -1/2
        const vec a = one * (g[0] + g[2] + (g[4] + g[6])), b = one * (g[1] + g[3] + g[5]);
        vec c = add_product(two * g[0], 4 * two, g[2]), d = add_product(2 * two * g[1], 8 * two, g[3]);
        vec e = add_product(half * g[0], half / 4, g[2]), f = add_product(half / 2 * g[1], half / 8, g[3]);
        c = add_product(add_product(c, 16 * two, g[4]), 64 * two, g[6]);
        d = add_product(d, 32 * two, g[5]);
        e = add_product(add_product(e, half / 16, g[4]), half / 64, g[6]);
        f = add_product(f, half / 32, g[5]);
        out[0] = g[0];
        out[1] = a + b;
        out[2] = a - b;
        out[3] = c + d;
        out[4] = c - d;
        out[5] = e + f;
        out[6] = e - f;
        out[7] = g[6];
    }
    static void output(const vec m[IN], vec out[OUT]) {
        out[0] = m[0] + (m[1] + m[2]) + (m[3] + m[4]) + (m[5] + m[6]);
        out[1] = (m[1] - m[2]) + 2.0f * (m[3] - m[4]) + 0.5f * (m[5] - m[6]) + m[7];
    }
    // Of a weight as PyTorch has it, (outputs, channels, 7, 7), four channels at a time.
    static constexpr long ROOM = 4 * TAPS * TAPS * PANEL;
    static const float* taps(const float* w, long channels, long panel, long c, float* room) {
        constexpr long COUNT = TAPS * TAPS;
        const long stride = channels * COUNT;
        for (int k = 0; k < PANEL && c % 4 == 0; k += 4)
            for (long tap = 0; tap < 4 * COUNT; tap += 4) {
                const float* from = w + (panel * PANEL + k) * stride + c * COUNT + tap;
                for (int i = 0; i < 4 && tap % BLOCK == 0; i++) __builtin_prefetch(from + i * stride + 4 * COUNT);
                transpose(from, stride, room + tap * PANEL + k);
            }
        return room + c % 4 * COUNT * PANEL;
    }
};

struct Layer {
    const float *x, *weight, *bias;
    float* y;
    long batch, height, width, channels, outputs;  // of the input map; channels and outputs are multiples of BLOCK
    long relu, pool, out_height, out_width;        // of the output map, after the pool
    const float* zeros;
    long margin = 0, rows = 0, columns = 0, down = 0, across = 0;  // padding; the output map before the pool, its tiles

    template <class F>
    void set_tiles(long padding) {
        margin = padding, rows = height + 2 * padding - F::TAPS + 1, columns = width + 2 * padding - F::TAPS + 1;
        down = (rows + F::OUT - 1) / F::OUT, across = (columns + F::OUT - 1) / F::OUT;
    }
    long panels() const { return (outputs + PANEL - 1) / PANEL; }
    long blocks() const { return channels / BLOCK; }
    // An odd number of cache lines between points: their stores must not compete for one set of the cache.
    long v_stride(long tiles) const { return (blocks() * tiles | 1) * BLOCK; }
};
constexpr long m_stride(long panels, long tiles) { return (panels * tiles * PANEL / BLOCK | 1) * BLOCK; }
constexpr long u_stride(long channels) { return channels * PANEL + BLOCK; }

// The pixels that a tile sees; those outside the map are zeros.
template <class F>
void pixels_of(const Layer& l, long tile, const float* pixels[F::POINTS]) {
    long image = tile / (l.down * l.across), place = tile % (l.down * l.across);
    long top = place / l.across * F::OUT - l.margin, left = place % l.across * F::OUT - l.margin;
    for (long i = 0; i < F::IN; i++)
        for (long j = 0; j < F::IN; j++) {
            long y = top + i, x = left + j;
            bool inside = y >= 0 && y < l.height && x >= 0 && x < l.width;
            pixels[i * F::IN + j] = inside ? l.x + ((image * l.height + y) * l.width + x) * l.channels : l.zeros;
        }
}

// V of tile `slot` of `tiles`: [point][channel block][tile][BLOCK].
template <class F>
void transform_input(const Layer& l, long tile, float* v, long slot, long tiles) {
    const float* pixels[F::POINTS];
    pixels_of<F>(l, tile, pixels);
    const long stride = l.v_stride(tiles);
    for (long block = 0; block < l.blocks(); block++)
        for (int part = 0; part < PARTS; part++) {
            const long c = block * BLOCK + part * LANES;
            vec half[F::IN][F::IN];
            for (int j = 0; j < F::IN; j++) {
                vec d[F::IN], t[F::IN];
                for (int i = 0; i < F::IN; i++) d[i] = load(pixels[i * F::IN + j] + c);
                F::input(d, t);
                for (int i = 0; i < F::IN; i++) half[i][j] = t[i];
            }
            float* to = v + (block * tiles + slot) * BLOCK + part * LANES;
            for (int i = 0; i < F::IN; i++) {
                vec t[F::IN];
                F::input(half[i], t);
                for (int j = 0; j < F::IN; j++) store(to + (i * F::IN + j) * stride, t[j]);
            }
        }
}

// U of some channels from `first` and one panel: [point][channel][PANEL].
template <class F>
void transform_weight(const Layer& l, long panel, long first, long count, float* u) {
    float room[F::ROOM];
    for (long c = 0; c < count; c++) {
        const float* g = F::taps(l.weight, l.channels, panel, first + c, room);
        for (int part = 0; part < PANEL; part += LANES) {
            vec half[F::IN][F::TAPS];
            for (int j = 0; j < F::TAPS; j++) {
                vec d[F::TAPS], t[F::IN];
                for (int i = 0; i < F::TAPS; i++) d[i] = load(g + (i * F::TAPS + j) * PANEL + part);
                F::weight(d, t);
                for (int i = 0; i < F::IN; i++) half[i][j] = t[i];
            }
            for (int i = 0; i < F::IN; i++) {
                vec t[F::IN];
                F::weight(half[i], t);
                for (int j = 0; j < F::IN; j++) store(u + (i * F::IN + j) * u_stride(count) + c * PANEL + part, t[j]);
            }
        }
    }
}

// R tiles times one panel: the sums over channels of v[r][c] u[c][PANEL] become m[r][PANEL], or are added to it.
template <int R>
void micro(const float* v, long v_block, const float* u, long blocks, float* m, bool add) {
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
    for (int r = 0; r < R; r++, m += PANEL) {
        store(m, add ? load(m) + sums[r][0] : sums[r][0]);
        store(m + LANES, add ? load(m + LANES) + sums[r][1] : sums[r][1]);
    }
}

using Micro = void (*)(const float*, long, const float*, long, float*, bool);
template <int... R>
struct Micros {
    static constexpr Micro table[] = {micro<R>...};
};
#if defined(__AVX512F__)
constexpr const Micro* MICRO = Micros<1, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14>::table;
#else
constexpr const Micro* MICRO = Micros<1, 1, 2, 3, 4, 5, 6>::table;
#endif

// One point and one panel of all tiles; v and u start at the channels that are summed.
void multiply(const float* v, const float* u, float* m, long tiles, long channels, bool add) {
    const long groups = (tiles + ROWS - 1) / ROWS;
    for (long g = 0; g < groups; g++) {
        const long start = g * tiles / groups, end = (g + 1) * tiles / groups;
        MICRO[end - start](v + start * BLOCK, tiles * BLOCK, u, channels / BLOCK, m + start * PANEL, add);
    }
}

// A tile's outputs of the panels from `panel` to `last`, with bias and ReLU, and the max-pool if there is one.
// m: [point][panel][tile][PANEL].
template <class F>
void transform_output(const Layer& l, long tile, const float* m, long slot, long tiles, long panel, long last) {
    const long image = tile / (l.down * l.across), place = tile % (l.down * l.across);
    const long top = place / l.across * F::OUT, left = place % l.across * F::OUT, stride = m_stride(last - panel, tiles);
    const long rows = std::min<long>(F::OUT, l.rows - top), columns = std::min<long>(F::OUT, l.columns - left);
    for (long c = panel * PANEL; c < std::min(last * PANEL, l.outputs); c += LANES) {
        const float* from = m + ((c / PANEL - panel) * tiles + slot) * PANEL + c % PANEL;
        vec half[F::OUT][F::IN], out[F::OUT][F::OUT];
        for (int j = 0; j < F::IN; j++) {
            vec d[F::IN], t[F::OUT];
            for (int i = 0; i < F::IN; i++) d[i] = load(from + (i * F::IN + j) * stride);
            F::output(d, t);
            for (int i = 0; i < F::OUT; i++) half[i][j] = t[i];
        }
        const vec bias = load(l.bias + c);
        for (int i = 0; i < F::OUT; i++) {
            F::output(half[i], out[i]);
            for (int j = 0; j < F::OUT; j++) {
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
        for (long i = rows; i < F::OUT; i++) for (long j = 0; j < F::OUT; j++) out[i][j] = vec{};  // the least after ReLU
        for (long j = columns; j < F::OUT; j++) for (long i = 0; i < F::OUT; i++) out[i][j] = vec{};
        for (long i = 0; i < F::OUT / 2; i++)
            for (long j = 0; j < F::OUT / 2; j++) {
                const long y = top / 2 + i, x = left / 2 + j;
                if (y >= l.out_height || x >= l.out_width) continue;
                vec most = larger(larger(out[2 * i][2 * j], out[2 * i][2 * j + 1]),
                                  larger(out[2 * i + 1][2 * j], out[2 * i + 1][2 * j + 1]));
                store(l.y + ((image * l.out_height + y) * l.out_width + x) * l.outputs + c, most);
            }
    }
}

// Weights that were transformed once, [point][panel][channel][PANEL], and stay in the cache. Few tiles are shared by all
// threads, of many each thread has blocks of its own, whose V and M stay in L2.
void stored(const Layer& l, bool together, long tiles, float* space, long threads) {
    using F = Trunk;
    const long total = l.batch * l.down * l.across, blocks = (total + tiles - 1) / tiles, panels = l.panels();
    const long v_floats = F::POINTS * l.v_stride(tiles), m_floats = F::POINTS * m_stride(panels, tiles);
    auto products = [&](long point, long panel, const float* v, float* m, long count) {
        multiply(v + point * l.v_stride(count), l.weight + (point * panels + panel) * l.channels * PANEL,
                 m + point * m_stride(panels, count) + panel * count * PANEL, count, l.channels, false);
    };
#pragma omp parallel num_threads(threads)
    if (!together) {
        float *v = space + omp_get_thread_num() * (v_floats + m_floats), *m = v + v_floats;
#pragma omp for schedule(dynamic)
        for (long b = 0; b < blocks; b++) {
            const long start = b * total / blocks, count = (b + 1) * total / blocks - start;
            for (long t = 0; t < count; t++) transform_input<F>(l, start + t, v, t, count);
            for (long i = 0; i < F::POINTS * panels; i++) products(i / panels, i % panels, v, m, count);
            for (long t = 0; t < count; t++) transform_output<F>(l, start + t, m, t, count, 0, panels);
        }
    } else {
        float *v = space, *m = space + v_floats;
        for (long b = 0; b < blocks; b++) {
            const long start = b * total / blocks, count = (b + 1) * total / blocks - start;
#pragma omp for schedule(dynamic, 4)
            for (long t = 0; t < count; t++) transform_input<F>(l, start + t, v, t, count);
#pragma omp for schedule(dynamic, 2)
            for (long i = 0; i < F::POINTS * panels; i++) products(i / panels, i % panels, v, m, count);
#pragma omp for schedule(dynamic, 4)
            for (long t = 0; t < count; t++) transform_output<F>(l, start + t, m, t, count, 0, panels);
        }
    }
}

template <class F>
constexpr long streamed_floats(long tiles) { return F::POINTS * (m_stride(1, tiles) + u_stride(F::CHUNK)); }

// Weights whose U would not stay in the cache: each panel is transformed there, some channels at a time, and multiplied
// with all tiles of a block. So memory is read for TAPS^2 numbers instead of POINTS. All threads share V.
template <class F>
void streamed(const Layer& l, long tiles, float* space, long threads) {
    const long total = l.batch * l.down * l.across, blocks = (total + tiles - 1) / tiles;
#pragma omp parallel num_threads(threads)
    {
        float* v = space;
        float* m = v + F::POINTS * l.v_stride(tiles) + omp_get_thread_num() * streamed_floats<F>(tiles);
        float* u = m + F::POINTS * m_stride(1, tiles);
        for (long b = 0; b < blocks; b++) {
            const long start = b * total / blocks, count = (b + 1) * total / blocks - start;
#pragma omp for schedule(dynamic, 4)
            for (long t = 0; t < count; t++) transform_input<F>(l, start + t, v, t, count);
#pragma omp for schedule(dynamic)
            for (long panel = 0; panel < l.panels(); panel++) {
                for (long first = 0; first < l.channels; first += F::CHUNK) {
                    const long some = std::min(F::CHUNK, l.channels - first);
                    transform_weight<F>(l, panel, first, some, u);
                    for (long point = 0; point < F::POINTS; point++)
                        multiply(v + point * l.v_stride(count) + first * count, u + point * u_stride(some),
                                 m + point * m_stride(1, count), count, some, first > 0);
                }
                for (long t = 0; t < count; t++) transform_output<F>(l, start + t, m, t, count, panel, panel + 1);
            }
        }
    }
}

Layer layer(const float* x, const float* weight, const float* bias, float* y, const long* shape, long relu, long pool,
            const float* zeros) {
    return {x, weight, bias, y, shape[0], shape[1], shape[2], shape[3], shape[4], relu, pool, shape[5], shape[6], zeros};
}

}  // namespace

extern "C" {

int vgg_panel() { return PANEL; }
int vgg_rows() { return ROWS; }

// Floats of the space that a layer needs for blocks of `tiles`.
long vgg_stored_floats(long channels, long outputs, long together, long tiles, long threads) {
    Layer l{};
    l.channels = channels, l.outputs = outputs;
    return Trunk::POINTS * (l.v_stride(tiles) + m_stride(l.panels(), tiles)) * (together ? 1 : threads);
}
long vgg_streamed_floats(long channels, long tiles, long threads) {
    Layer l{};
    l.channels = channels;
    return Trunk::POINTS * l.v_stride(tiles) + threads * streamed_floats<Trunk>(tiles);
}
long vgg_fc6_floats(long channels, long tiles, long threads) {
    Layer l{};
    l.channels = channels;
    return Fc6::POINTS * l.v_stride(tiles) + threads * streamed_floats<Fc6>(tiles);
}

// U, [point][panel][channel][PANEL], of a weight (outputs, channels, 3, 3): G g G^T, in double.
void vgg_transform_weight(const float* weight, float* u, long channels, long outputs) {
    static const double G[6][3] = {{1. / 4, 0, 0},           {-1. / 6, -1. / 6, -1. / 6}, {-1. / 6, 1. / 6, -1. / 6},
                                   {1. / 24, 1. / 12, 1. / 6}, {1. / 24, -1. / 12, 1. / 6}, {0, 0, 1}};
    const long panels = (outputs + PANEL - 1) / PANEL;
#pragma omp parallel for
    for (long panel = 0; panel < panels; panel++)
        for (long c = 0; c < channels; c++)
            for (long k = 0; k < PANEL; k++) {
                const long out = panel * PANEL + k;
                const float* g = weight + (out * channels + c) * 9;
                for (int i = 0; i < 6; i++)
                    for (int j = 0; j < 6; j++) {
                        double sum = 0;
                        for (int a = 0; a < 3 && out < outputs; a++)
                            for (int b = 0; b < 3; b++) sum += G[i][a] * g[a * 3 + b] * G[j][b];
                        u[(((i * 6 + j) * panels + panel) * channels + c) * PANEL + k] = (float)sum;
                    }
            }
}

// A weight (outputs, channels, 3, 3) as [panel][channel][tap][PANEL], each tap divided as Trunk::weight needs it.
void vgg_panel_weight(const float* weight, float* w, long channels, long outputs) {
    static const double divisor[] = {24, 12, 6};
#pragma omp parallel for
    for (long panel = 0; panel < (outputs + PANEL - 1) / PANEL; panel++)
        for (long c = 0; c < channels; c++)
            for (long tap = 0; tap < 9; tap++)
                for (long k = 0; k < PANEL; k++) {
                    const long out = panel * PANEL + k;
                    const double g = out < outputs ? weight[(out * channels + c) * 9 + tap] : 0;
                    w[((panel * channels + c) * 9 + tap) * PANEL + k] = (float)(g / (divisor[tap / 3] * divisor[tap % 3]));
                }
}

// A 3 x 3 convolution with padding 1, of a weight of vgg_transform_weight.
void vgg_stored(const float* x, const float* u, const float* bias, float* y, const long* shape, long relu, long pool,
                long together, long tiles, float* space, const float* zeros, long threads) {
    Layer l = layer(x, u, bias, y, shape, relu, pool, zeros);
    l.set_tiles<Trunk>(1);
    stored(l, together, tiles, space, threads);
}

// The same of a weight of vgg_panel_weight.
void vgg_streamed(const float* x, const float* w, const float* bias, float* y, const long* shape, long relu, long pool,
                  long tiles, float* space, const float* zeros, long threads) {
    Layer l = layer(x, w, bias, y, shape, relu, pool, zeros);
    l.set_tiles<Trunk>(1);
    streamed<Trunk>(l, tiles, space, threads);
}

// fc6 at every place of a map where its window fits; its weight as PyTorch has it, outputs a multiple of PANEL.
void vgg_fc6(const float* x, const float* w, const float* bias, float* y, const long* shape, long relu, long tiles,
             float* space, const float* zeros, long threads) {
    Layer l = layer(x, w, bias, y, shape, relu, 0, zeros);
    l.set_tiles<Fc6>(0);
    streamed<Fc6>(l, tiles, space, threads);
}
}
