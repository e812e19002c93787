// The kernels on shapes drawn at random, against sums in double, without PyTorch: for sanitizers, and for CPUs that only
// an emulator has. Every buffer has exactly the size that the kernels may use and lies alone on the heap.
//
//     kernel_check CASES    CASES shapes for each kernel; exit code 1 and a line for each that is wrong
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <memory>

extern "C" {
int vgg_panel();
int vgg_rows();
long vgg_stored_floats(long channels, long outputs, long together, long tiles, long threads);
long vgg_streamed_floats(long channels, long tiles, long threads);
long vgg_fc6_floats(long channels, long tiles, long threads);
void vgg_transform_weight(const float* weight, float* u, long channels, long outputs);
void vgg_panel_weight(const float* weight, float* w, long channels, long outputs);
void vgg_stored(const float* x, const float* u, const float* bias, float* y, const long* shape, long relu, long pool,
                long together, long tiles, float* space, const float* zeros, long threads);
void vgg_streamed(const float* x, const float* w, const float* bias, float* y, const long* shape, long relu, long pool,
                  long tiles, float* space, const float* zeros, long threads);
void vgg_fc6(const float* x, const float* w, const float* bias, float* y, const long* shape, long relu, long tiles,
             float* space, const float* zeros, long threads);
void vgg_first_weight(const float* weight, float* w, long channels, long outputs);
void vgg_first(const float* x, const float* w, const float* bias, float* y, const long* shape, long relu, long threads);
void vgg_normalise(float* x, long cells, long channels, float k, float scale, long threads);
void vgg_product(const float* x, const float* w, const float* bias, float* y, long rows, long inputs, long outputs,
                 long relu, long threads);
#if defined(__AMX_BF16__) && defined(__AVX512BF16__)
#define HAS_AMX
using bfloat16 = unsigned short;
long vgg_amx_allowed();
void vgg_amx_weight(const bfloat16* weight, bfloat16* to, long channels, long outputs);
long vgg_amx_space(const long* shape);
void vgg_amx_conv(const void* x, const bfloat16* weight, const float* bias, bfloat16* y, const long* shape, bfloat16* space,
                  long threads);
void vgg_amx_product(const bfloat16* x, const bfloat16* w, const float* bias, float* y, long rows, long inputs, long outputs,
                     long relu, bfloat16* space, long threads);
#endif
}

using Floats = std::unique_ptr<float[]>;
using Doubles = std::unique_ptr<double[]>;

static unsigned long state = 1;
// A number from low to high, both included; the same sequence in every run.
static long drawn(long low, long high) {
    state = state * 6364136223846793005ul + 1442695040888963407ul;
    return low + (long)((state >> 33) % (unsigned long)(high - low + 1));
}
static Floats numbers(long count) {
    Floats found(new float[count]);
    for (long i = 0; i < count; i++) found[i] = (float)drawn(-1000, 1000) / 1000;
    return found;
}
// What a kernel must fill: a number that it leaves out stays NaN.
static Floats empty(long count) {
    Floats found(new float[count]);
    std::fill_n(found.get(), count, std::numeric_limits<float>::quiet_NaN());
    return found;
}

static int wrong = 0;
// `allowed` of the largest number: by default as tests/vgg_zoo/fast/test_winograd.py has it.
static void compare(const char* kernel, const float* found, const double* expected, long count, const char* shape,
                    double allowed = 3e-5) {
    double difference = 0, largest = 1e-3;
    for (long i = 0; i < count; i++) {
        difference = found[i] == found[i] ? std::max(difference, std::fabs(found[i] - expected[i])) : 1e9;
        largest = std::max(largest, std::fabs(expected[i]));
    }
    if (difference / largest < allowed) return;
    std::printf("%s, %s: off by %g of the largest number\n", kernel, shape, difference / largest);
    wrong++;
}

// Results do not depend on what is computed at the same time.
static void compare_bits(const char* kernel, const float* found, const float* alone, long count, const char* shape) {
    if (!std::memcmp(found, alone, count * sizeof(float))) return;
    std::printf("%s, %s: other bits than alone\n", kernel, shape);
    wrong++;
}

