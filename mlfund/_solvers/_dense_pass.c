/* One pass over dense rows: margins, probabilities, loss and gradient, block by block.
 *
 * A block of rows stays in the core's own cache between the two products with it, so that X
 * is read from memory once. C with gcc's vector types; with other compilers
 * `dense_pass_bytes` says 0, and numpy does the work. `_vectors.h` has the loops made for
 * each width of registers; dense_pass.py takes the widest that the processor has.
 */
#ifndef BODY

#define BODY "_dense_pass.c"
/* Rows, and vectors of columns, that a tile of accumulators covers; outputs of a tile. */
#define TILE (BYTES == 64 ? 4 : 2)
#define OUTPUTS 5
/* Rows of a block: at most so many, and at most so many bytes. */
#define MOST_ROWS 256
#define BLOCK_BYTES (3 << 17)

#include "_vectors.h"

#if defined(INLINE)
/* The widest registers of this processor, in bytes. */
EXPORT int64_t dense_pass_bytes(void) {
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl")) {
        return 64;
    }
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return 32;
#endif
    return 16;
}
#else
EXPORT int64_t dense_pass_bytes(void) { return 0; }
#endif

#else

/* log(1 + x) for x from 0 to 1: 2 artanh(x / (2 + x)), precise for small x too. */
INLINE TARGET VECTOR NAME(vector_log1p)(VECTOR x) {
    VECTOR s = x / (x + 2), square = s * s;
    VECTOR sum = NAME(broadcast)((REAL)1 / (2 * SERIES + 1));
#pragma GCC unroll 20
    for (int k = SERIES - 1; k >= 0; k--) sum = sum * square + (REAL)1 / (2 * k + 1);
    return 2 * s * sum;
}

INLINE TARGET REAL NAME(sum)(const VECTOR *v) {
    REAL lanes[LANES];
    memcpy(lanes, v, BYTES);
#pragma GCC unroll 4
    for (int half = LANES / 2; half > 0; half /= 2) {
        for (int e = 0; e < half; e++) lanes[e] += lanes[e + half];
    }
    return lanes[0];
}

/* Margins of `rows` rows and `outputs` outputs, both constants; W (outputs, d), its last
 * vector `last` with zeros where the vectors before it were.
 */
INLINE TARGET void NAME(margins_tile)(const int rows, const int outputs, int64_t d,
                                      const REAL *x, const REAL *w, const REAL *last,
                                      int64_t last_stride, REAL *z, int64_t stride) {
    VECTOR sum[4][OUTPUTS];
#pragma GCC unroll 4
    for (int r = 0; r < rows; r++) {
#pragma GCC unroll 5
        for (int c = 0; c < outputs; c++) sum[r][c] = (VECTOR){0};
    }
    int64_t j = 0;
    for (; j + LANES <= d; j += LANES) {
        VECTOR of_x[4];
#pragma GCC unroll 4
        for (int r = 0; r < rows; r++) of_x[r] = *(const VECTOR *)(x + r * d + j);
#pragma GCC unroll 5
        for (int c = 0; c < outputs; c++) {
            VECTOR of_w = *(const VECTOR *)(w + c * d + j);
#pragma GCC unroll 4
            for (int r = 0; r < rows; r++) sum[r][c] += of_x[r] * of_w;
        }
    }
    if (j < d && d >= LANES) {
#pragma GCC unroll 5
        for (int c = 0; c < outputs; c++) {
            VECTOR of_w = *(const VECTOR *)(last + c * last_stride);
#pragma GCC unroll 4
            for (int r = 0; r < rows; r++) {
                sum[r][c] += *(const VECTOR *)(x + r * d + d - LANES) * of_w;
            }
        }
    }
#pragma GCC unroll 5
    for (int c = 0; c < outputs; c++) {
#pragma GCC unroll 4
        for (int r = 0; r < rows; r++) {
            REAL total = NAME(sum)(&sum[r][c]);
            if (d < LANES) {
                for (int64_t e = 0; e < d; e++) total += x[r * d + e] * w[c * d + e];
            }
            z[c * stride + r] += total;
        }
    }
}

INLINE TARGET void NAME(margins_of)(const int outputs, int64_t n, int64_t d, const REAL *x,
                                    const REAL *w, const REAL *last, int64_t last_stride,
                                    REAL *z, int64_t stride) {
    int64_t i = 0;
    for (; i + TILE <= n; i += TILE) {
        NAME(margins_tile)(TILE, outputs, d, x + i * d, w, last, last_stride, z + i, stride);
    }
    for (; i < n; i++) {
        NAME(margins_tile)(1, outputs, d, x + i * d, w, last, last_stride, z + i, stride);
    }
}

/* Adds x'r to products for `outputs` outputs and `vectors` vectors of columns, of which the
 * first `skipped` columns are left out.
 */
