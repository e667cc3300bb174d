/* Depthwise convolution with ReLU6, for images with channels last in memory.
 *
 * Plain C99 without Python's headers, called through ctypes by _depthwise_kernel.py, which
 * checks every tensor. What libraries do for such convolutions costs more per call than a band of
 * rows takes. The file includes itself for each width of registers, of which the widest that the
 * processor has is taken; compilers other than gcc and clang leave it to the last, plain one.
 */
#ifndef NAME

#include <stddef.h>
#include <stdint.h>

#if defined(_WIN32)
#define EXPORT __declspec(dllexport)
#else
#define EXPORT __attribute__((visibility("default")))
#endif

/* Python's tools for extensions ask for this name on Windows; nothing calls it. */
EXPORT void *PyInit__depthwise(void) { return NULL; }

/* Rows `first_row` to `first_row + n_rows` of the output, for each of n images.
 *
 * x (n, n_seen, width, channels) holds the rows from `first_seen` on that are needed; what lies
 * outside counts as zeros. weight (kernel * kernel, channels), bias (channels), out (n, n_rows,
 * out_width, channels).
 */
#define ARGUMENTS                                                                               \
    const float *x, const float *weight, const float *bias, float *out, int64_t n,              \
        int64_t first_seen, int64_t n_seen, int64_t width, int64_t channels, int64_t first_row, \
        int64_t n_rows, int64_t out_width, int64_t kernel, int64_t stride, int64_t above,       \
        int64_t left

/* Also where the compiler is told to optimise less: the sums are in registers only then. */
#if defined(__GNUC__) && !defined(__clang__)
#define UNROLLED _Pragma("GCC unroll 6")
#else
#define UNROLLED
#endif

#if defined(__GNUC__) && defined(__x86_64__)
#define NAME depthwise_64
#define BYTES 64
#define TARGET __attribute__((target("avx512f,avx512dq,avx512bw,avx512vl,avx2,fma")))
#include "_depthwise.c"
#define NAME depthwise_32
#define BYTES 32
#define TARGET __attribute__((target("avx2,fma")))
#include "_depthwise.c"
#endif
#define NAME depthwise_16
#define BYTES 16
#define TARGET
#include "_depthwise.c"

EXPORT void depthwise(ARGUMENTS) {
    void (*widest)(ARGUMENTS) = depthwise_16;
#if defined(__GNUC__) && defined(__x86_64__)
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) widest = depthwise_32;
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl"))
        widest = depthwise_64;
#endif
    widest(x, weight, bias, out, n, first_seen, n_seen, width, channels, first_row, n_rows,
           out_width, kernel, stride, above, left);
}

#else

#if defined(__GNUC__)
#define JOINED(a, b) a##_##b
#define OF(name, bytes) JOINED(name, bytes)
#define LANES OF(Lanes, BYTES)
#define MASK OF(Mask, BYTES)
#define N_LANES (BYTES / 4)
typedef float LANES __attribute__((vector_size(BYTES), aligned(4), may_alias));
typedef int32_t MASK __attribute__((vector_size(BYTES)));
#define AT(pointer) (*(const LANES *)(pointer))

/* Channels of one output pixel, `COUNT` registers of them, which stay in registers over its taps.
 */
#define PIXEL(COUNT)                                                                         \
    for (; channel + COUNT * N_LANES <= channels; channel += COUNT * N_LANES) {              \
        LANES sum[COUNT];                                                                    \
        UNROLLED for (int i = 0; i < COUNT; i++) sum[i] = AT(bias + channel + i * N_LANES);  \
        for (int64_t ky = ky0; ky < ky1; ky++) {                                             \
            const float *pixel = corner + (ky * width + kx0) * channels + channel;           \
            const float *tap = weight + (ky * kernel + kx0) * channels + channel;            \
            for (int64_t kx = kx0; kx < kx1; kx++, pixel += channels, tap += channels)       \
                UNROLLED for (int i = 0; i < COUNT; i++)                                     \
                    sum[i] += AT(pixel + i * N_LANES) * AT(tap + i * N_LANES);               \
        }                                                                                    \
        UNROLLED for (int i = 0; i < COUNT; i++) {                                           \
            LANES v = sum[i];                                                                \
            MASK low = v < zero, high = v > six;                                             \
            v = (LANES)((~low & ~high & (MASK)v) | (high & (MASK)six));                       \
            *(LANES *)(out + channel + i * N_LANES) = v;                                     \
        }                                                                                    \
    }
#endif

static TARGET void NAME(ARGUMENTS) {
#if defined(__GNUC__)
    const LANES zero = {0}, six = zero + 6.0f;
#endif
    for (int64_t line = 0; line < n * n_rows; line++) {
        int64_t image = line / n_rows, row = first_row + line % n_rows;
        int64_t top = row * stride - above - first_seen;
        int64_t ky0 = top < 0 ? -top : 0, ky1 = n_seen - top < kernel ? n_seen - top : kernel;
        for (int64_t column = 0; column < out_width; column++, out += channels) {
            int64_t side = column * stride - left, channel = 0;
            int64_t kx0 = side < 0 ? -side : 0, kx1 = width - side < kernel ? width - side : kernel;
            const float *corner = x + ((image * n_seen + top) * width + side) * channels;
#if defined(__GNUC__)
            PIXEL(6)
            PIXEL(3)
            PIXEL(1)
#endif
            for (; channel < channels; channel++) {
                float sum = bias[channel];
                for (int64_t ky = ky0; ky < ky1; ky++)
                    for (int64_t kx = kx0; kx < kx1; kx++)
                        sum += corner[(ky * width + kx) * channels + channel] *
                               weight[(ky * kernel + kx) * channels + channel];
                out[channel] = sum < 0.0f ? 0.0f : sum > 6.0f ? 6.0f : sum;
            }
        }
    }
}

#undef NAME
#undef BYTES
#undef TARGET
#if defined(__GNUC__)
#undef LANES
#undef MASK
#undef OF
#undef JOINED
#undef N_LANES
#undef AT
#undef PIXEL
#endif

#endif