// A 3 x 3 convolution with padding 1 of x(image, channel, row, column), in double: NHWC.
template <class Pixel>
static Doubles convolution(Pixel x, const float* weight, const float* bias, const long* shape, bool relu) {
    const long batch = shape[0], height = shape[1], width = shape[2], channels = shape[3], outputs = shape[4];
    Doubles y(new double[batch * height * width * outputs]);
    for (long at = 0; at < batch * height * width; at++)
        for (long k = 0; k < outputs; k++) {
            const long image = at / (height * width), row = at / width % height, column = at % width;
            double sum = bias[k];
            for (long tap = 0; tap < 9; tap++) {
                const long i = row + tap / 3 - 1, j = column + tap % 3 - 1;
                if (i < 0 || i >= height || j < 0 || j >= width) continue;
                for (long c = 0; c < channels; c++) sum += (double)x(image, c, i, j) * weight[(k * channels + c) * 9 + tap];
            }
            y[at * outputs + k] = relu ? std::max(sum, 0.0) : sum;
        }
    return y;
}

// The 2 x 2 max-pool of a map (batch, height, width, outputs), to down x across cells.
static Doubles pooled(const double* y, const long* shape, long down, long across) {
    const long batch = shape[0], height = shape[1], width = shape[2], outputs = shape[4];
    Doubles found(new double[batch * down * across * outputs]);
    for (long at = 0; at < batch * down * across; at++)
        for (long k = 0; k < outputs; k++) {
            const long image = at / (down * across), row = at / across % down, column = at % across;
            double most = 0;  // the least number after a ReLU
            for (long i = 2 * row; i < std::min(height, 2 * row + 2); i++)
                for (long j = 2 * column; j < std::min(width, 2 * column + 2); j++)
                    most = std::max(most, y[((image * height + i) * width + j) * outputs + k]);
            found[at * outputs + k] = most;
        }
    return found;
}

static Doubles matrix_product(const float* x, const float* w, const float* bias, long rows, long inputs, long outputs,
                              long relu) {
    Doubles found(new double[rows * outputs]);
    for (long r = 0; r < rows; r++)
        for (long n = 0; n < outputs; n++) {
            double sum = bias[n];
            for (long i = 0; i < inputs; i++) sum += (double)x[r * inputs + i] * w[n * inputs + i];
            found[r * outputs + n] = relu ? std::max(sum, 0.0) : sum;
        }
    return found;
}

// `streaming`: the weight is transformed at each call, panel by panel.
static void winograd(bool streaming) {
    const long channels = 16 * drawn(1, streaming ? 10 : 4), outputs = 16 * drawn(1, 4), batch = drawn(1, 3);
    const long height = drawn(1, 19), width = drawn(1, 19), threads = drawn(1, 2);
    long pool = drawn(0, 2), relu = pool ? 1 : drawn(0, 1), together = drawn(0, 1);  // pool 1: rounded down, 2: up
    if (pool == 1 && std::min(height, width) == 1) pool = 2;
    const long up = pool == 2, down = pool ? (height + up) / 2 : height, across = pool ? (width + up) / 2 : width;
    const long total = batch * ((height + 3) / 4) * ((width + 3) / 4);
    const long sizes[] = {1, drawn(1, total), std::min<long>(total, 3 * vgg_rows()), total, total + drawn(1, 9)};
    const long most = sizes[drawn(0, 4)], padded = (outputs + vgg_panel() - 1) / vgg_panel() * vgg_panel();

    Floats weight = numbers(outputs * channels * 9), bias = numbers(outputs), zeros(new float[channels]());
    Floats ordered = empty((streaming ? 9 : 36) * channels * padded);
    (streaming ? vgg_panel_weight : vgg_transform_weight)(weight.get(), ordered.get(), channels, outputs);
    auto convolve = [&](const float* x, float* y, long images, long tiles, long workers) {
        const long shape[] = {images, height, width, channels, outputs, down, across};
        const long floats = streaming ? vgg_streamed_floats(channels, tiles, workers)
                                      : vgg_stored_floats(channels, outputs, together, tiles, workers);
        Floats space = empty(floats);
        if (streaming)
            vgg_streamed(x, ordered.get(), bias.get(), y, shape, relu, pool != 0, tiles, space.get(), zeros.get(), workers);
        else
            vgg_stored(x, ordered.get(), bias.get(), y, shape, relu, pool != 0, together, tiles, space.get(), zeros.get(),
                       workers);
    };
    Floats x = numbers(batch * height * width * channels), y = empty(batch * down * across * outputs);
    convolve(x.get(), y.get(), batch, most, threads);

    auto pixel = [&](long image, long c, long i, long j) { return x[((image * height + i) * width + j) * channels + c]; };
    const long shape[] = {batch, height, width, channels, outputs};
    Doubles expected = convolution(pixel, weight.get(), bias.get(), shape, relu);
    if (pool) expected = pooled(expected.get(), shape, down, across);
    char text[200];
    std::snprintf(text, sizeof text, "%ld x %ld x %ld, %ld -> %ld, pool %ld, together %ld, tiles %ld of %ld, threads %ld",
                  batch, height, width, channels, outputs, pool, together, most, total, threads);
    const char* kernel = streaming ? "streamed" : "stored";
    compare(kernel, y.get(), expected.get(), batch * down * across * outputs, text);

    const long size = down * across * outputs, last = batch - 1;
    Floats alone = empty(size);
    convolve(x.get() + last * height * width * channels, alone.get(), 1, 1, 1);  // tile by tile
    compare_bits(kernel, y.get() + last * size, alone.get(), size, text);
}