INLINE TARGET void NAME(pulled_tile)(const int outputs, const int vectors, int64_t n, int64_t d,
                                     const REAL *x, const REAL *residual, double *products,
                                     int skipped) {
    VECTOR sum[OUTPUTS][4];
#pragma GCC unroll 5
    for (int c = 0; c < outputs; c++) {
#pragma GCC unroll 4
        for (int v = 0; v < vectors; v++) sum[c][v] = (VECTOR){0};
    }
    for (int64_t i = 0; i < n; i++) {
        VECTOR of_x[4];
#pragma GCC unroll 4
        for (int v = 0; v < vectors; v++) of_x[v] = *(const VECTOR *)(x + i * d + v * LANES);
#pragma GCC unroll 5
        for (int c = 0; c < outputs; c++) {
            VECTOR r = NAME(broadcast)(residual[c * MOST_ROWS + i]);
#pragma GCC unroll 4
            for (int v = 0; v < vectors; v++) sum[c][v] += r * of_x[v];
        }
    }
#pragma GCC unroll 5
    for (int c = 0; c < outputs; c++) {
#pragma GCC unroll 4
        for (int v = 0; v < vectors; v++) {
            REAL lanes[LANES];
            memcpy(lanes, &sum[c][v], BYTES);
            for (int e = skipped; e < LANES; e++) products[c * d + v * LANES + e] += lanes[e];
        }
    }
}

INLINE TARGET void NAME(pulled_tiles)(int64_t k, const int vectors, int64_t n, int64_t d,
                                      const REAL *x, const REAL *residual, double *products,
                                      int skipped) {
    for (int64_t c = 0; c < k; c += OUTPUTS) {
        const REAL *r = residual + c * MOST_ROWS;
        double *out = products + c * d;
        switch (k - c) {
            case 1: NAME(pulled_tile)(1, vectors, n, d, x, r, out, skipped); break;
            case 2: NAME(pulled_tile)(2, vectors, n, d, x, r, out, skipped); break;
            case 3: NAME(pulled_tile)(3, vectors, n, d, x, r, out, skipped); break;
            case 4: NAME(pulled_tile)(4, vectors, n, d, x, r, out, skipped); break;
            default: NAME(pulled_tile)(OUTPUTS, vectors, n, d, x, r, out, skipped);
        }
    }
}

static TARGET void NAME(margins_block)(int64_t k, int64_t n, int64_t d, const REAL *x,
                                       const REAL *w, const REAL *last, REAL *z) {
    for (int64_t c = 0; c < k; c += OUTPUTS) {
        const REAL *of_w = w + c * d, *of_last = last + c * LANES;
        REAL *of_z = z + c * MOST_ROWS;
        switch (k - c) {
            case 1: NAME(margins_of)(1, n, d, x, of_w, of_last, LANES, of_z, MOST_ROWS); break;
            case 2: NAME(margins_of)(2, n, d, x, of_w, of_last, LANES, of_z, MOST_ROWS); break;
            case 3: NAME(margins_of)(3, n, d, x, of_w, of_last, LANES, of_z, MOST_ROWS); break;
            case 4: NAME(margins_of)(4, n, d, x, of_w, of_last, LANES, of_z, MOST_ROWS); break;
            default: NAME(margins_of)(5, n, d, x, of_w, of_last, LANES, of_z, MOST_ROWS);
        }
    }
}

static TARGET void NAME(pulled_block)(int64_t k, int64_t n, int64_t d, const REAL *x,
                                      const REAL *residual, double *products) {
    int64_t j = 0;
    for (; j + TILE * LANES <= d; j += TILE * LANES) {
        NAME(pulled_tiles)(k, TILE, n, d, x + j, residual, products + j, 0);
    }
    for (; j + LANES <= d; j += LANES) {
        NAME(pulled_tiles)(k, 1, n, d, x + j, residual, products + j, 0);
    }
    if (j == d) return;
    if (d >= LANES) {
        int skipped = (int)(LANES - (d - j));
        j = d - LANES;
        NAME(pulled_tiles)(k, 1, n, d, x + j, residual, products + j, skipped);
        return;
    }
    for (int64_t c = 0; c < k; c++) {
        for (int64_t i = 0; i < n; i++) {
            double r = residual[c * MOST_ROWS + i];
            for (int64_t e = 0; e < d; e++) products[c * d + e] += r * (double)x[i * d + e];
        }
    }
}

/* Turns margins (1, MOST_ROWS) into residuals; writes probabilities, returns the loss. */
static TARGET double NAME(logistic_block)(int64_t n, REAL *z, const REAL *target,
                                          const REAL *weights, REAL weight, REAL *p) {
    double loss = 0.0;
    for (int64_t i = 0; i < n; i += LANES) {
        int64_t m = n - i < LANES ? n - i : LANES;
        VECTOR y = {0}, s = {0};
        memcpy(&y, target + i, m * sizeof(REAL));
        for (int64_t e = 0; e < m; e++) s[e] = weights ? weights[i + e] : weight;
        VECTOR margin = *(VECTOR *)(z + i), zero = {0};
        WHOLES positive = (WHOLES)(margin > 0);
        /* exp(-|z|), of which both signs of z make use. */
        VECTOR small = NAME(vector_exp)(NAME(choose)(positive, -margin, margin));
        VECTOR of_second = NAME(choose)(positive, zero + 1, small) / (1 + small);
        VECTOR losses = NAME(choose)(positive, margin, zero) - y * margin;
        losses = s * (losses + NAME(vector_log1p)(small));
        *(VECTOR *)(z + i) = (of_second - y) * s;
        memcpy(p + i, &of_second, m * sizeof(REAL));
        for (int64_t e = 0; e < m; e++) loss += losses[e];
    }
    return loss;
}

