// 3 x 3 convolutions and FC layers in bfloat16 by AMX, the matrix unit of Intel's server CPUs: direct, summed in float.
//
// It multiplies tiles: 16 rows of 32 numbers by 32 x 16 numbers that lie in pairs. Maps are NHWC. A block of their rows is
// copied to where 32 channels of neighbouring pixels lie together, with a zero before each row that is also the end of
// the row above: the pixel that a tap sees is then always as many pixels further on, and 16 pixels behind one another are
// a tile, wherever rows end. FC weights are read as they are, and the windows lie in pairs.
// Every output is summed in an order that depends on the layer alone: channels by 32, and of these the nine taps.
#if defined(__AMX_BF16__) && defined(__AVX512BF16__) && defined(__linux__)
#if defined(_OPENMP)
#include <omp.h>
#endif

#include <immintrin.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <vector>

namespace {

typedef unsigned short bfloat16;  // its bits
constexpr long DEPTH = 32;        // channels of a tile, and of a step
constexpr long PIXELS = 16;       // of a tile
constexpr long MOST = 3;          // tiles of pixels that are summed together: with two of outputs, six of the eight there are
constexpr long PANEL = 32;        // outputs that are summed together: two tiles
constexpr long TAPS = 9;
constexpr long STEP = DEPTH * PANEL;  // numbers of the weight that one step multiplies
constexpr long RUN = 3136;            // inputs of an FC layer whose numbers stay in L2

struct Layer {
    const void* x;
    const bfloat16* weight;
    const float* bias;
    bfloat16* y;
    long batch, height, width, channels, outputs, out_height, out_width, relu, pool, of_floats, rows;
    long pitch() const { return width + 1; }
    long panels() const { return outputs / PANEL; }
    long depth() const { return channels / DEPTH; }
    long blocks_of_image() const { return (height + rows - 1) / rows; }
    // Of a block, with a row above and below, and what the last tile and its taps see beyond.
    long packed_pixels() const { return (rows + 2) * pitch() + PIXELS + 2; }
    long packed() const { return packed_pixels() * channels; }
    long unpooled() const { return pool ? rows * pitch() * PANEL : 0; }
};

Layer layer(const void* x, const bfloat16* weight, const float* bias, bfloat16* y, const long* s) {
    return {x, weight, bias, y, s[0], s[1], s[2], s[3], s[4], s[5], s[6], s[7], s[8], s[9], s[10]};
}

struct __attribute__((packed)) Configuration {
    unsigned char palette = 1, start = 0, reserved[14] = {};
    unsigned short row_bytes[16] = {};
    unsigned char rows[16] = {};
};

void configure() {
    Configuration all;
    for (int tile = 0; tile < 8; tile++) all.row_bytes[tile] = 64, all.rows[tile] = 16;
    _tile_loadconfig(&all);
}

inline __m512i rounded(__m512 low, __m512 high) { return (__m512i)_mm512_cvtne2ps_pbh(high, low); }

inline __m512i read32(const Layer& l, long number) {
    if (!l.of_floats) return _mm512_loadu_si512(static_cast<const bfloat16*>(l.x) + number);
    const float* from = static_cast<const float*>(l.x) + number;
    return rounded(_mm512_loadu_ps(from), _mm512_loadu_ps(from + 16));
}

// Rows first - 1 to first + count of an image: [channels by 32][pixel][32].
void pack(const Layer& l, long image, long first, long count, bfloat16* to) {
    const __m512i zero = _mm512_setzero_si512();
    const long pixels = l.packed_pixels();
    for (long row = 0; row < count + 2; row++) {
        const long y = first + row - 1;
        bfloat16* start = to + row * l.pitch() * DEPTH;
        const bool inside = y >= 0 && y < l.height;
        for (long d = 0; d < l.depth(); d++) _mm512_storeu_si512(start + d * pixels * DEPTH, zero);
        for (long x = 0; x < l.width; x++)
            for (long d = 0; d < l.depth(); d++) {
                const long from = ((image * l.height + y) * l.width + x) * l.channels + d * DEPTH;
                _mm512_storeu_si512(start + (d * pixels + x + 1) * DEPTH, inside ? read32(l, from) : zero);
            }
    }
    for (long d = 0; d < l.depth(); d++)  // the end of the last row, and what garbage is computed of beyond it
        for (long pixel = (count + 2) * l.pitch(); pixel < (count + 2) * l.pitch() + PIXELS + 2; pixel++)
            _mm512_storeu_si512(to + (d * pixels + pixel) * DEPTH, zero);
}

template <int TILES>
void zero_sums() {
    _tile_zero(0);
    _tile_zero(1);
    if (TILES > 1) {
        _tile_zero(2);
        _tile_zero(3);
    }
    if (TILES > 2) {
        _tile_zero(4);
        _tile_zero(5);
    }
}

// A step: TILES x 16 rows of 32 numbers, `next` numbers behind one another, times 32 x 32 of the weight.
template <int TILES>
inline void multiply(const bfloat16* a, long next, const bfloat16* w) {
    _tile_loadd(7, w, 64);
    _tile_loadd(6, a, 64);
    _tile_dpbf16ps(0, 6, 7);
    if (TILES > 1) {
        _tile_loadd(6, a + next, 64);
        _tile_dpbf16ps(2, 6, 7);
    }
    if (TILES > 2) {
        _tile_loadd(6, a + 2 * next, 64);
        _tile_dpbf16ps(4, 6, 7);
    }
    _tile_loadd(7, w + STEP / 2, 64);  // backwards: the last one is there already
    if (TILES > 2) {
        _tile_dpbf16ps(5, 6, 7);
        _tile_loadd(6, a + next, 64);
    }
    if (TILES > 1) {
        _tile_dpbf16ps(3, 6, 7);
        _tile_loadd(6, a, 64);
    }
    _tile_dpbf16ps(1, 6, 7);
}

// Where the TILES x 2 tiles of sums lie in memory, in numbers: from one row, tile of pixels, and tile of outputs to the next.
struct Sums {
    long row, pixels, outputs;
};
constexpr Sums BY_PIXEL{PANEL, PIXELS * PANEL, PANEL / 2};                 // [pixel][output]
constexpr Sums BY_OUTPUT{MOST * PIXELS, PIXELS, PANEL / 2 * MOST * PIXELS};  // [output][tile][pixel]

template <int TILES>
void load_sums(const Sums& at, const float* sums) {
    const long stride = at.row * sizeof(float);
    _tile_loadd(0, sums, stride);
    _tile_loadd(1, sums + at.outputs, stride);
    if (TILES > 1) {
        _tile_loadd(2, sums + at.pixels, stride);
        _tile_loadd(3, sums + at.pixels + at.outputs, stride);
    }
    if (TILES > 2) {
        _tile_loadd(4, sums + 2 * at.pixels, stride);
        _tile_loadd(5, sums + 2 * at.pixels + at.outputs, stride);
    }
}

template <int TILES>
void store_sums(const Sums& at, float* sums) {
    const long stride = at.row * sizeof(float);
    _tile_stored(0, sums, stride);
    _tile_stored(1, sums + at.outputs, stride);
    if (TILES > 1) {
        _tile_stored(2, sums + at.pixels, stride);
        _tile_stored(3, sums + at.pixels + at.outputs, stride);
    }
    if (TILES > 2) {
        _tile_stored(4, sums + 2 * at.pixels, stride);
        _tile_stored(5, sums + 2 * at.pixels + at.outputs, stride);
    }
}

// All steps of TILES x 16 pixels and a panel: sums (pixels, PANEL).
template <int TILES>
void convolve(const Layer& l, const bfloat16* a, const bfloat16* w, float* sums) {
    const long pixels = l.packed_pixels() * DEPTH, row = l.pitch() * DEPTH;
    zero_sums<TILES>();
    for (long d = 0; d < l.depth(); d++, a += pixels)
        for (long i = 0; i < 3; i++)
            for (long j = 0; j < 3; j++, w += STEP) multiply<TILES>(a + i * row + j * DEPTH, PIXELS * DEPTH, w);
    store_sums<TILES>(BY_PIXEL, sums);
}

inline __m512 relu_of(__m512 v) {  // keeps NaN, as PyTorch's
    return _mm512_mask_mov_ps(v, _mm512_cmp_ps_mask(v, _mm512_setzero_ps(), _CMP_LT_OQ), _mm512_setzero_ps());
}

// Sums of `some` pixels from `flat` on to the map, or to the rows that are pooled then.
void finish(const Layer& l, long image, long first, long count, long panel, long flat, long some, const float* sums,
            bfloat16* unpooled) {
    const __m512 low = _mm512_loadu_ps(l.bias + panel * PANEL), high = _mm512_loadu_ps(l.bias + panel * PANEL + 16);
    long row = flat / l.pitch(), x = flat % l.pitch();
    for (long pixel = 0; pixel < some && row < count; pixel++) {
        __m512 a = _mm512_add_ps(_mm512_loadu_ps(sums + pixel * PANEL), low);
        __m512 b = _mm512_add_ps(_mm512_loadu_ps(sums + pixel * PANEL + 16), high);
        if (l.relu) a = relu_of(a), b = relu_of(b);
        if (l.pool) {
            _mm512_storeu_si512(unpooled + (flat + pixel) * PANEL, rounded(a, b));
        } else if (x < l.width) {
            const long to = ((image * l.height + first + row) * l.width + x) * l.outputs + panel * PANEL;
            _mm512_storeu_si512(l.y + to, rounded(a, b));
        }
        if (++x == l.pitch()) x = 0, row++;
    }
}

// The 2 x 2 max-pool of rows that end in a ReLU: without a sign, and with NaN above all, their bits are in their order.
void pool(const Layer& l, long image, long first, long count, long panel, const bfloat16* unpooled) {
    for (long row = 0; row < count; row += 2) {
        const long out = (first + row) / 2;
        if (out >= l.out_height) continue;
        for (long x = 0; x < l.out_width; x++) {
            const bfloat16* from = unpooled + (row * l.pitch() + 2 * x) * PANEL;
            const bool right = 2 * x + 1 < l.width, below = row + 1 < count;
            __m512i most = _mm512_loadu_si512(from);
            if (right) most = _mm512_max_epu16(most, _mm512_loadu_si512(from + PANEL));
            if (below) {
                from += l.pitch() * PANEL;
                most = _mm512_max_epu16(most, _mm512_loadu_si512(from));
                if (right) most = _mm512_max_epu16(most, _mm512_loadu_si512(from + PANEL));
            }
            const long to = ((image * l.out_height + out) * l.out_width + x) * l.outputs + panel * PANEL;
            _mm512_storeu_si512(l.y + to, most);
        }
    }
}

void whole_panel(const Layer& l, long image, long first, long count, long panel, const bfloat16* packed,
                 bfloat16* unpooled) {
    alignas(64) float sums[MOST * PIXELS * PANEL];
    const bfloat16* w = l.weight + panel * l.depth() * TAPS * STEP;
    const long tiles = (count * l.pitch() + PIXELS - 1) / PIXELS, groups = (tiles + MOST - 1) / MOST;
    for (long g = 0; g < groups; g++) {
        const long start = g * tiles / groups, some = (g + 1) * tiles / groups - start, flat = start * PIXELS;
        (some == 3 ? convolve<3> : some == 2 ? convolve<2> : convolve<1>)(l, packed + flat * DEPTH, w, sums);
        finish(l, image, first, count, panel, flat, some * PIXELS, sums, unpooled);
    }
    if (l.pool) pool(l, image, first, count, panel, unpooled);
}

// 32 outputs of an FC layer times TILES x 16 windows: sums += the numbers `from` to `end` of their inputs. The weights are the
// first operand here, and in a step of a convolution the second: tile registers have no names that could be passed on.
template <int TILES>
void add_run(const bfloat16* windows, long group, const bfloat16* w, long inputs, long from, long end, float* sums) {
    load_sums<TILES>(BY_OUTPUT, sums);
    for (long k = from; k < end; k += DEPTH) {
        const bfloat16* x = windows + k * PIXELS;
        _tile_stream_loadd(6, w + k, inputs * sizeof(bfloat16));
        _tile_loadd(7, x, 64);
        _tile_dpbf16ps(0, 6, 7);
        if (TILES > 1) {
            _tile_loadd(7, x + group, 64);
            _tile_dpbf16ps(2, 6, 7);
        }
        if (TILES > 2) {
            _tile_loadd(7, x + 2 * group, 64);
            _tile_dpbf16ps(4, 6, 7);
        }
        _tile_stream_loadd(6, w + PANEL / 2 * inputs + k, inputs * sizeof(bfloat16));
        if (TILES > 2) {
            _tile_dpbf16ps(5, 6, 7);
            _tile_loadd(7, x + group, 64);
        }
        if (TILES > 1) {
            _tile_dpbf16ps(3, 6, 7);
            _tile_loadd(7, x, 64);
        }
        _tile_dpbf16ps(1, 6, 7);
    }
    store_sums<TILES>(BY_OUTPUT, sums);
}

// 16 windows as the matrix unit takes them: [inputs by 2][window][2]; those beyond `rows` are zeros.
void in_pairs(const bfloat16* x, long rows, long inputs, bfloat16* to) {
    for (long row = 0; row < PIXELS; row++)
        for (long k = 0; k < inputs; k += 2)
            for (long i = 0; i < 2; i++) to[k * PIXELS + 2 * row + i] = row < rows ? x[row * inputs + k + i] : 0;
}

}  // namespace

