// The kernels of winograd.cpp on shapes drawn at random, against sums in double, without PyTorch: for sanitizers, and for
// CPUs that only an emulator has. Every buffer has exactly the size that the kernels may use and lies alone on the heap.
//
//     kernel_check CASES    CASES shapes for each kernel; exit code 1 and a line for each that is wrong
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <memory>

extern "C" {
int vgg_panel();
int vgg_rows();
long vgg_v_floats(long channels, long tiles);
long vgg_m_floats(long outputs, long tiles);
void vgg_transform_weight(const float* weight, float* u, long channels, long outputs);
void vgg_winograd(const float* x, const float* u, const float* bias, float* y, const long* shape, long relu, long pool,
                  long together, long tiles, float* space, const float* zeros, long threads);
void vgg_first_weight(const float* weight, float* w, long channels, long outputs);
void vgg_first(const float* x, const float* w, const float* bias, float* y, const long* shape, long relu, long threads);
void vgg_normalise(float* x, long cells, long channels, float k, float scale, long threads);
void vgg_product(const float* x, const float* w, const float* bias, float* y, long rows, long inputs, long outputs,
                 long relu, long threads);
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
static void compare(const char* kernel, const float* found, const double* expected, long count, const char* shape) {
    double difference = 0, largest = 1e-3;
    for (long i = 0; i < count; i++) {
        difference = found[i] == found[i] ? std::max(difference, std::fabs(found[i] - expected[i])) : 1e9;
        largest = std::max(largest, std::fabs(expected[i]));
    }
    if (difference / largest < 3e-5) return;  // as tests/vgg_zoo/fast/test_winograd.py has it
    std::printf("%s, %s: off by %g of the largest number\n", kernel, shape, difference / largest);
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

static void winograd() {
    const long channels = 16 * drawn(1, 4), outputs = 16 * drawn(1, 4), batch = drawn(1, 3), threads = drawn(1, 2);
    const long height = drawn(1, 19), width = drawn(1, 19);
    long pool = drawn(0, 2), relu = pool ? 1 : drawn(0, 1), together = drawn(0, 1);  // pool 1: rounded down, 2: up
    if (pool == 1 && std::min(height, width) == 1) pool = 2;
    const long up = pool == 2, down = pool ? (height + up) / 2 : height, across = pool ? (width + up) / 2 : width;
    const long total = batch * ((height + 3) / 4) * ((width + 3) / 4);
    const long sizes[] = {1, drawn(1, total), std::min<long>(total, 3 * vgg_rows()), total, total + drawn(1, 9)};
    const long tiles = sizes[drawn(0, 4)], padded = (outputs + vgg_panel() - 1) / vgg_panel() * vgg_panel();
    const long shape[] = {batch, height, width, channels, outputs, down, across};

    Floats x = numbers(batch * height * width * channels), weight = numbers(outputs * channels * 9), bias = numbers(outputs);
    Floats u = empty(36 * channels * padded), y = empty(batch * down * across * outputs), zeros(new float[channels]());
    Floats space = empty((vgg_v_floats(channels, tiles) + vgg_m_floats(outputs, tiles)) * (together ? 1 : threads));
    vgg_transform_weight(weight.get(), u.get(), channels, outputs);
    vgg_winograd(x.get(), u.get(), bias.get(), y.get(), shape, relu, pool != 0, together, tiles, space.get(), zeros.get(),
                 threads);

    auto pixel = [&](long image, long c, long i, long j) { return x[((image * height + i) * width + j) * channels + c]; };
    Doubles expected = convolution(pixel, weight.get(), bias.get(), shape, relu);
    if (pool) expected = pooled(expected.get(), shape, down, across);
    char text[200];
    std::snprintf(text, sizeof text, "%ld x %ld x %ld, %ld -> %ld, pool %ld, together %ld, tiles %ld of %ld, threads %ld",
                  batch, height, width, channels, outputs, pool, together, tiles, total, threads);
    compare("winograd", y.get(), expected.get(), batch * down * across * outputs, text);
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
    Doubles expected(new double[rows * outputs]);
    for (long r = 0; r < rows; r++)
        for (long n = 0; n < outputs; n++) {
            double sum = bias[n];
            for (long i = 0; i < inputs; i++) sum += (double)x[r * inputs + i] * w[n * inputs + i];
            expected[r * outputs + n] = relu ? std::max(sum, 0.0) : sum;
        }
    vgg_product(x.get(), w.get(), bias.get(), y.get(), rows, inputs, outputs, relu, threads);
    char text[100];
    std::snprintf(text, sizeof text, "%ld rows, %ld -> %ld", rows, inputs, outputs);
    compare("product", y.get(), expected.get(), rows * outputs, text);
}

int main(int count, char** arguments) {
    const long cases = count > 1 ? std::atol(arguments[1]) : 100;
    for (long i = 0; i < cases; i++) winograd(), first(), normalise(), product();
    std::printf("%ld shapes for each kernel, %d wrong, panels of %d\n", cases, wrong, vgg_panel());
    return wrong != 0;
}