static void fc6() {
    const long channels = 16 * drawn(1, 6), outputs = vgg_panel() * drawn(1, 2), batch = drawn(1, 3), threads = drawn(1, 2);
    const long height = drawn(7, 13), width = drawn(7, 13), down = height - 6, across = width - 6, relu = drawn(0, 1);
    const long total = batch * ((down + 1) / 2) * ((across + 1) / 2), sizes[] = {1, drawn(1, total), total, total + 3};
    const long most = sizes[drawn(0, 3)], size = down * across * outputs, taps = channels * 49;
    Floats x = numbers(batch * height * width * channels), weight = numbers(outputs * taps), bias = numbers(outputs);
    Floats zeros(new float[channels]()), y = empty(batch * size), alone = empty(size);
    auto multiply = [&](const float* from, float* to, long images, long tiles, long workers) {
        const long shape[] = {images, height, width, channels, outputs, down, across};
        Floats space = empty(vgg_fc6_floats(channels, tiles, workers));
        vgg_fc6(from, weight.get(), bias.get(), to, shape, relu, tiles, space.get(), zeros.get(), workers);
    };
    multiply(x.get(), y.get(), batch, most, threads);

    Floats windows = empty(batch * down * across * taps);
    for (long i = 0; i < batch * down * across * taps; i++) {
        const long window = i / taps, c = i % taps / 49, tap = i % 49, image = window / (down * across);
        const long row = window / across % down + tap / 7, column = window % across + tap % 7;
        windows[i] = x[((image * height + row) * width + column) * channels + c];
    }
    Doubles expected = matrix_product(windows.get(), weight.get(), bias.get(), batch * down * across, taps, outputs, relu);
    char text[200];
    std::snprintf(text, sizeof text, "%ld x %ld x %ld, %ld -> %ld, tiles %ld of %ld, threads %ld", batch, height, width,
                  channels, outputs, most, total, threads);
    compare("fc6", y.get(), expected.get(), batch * size, text);
    multiply(x.get() + (batch - 1) * height * width * channels, alone.get(), 1, 1, 1);
    compare_bits("fc6", y.get() + (batch - 1) * size, alone.get(), size, text);
}