extern "C" {

// Whether the system lets this process use the matrix unit; to be asked once, before all else.
long vgg_amx_allowed() {
    constexpr long REQUEST_PERMISSION = 0x1023, TILE_DATA = 18;
    return syscall(SYS_arch_prctl, REQUEST_PERMISSION, TILE_DATA) == 0;
}

// A weight (outputs, channels, 3, 3), multiples of 32 both: [panel][channels by 32][tap][half a panel][pair][output][2].
void vgg_amx_weight(const bfloat16* weight, bfloat16* to, long channels, long outputs) {
    for (long panel = 0; panel < outputs / PANEL; panel++)
        for (long d = 0; d < channels / DEPTH; d++)
            for (long tap = 0; tap < TAPS; tap++)
                for (long half = 0; half < 2; half++)
                    for (long pair = 0; pair < DEPTH / 2; pair++)
                        for (long n = 0; n < PANEL / 2; n++)
                            for (long i = 0; i < 2; i++) {
                                const long k = panel * PANEL + half * PANEL / 2 + n, c = d * DEPTH + 2 * pair + i;
                                *to++ = weight[(k * channels + c) * TAPS + tap];
                            }
}

long vgg_amx_space(const long* shape) {
    const Layer l = layer(nullptr, nullptr, nullptr, nullptr, shape);
    return l.packed() + l.unpooled();
}

// y = the convolution of x with padding 1, plus bias, with its ReLU and 2 x 2 max-pool if wanted (a pool takes a ReLU).
// shape: batch, height, width, channels, outputs, height and width of y, relu, pool, whether x are floats, rows of a block
// (even). space: as many numbers for each thread as `vgg_amx_space` says.
void vgg_amx_conv(const void* x, const bfloat16* weight, const float* bias, bfloat16* y, const long* shape, bfloat16* space,
                  long threads) {
    const Layer l = layer(x, weight, bias, y, shape);
    const long blocks = l.batch * l.blocks_of_image(), mine = l.packed() + l.unpooled();
    const long parts = blocks >= 4 * threads ? 1 : l.panels();  // few blocks: their panels are the threads' work
#pragma omp parallel num_threads(threads)
    {
#if defined(_OPENMP)
        bfloat16* packed = space + omp_get_thread_num() * mine;
#else
        bfloat16* packed = space;
#endif
        bfloat16* unpooled = packed + l.packed();
        long has = -1;
        configure();
#pragma omp for schedule(dynamic)
        for (long task = 0; task < blocks * parts; task++) {
            const long block = task / parts, part = task % parts;
            const long image = block / l.blocks_of_image(), first = block % l.blocks_of_image() * l.rows;
            const long count = std::min(l.rows, l.height - first);
            if (block != has) pack(l, image, first, count, packed);
            has = block;
            for (long panel = part * l.panels() / parts; panel < (part + 1) * l.panels() / parts; panel++)
                whole_panel(l, image, first, count, panel, packed, unpooled);
        }
        _tile_release();
    }
}

// y = x w^T + bias: x (rows, inputs), w (outputs, inputs), inputs and outputs multiples of 32; `space` has as many numbers
// as x with its rows filled up to a multiple of 16.
void vgg_amx_product(const bfloat16* x, const bfloat16* w, const float* bias, float* y, long rows, long inputs, long outputs,
                     long relu, bfloat16* space, long threads) {
    const long tiles = (rows + PIXELS - 1) / PIXELS, groups = (tiles + MOST - 1) / MOST, group = PIXELS * inputs;
#pragma omp parallel num_threads(threads)
    {
#pragma omp for schedule(dynamic)
        for (long t = 0; t < tiles; t++)
            in_pairs(x + t * group, std::min(PIXELS, rows - t * PIXELS), inputs, space + t * group);
        constexpr long COUNT = PANEL * PIXELS * MOST;  // sums of a group: [output][tile][window]
        std::vector<float> sums(groups * COUNT);
        configure();
#pragma omp for schedule(dynamic)
        for (long panel = 0; panel < outputs / PANEL; panel++) {
            std::fill(sums.begin(), sums.end(), 0.0f);
            for (long from = 0; from < inputs; from += RUN)
                for (long g = 0; g < groups; g++) {
                    const long start = g * tiles / groups, some = (g + 1) * tiles / groups - start;
                    (some == 3 ? add_run<3> : some == 2 ? add_run<2> : add_run<1>)(
                        space + start * group, group, w + panel * PANEL * inputs, inputs, from,
                        std::min(from + RUN, inputs), sums.data() + g * COUNT);
                }
            for (long g = 0; g < groups; g++) {
                const long start = g * tiles / groups * PIXELS, end = std::min(rows, (g + 1) * tiles / groups * PIXELS);
                for (long row = start; row < end; row++)
                    for (long n = 0; n < PANEL; n++) {
                        const float sum = sums[g * COUNT + n * PIXELS * MOST + row - start] + bias[panel * PANEL + n];
                        y[row * outputs + panel * PANEL + n] = relu && sum < 0 ? 0 : sum;
                    }
            }
        }
        _tile_release();
    }
}
}
#endif