/* The same for k margins (k, MOST_ROWS) a row and classes `code`; p has the stride n_all. */
static TARGET double NAME(softmax_block)(int64_t k, int64_t n, REAL *z, const int64_t *code,
                                         const REAL *weights, REAL weight, REAL *p,
                                         int64_t n_all) {
    double loss = 0.0;
    for (int64_t i = 0; i < n; i += LANES) {
        int64_t m = n - i < LANES ? n - i : LANES;
        VECTOR s = {0}, largest = *(VECTOR *)(z + i), total = {0}, rest = {0};
        REAL own[LANES];
        for (int64_t e = 0; e < m; e++) {
            s[e] = weights ? weights[i + e] : weight;
            own[e] = z[code[i + e] * MOST_ROWS + i + e];
        }
        for (int64_t c = 1; c < k; c++) {
            VECTOR margin = *(VECTOR *)(z + c * MOST_ROWS + i);
            largest = NAME(choose)((WHOLES)(margin > largest), margin, largest);
        }
        for (int64_t c = 0; c < k; c++) {
            VECTOR *margin = (VECTOR *)(z + c * MOST_ROWS + i);
            VECTOR power = NAME(vector_exp)(*margin - largest);
            total += power;
            /* All but the ones of the largest margins, whose digits would hide small ones. */
            rest += NAME(choose)((WHOLES)(*margin < largest), power, (VECTOR){0});
            *margin = power;
        }
        VECTOR ones = total - rest;
        for (int64_t e = 0; e < m; e++) {
            double others = nearbyint((double)ones[e]) - 1.0 + (double)rest[e];
            loss += (double)s[e] * (log1p(others) + ((double)largest[e] - (double)own[e]));
        }
        VECTOR inverse = 1 / total;
        for (int64_t c = 0; c < k; c++) {
            VECTOR *power = (VECTOR *)(z + c * MOST_ROWS + i);
            VECTOR chance = *power * inverse;
            memcpy(p + c * n_all + i, &chance, m * sizeof(REAL));
            *power = chance * s;
        }
        for (int64_t e = 0; e < m; e++) z[code[i + e] * MOST_ROWS + i + e] -= s[e];
    }
    return loss;
}

/* Margins, probabilities, loss and gradient of the rows start..stop of X (n, d).
 *
 * w (k, d) are the weights, offset (k) is added to the margins. Two classes: k = 1, `target`
 * holds 0 or 1; else `code` holds the class. `weights` (n), or NULL for the same `weight` in
 * all rows. z and p (k, n) are written; products (k, d), totals (k) and loss (1) are added to.
 * `work` holds k * (MOST_ROWS + LANES) values: 320 k suffice.
 */
EXPORT TARGET void NAME(dense_pass)(int64_t start, int64_t stop, int64_t n, int64_t d, int64_t k,
                                    const REAL *X, const REAL *w, const REAL *offset,
                                    const REAL *target, const int64_t *code, const REAL *weights,
                                    double weight, REAL *z, REAL *p, double *products,
                                    double *totals, double *loss, REAL *work) {
    REAL *last = work + k * MOST_ROWS;
    int64_t over = d % LANES;
    for (int64_t c = 0; c < k && d >= LANES; c++) {
        for (int64_t e = 0; e < LANES; e++) {
            last[c * LANES + e] = e < LANES - over ? 0 : w[c * d + d - LANES + e];
        }
    }
    int64_t at_once = BLOCK_BYTES / (d * (int64_t)sizeof(REAL));
    at_once = at_once < 16 ? 16 : (at_once > MOST_ROWS ? MOST_ROWS : at_once / 16 * 16);
    for (int64_t i = start; i < stop; i += at_once) {
        int64_t rows = stop - i < at_once ? stop - i : at_once;
        const REAL *x = X + i * d, *s = weights ? weights + i : NULL;
        for (int64_t c = 0; c < k; c++) {
            for (int64_t e = 0; e < MOST_ROWS; e++) work[c * MOST_ROWS + e] = offset[c];
        }
        NAME(margins_block)(k, rows, d, x, w, last, work);
        for (int64_t c = 0; c < k; c++) {
            memcpy(z + c * n + i, work + c * MOST_ROWS, rows * sizeof(REAL));
        }
        *loss += code ? NAME(softmax_block)(k, rows, work, code + i, s, (REAL)weight, p + i, n)
                      : NAME(logistic_block)(rows, work, target + i, s, (REAL)weight, p + i);
        for (int64_t c = 0; c < k; c++) {
            for (int64_t e = 0; e < rows; e++) totals[c] += work[c * MOST_ROWS + e];
        }
        NAME(pulled_block)(k, rows, d, x, work, products);
    }
}

#endif