static void first() {
    const long channels = drawn(1, 4), outputs = 16 * drawn(1, 5), batch = drawn(1, 3), threads = drawn(1, 2);
    const long height = drawn(1, 9), width = drawn(1, 40), relu = drawn(0, 1);
    const long shape[] = {batch, height, width, channels, outputs};
    const long padded = (outputs + vgg_panel() - 1) / vgg_panel() * vgg_panel(), row = width + 2, plane = (height + 2) * row;
    Floats x = numbers(batch * channels * plane), weight = numbers(outputs * channels * 9), bias = numbers(outputs);
    for (long i = 0; i < batch * channels * plane; i++) {
        const long y = i % plane / row, z = i % row;
        if (y == 0 || y == height + 1 || z == 0 || z == width + 1) x[i] = 0;
    }
    Floats w = empty(channels * 9 * padded), y = empty(batch * height * width * outputs);
    vgg_first_weight(weight.get(), w.get(), channels, outputs);
    vgg_first(x.get(), w.get(), bias.get(), y.get(), shape, relu, threads);

    auto pixel = [&](long image, long c, long i, long j) {
        return x[(image * channels + c) * plane + (i + 1) * row + j + 1];
    };
    char text[200];
    std::snprintf(text, sizeof text, "%ld x %ld x %ld, %ld -> %ld", batch, height, width, channels, outputs);
    Doubles expected = convolution(pixel, weight.get(), bias.get(), shape, relu);
    compare("first", y.get(), expected.get(), batch * height * width * outputs, text);
}

static void normalise() {
    const long cells = drawn(1, 20), channels = drawn(1, 70), threads = drawn(1, 2);
    const float k = 2, scale = 0.1f;
    Floats x = numbers(cells * channels);
    Doubles expected(new double[cells * channels]);
    for (long i = 0; i < cells; i++)
        for (long c = 0; c < channels; c++) {
            double sum = 0;
            for (long d = std::max(0L, c - 2); d < std::min(channels, c + 3); d++)
                sum += (double)x[i * channels + d] * x[i * channels + d];
            expected[i * channels + c] = x[i * channels + c] / std::pow(k + (double)scale * sum, 0.75);
        }
    vgg_normalise(x.get(), cells, channels, k, scale, threads);
    char text[100];
    std::snprintf(text, sizeof text, "%ld cells of %ld channels", cells, channels);
    compare("normalise", x.get(), expected.get(), cells * channels, text);
}

static void product() {
    const long many = drawn(0, 3) == 0;  // inputs that are summed in more than one run
    const long rows = drawn(1, many ? 20 : 40), inputs = 16 * (many ? drawn(97, 200) : drawn(1, 12)), outputs = drawn(1, 70);
    const long relu = drawn(0, 1), threads = drawn(1, 2);
    Floats x = numbers(rows * inputs), w = numbers(outputs * inputs), bias = numbers(outputs), y = empty(rows * outputs);
    Doubles expected = matrix_product(x.get(), w.get(), bias.get(), rows, inputs, outputs, relu);
    vgg_product(x.get(), w.get(), bias.get(), y.get(), rows, inputs, outputs, relu, threads);
    char text[100];
    std::snprintf(text, sizeof text, "%ld rows, %ld -> %ld", rows, inputs, outputs);
    compare("product", y.get(), expected.get(), rows * outputs, text);
    Floats alone = empty(outputs);
    for (long r = 0; r < rows; r++) {
        vgg_product(x.get() + r * inputs, w.get(), bias.get(), alone.get(), 1, inputs, outputs, relu, 1);
        compare_bits("product", y.get() + r * outputs, alone.get(), outputs, text);
    }
}

#if defined(HAS_AMX)
using Halves = std::unique_ptr<bfloat16[]>;
static float as_float(bfloat16 half) {
    const unsigned bits = (unsigned)half << 16;
    float found;
    std::memcpy(&found, &bits, sizeof found);
    return found;
}
// The upper half of floats, which then are these numbers.
static Halves halves(float* numbers, long count) {
    Halves found(new bfloat16[count]);
    for (long i = 0; i < count; i++) {
        unsigned bits;
        std::memcpy(&bits, numbers + i, sizeof bits);
        found[i] = bits >> 16;
        numbers[i] = as_float(found[i]);
    }
    return found;
}

static void amx_convolution() {
    const long batch = drawn(1, 2), height = drawn(1, 20), width = drawn(1, 20), channels = 32 * drawn(1, 3);
    const long outputs = 32 * drawn(1, 2), of_floats = drawn(0, 1), threads = drawn(1, 2), rows = 2 * drawn(1, 6);
    const long pool = height > 1 && width > 1 ? drawn(0, 1) : 0, up = drawn(0, 1), relu = pool ? 1 : drawn(0, 1);
    const long down = pool ? (height + up) / 2 : height, across = pool ? (width + up) / 2 : width;
    const long shape[] = {batch, height, width, channels, outputs, down, across, relu, pool, of_floats, rows};
    const long pixels = batch * height * width, count = batch * down * across * outputs;
    Floats x = numbers(pixels * channels), weight = numbers(outputs * channels * 9), bias = numbers(outputs);
    Halves x_halves = halves(x.get(), pixels * channels), weight_halves = halves(weight.get(), outputs * channels * 9);
    Halves ordered(new bfloat16[outputs * channels * 9]), y(new bfloat16[count]);
    Halves space(new bfloat16[threads * vgg_amx_space(shape)]);
    std::fill_n(y.get(), count, 0x7fc0);  // NaN
    vgg_amx_weight(weight_halves.get(), ordered.get(), channels, outputs);
    const void* given = of_floats ? (const void*)x.get() : x_halves.get();
    vgg_amx_conv(given, ordered.get(), bias.get(), y.get(), shape, space.get(), threads);

    auto pixel = [&](long image, long c, long i, long j) {
        const bool inside = i >= 0 && i < height && j >= 0 && j < width;
        return inside ? x[((image * height + i) * width + j) * channels + c] : 0.0f;
    };
    const long whole[] = {batch, height, width, channels, outputs};
    Doubles expected = convolution(pixel, weight.get(), bias.get(), whole, relu);
    if (pool) expected = pooled(expected.get(), whole, down, across);
    Floats found(new float[count]);
    for (long i = 0; i < count; i++) found[i] = as_float(y[i]);
    char text[200];
    std::snprintf(text, sizeof text, "%ld x %ld x %ld, %ld -> %ld, relu %ld, pool %ld, floats %ld, by %ld", batch, height,
                  width, channels, outputs, relu, pool, of_floats, rows);
    compare("convolution by AMX", found.get(), expected.get(), count, text, 1.0 / 256);  // the map's own rounding
}

static void amx_product() {
    const long many = drawn(0, 3) == 0;  // inputs that are summed in more than one run
    const long rows = drawn(1, many ? 20 : 120), inputs = 32 * (many ? drawn(97, 200) : drawn(1, 12));
    const long outputs = 32 * drawn(1, 3), relu = drawn(0, 1), threads = drawn(1, 2);
    Floats x = numbers(rows * inputs), w = numbers(outputs * inputs), bias = numbers(outputs), y = empty(rows * outputs);
    Halves x_halves = halves(x.get(), rows * inputs), w_halves = halves(w.get(), outputs * inputs);
    Halves space(new bfloat16[(rows + 15) / 16 * 16 * inputs]);
    Doubles expected = matrix_product(x.get(), w.get(), bias.get(), rows, inputs, outputs, relu);
    vgg_amx_product(x_halves.get(), w_halves.get(), bias.get(), y.get(), rows, inputs, outputs, relu, space.get(), threads);
    char text[100];
    std::snprintf(text, sizeof text, "%ld rows, %ld -> %ld", rows, inputs, outputs);
    compare("product by AMX", y.get(), expected.get(), rows * outputs, text);
}
#endif

int main(int count, char** arguments) {
    const long cases = count > 1 ? std::atol(arguments[1]) : 100;
    for (long i = 0; i < cases; i++) winograd(false), winograd(true), fc6(), first(), normalise(), product();
    const char* amx = "without AMX";
#if defined(HAS_AMX)
    if (vgg_amx_allowed()) {
        amx = "with AMX";
        for (long i = 0; i < cases; i++) amx_convolution(), amx_product();
    }
#endif
    std::printf("%ld shapes for each kernel, %d wrong, panels of %d, %s\n", cases, wrong, vgg_panel(), amx);
    return wrong != 0;
}
