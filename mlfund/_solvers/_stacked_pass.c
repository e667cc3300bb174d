/* One pass over dense rows for a stack of logistic regressions: their gradients.
 *
 * A block of rows is centred and scaled into a core's own cache, in float32 or float64, and
 * multiplied there with the weights of all models and with their residuals, so that X is
 * read once and no copy of it is made. The models lie side by side in the vectors; tiles of
 * rows (or columns) and vectors keep their sums in registers. `_vectors.h` has the loops made
 * for each width of registers; stacked_pass.py takes the one that suits the stack.
 */
#ifndef BODY

#define BODY "_stacked_pass.c"
/* Vectors of models in a tile, and rows or columns beside so many: what registers hold. */
#define MOST_VECTORS 5
#define TILE_OF(bytes, vectors) \
    ((bytes) == 64 ? ((vectors) < 4 ? 8 : (vectors) == 4 ? 6 : 5) \
                   : ((vectors) == 1 ? 8 : (vectors) == 2 ? 6 : 7 - (vectors)))
#include "_vectors.h"

/* Rows, or columns, of a tile. */
EXPORT int64_t stacked_tile(int64_t bytes, int64_t vectors) { return TILE_OF(bytes, vectors); }

#else

/* sum (outer, vectors) of a (outer, count) times b (count, vectors), for a tile: a holds
 * outer values `of_outer` apart, the next ones `of_count` further on.
 */
INLINE TARGET void NAME(tile_product)(const int outer, const int vectors, int64_t count,
                                      const REAL *a, int64_t of_outer, int64_t of_count,
                                      const REAL *b, VECTOR sum[8][MOST_VECTORS]) {
#pragma GCC unroll 8
    for (int o = 0; o < outer; o++) {
#pragma GCC unroll 5
        for (int v = 0; v < vectors; v++) sum[o][v] = (VECTOR){0};
    }
    for (int64_t i = 0; i < count; i++) {
        VECTOR of_b[MOST_VECTORS];
#pragma GCC unroll 5
        for (int v = 0; v < vectors; v++) {
            of_b[v] = *(const VECTOR *)(b + (i * vectors + v) * LANES);
        }
#pragma GCC unroll 8
        for (int o = 0; o < outer; o++) {
            VECTOR of_a = NAME(broadcast)(a[o * of_outer + i * of_count]);
#pragma GCC unroll 5
            for (int v = 0; v < vectors; v++) sum[o][v] += of_a * of_b[v];
        }
    }
}

/* z (rows, vectors) = a (rows, p) w (p, vectors) for a tile. */
INLINE TARGET void NAME(stacked_margins)(const int rows, const int vectors, int64_t p,
                                         int64_t stride, const REAL *a, const REAL *w,
                                         REAL *z) {
    VECTOR sum[8][MOST_VECTORS];
    NAME(tile_product)(rows, vectors, p, a, stride, 1, w, sum);
#pragma GCC unroll 8
    for (int r = 0; r < rows; r++) {
#pragma GCC unroll 5
        for (int v = 0; v < vectors; v++) {
            *(VECTOR *)(z + (r * vectors + v) * LANES) = sum[r][v];
        }
    }
}

/* Adds a' r to g (columns, vectors) for a tile, over n rows. */
INLINE TARGET void NAME(stacked_pulled)(const int columns, const int vectors, int64_t n,
                                        int64_t stride, const REAL *a, const REAL *residual,
                                        double *g) {
    VECTOR sum[8][MOST_VECTORS];
    NAME(tile_product)(columns, vectors, n, a, 1, stride, residual, sum);
#pragma GCC unroll 8
    for (int c = 0; c < columns; c++) {
        REAL lanes[MOST_VECTORS * LANES];
#pragma GCC unroll 5
        for (int v = 0; v < vectors; v++) *(VECTOR *)(lanes + v * LANES) = sum[c][v];
        for (int e = 0; e < vectors * LANES; e++) g[c * vectors * LANES + e] += lanes[e];
    }
}

/* Margins of a whole panel: rows are a multiple of the tile's. */
INLINE TARGET void NAME(panel_margins)(const int vectors, int64_t rows, int64_t p,
                                       int64_t stride, const REAL *a, const REAL *w, REAL *z) {
    const int tile = TILE_OF(BYTES, vectors);
    for (int64_t i = 0; i < rows; i += tile) {
        NAME(stacked_margins)(tile, vectors, p, stride, a + i * stride, w,
                              z + i * vectors * LANES);
    }
}

/* Gradient of a whole panel: the stride is a multiple of the tile's columns. */
INLINE TARGET void NAME(panel_pulled)(const int vectors, int64_t rows, int64_t stride,
                                      const REAL *a, const REAL *residual, double *g) {
    const int tile = TILE_OF(BYTES, vectors);
    for (int64_t j = 0; j < stride; j += tile) {
        NAME(stacked_pulled)(tile, vectors, rows, stride, a + j, residual,
                             g + j * vectors * LANES);
    }
}

#define FOR_VECTORS(vectors, function, ...) \
    switch (vectors) { \
        case 1: NAME(function)(1, __VA_ARGS__); break; \
        case 2: NAME(function)(2, __VA_ARGS__); break; \
        case 3: NAME(function)(3, __VA_ARGS__); break; \
        case 4: NAME(function)(4, __VA_ARGS__); break; \
        default: NAME(function)(MOST_VECTORS, __VA_ARGS__); \
    }

/* Turns margins (rows, width) of two classes into residuals; sign is -1 or 1 by row. */
static TARGET void NAME(stacked_logistic)(int64_t rows, int64_t width, const int64_t *order,
                                          const REAL *sign, const REAL *weights, REAL *z) {
    for (int64_t i = 0; i < rows; i++, z += width) {
        REAL s = sign[order[i]], scaled = weights ? -s * weights[order[i]] : -s;
        for (int64_t e = 0; e < width; e += LANES) {
            VECTOR *margin = (VECTOR *)(z + e);
            *margin = scaled / (1 + NAME(vector_exp)(s * *margin));
        }
    }
}

/* The same for k classes, whose vectors lie `apart` one from the next in panels of `vectors`
 * (n_panels, rows_all, vectors).
 */
static TARGET void NAME(stacked_softmax)(int64_t k, int64_t apart, int64_t rows,
                                         int64_t rows_all, int64_t vectors,
                                         const int64_t *order, const int64_t *code,
                                         const REAL *weights, REAL *z) {
    for (int64_t i = 0; i < rows; i++) {
        REAL weight = weights ? weights[order[i]] : 1;
        for (int64_t u = 0; u < apart; u++) {
#define OF_CLASS(c) ((VECTOR *)(z + ((((c) * apart + u) / vectors * rows_all + i) * vectors + \
                                     ((c) * apart + u) % vectors) * LANES))
            VECTOR largest = *OF_CLASS(0), total = {0};
            for (int64_t c = 1; c < k; c++) {
                VECTOR margin = *OF_CLASS(c);
                largest = NAME(choose)((WHOLES)(margin > largest), margin, largest);
            }
            for (int64_t c = 0; c < k; c++) {
                VECTOR power = NAME(vector_exp)(*OF_CLASS(c) - largest);
                total += power;
                *OF_CLASS(c) = power;
            }
            total = weight / total;
            for (int64_t c = 0; c < k; c++) *OF_CLASS(c) *= total;
            *OF_CLASS(code[order[i]]) -= weight;
#undef OF_CLASS
        }
    }
}

/* The same for `models` models whose classes stand side by side: output model * k + c. */
static TARGET void NAME(crowded_softmax)(int64_t k, int64_t models, int64_t rows,
                                         int64_t rows_all, int64_t width,
                                         const int64_t *order, const int64_t *code,
                                         const REAL *weights, REAL *z, REAL *outputs) {
    int64_t padded = (models * k + LANES - 1) / LANES * LANES;
    for (int64_t i = 0; i < rows; i++) {
        REAL weight = weights ? weights[order[i]] : 1;
        for (int64_t o = 0; o < padded; o += width) {
            int64_t part = padded - o < width ? padded - o : width;
            memcpy(outputs + o, z + (o / width * rows_all + i) * width, part * sizeof(REAL));
        }
        for (int64_t m = 0; m < models; m++) {
            REAL *own = outputs + m * k, largest = own[0];
            for (int64_t c = 1; c < k; c++) largest = own[c] > largest ? own[c] : largest;
            for (int64_t c = 0; c < k; c++) own[c] -= largest;
        }
        for (int64_t o = 0; o < padded; o += LANES) {
            *(VECTOR *)(outputs + o) = NAME(vector_exp)(*(VECTOR *)(outputs + o));
        }
        for (int64_t m = 0; m < models; m++) {
            REAL *own = outputs + m * k, total = 0;
            for (int64_t c = 0; c < k; c++) total += own[c];
            total = weight / total;
            for (int64_t c = 0; c < k; c++) own[c] *= total;
            own[code[order[i]]] -= weight;
        }
        for (int64_t o = 0; o < padded; o += width) {
            int64_t part = padded - o < width ? padded - o : width;
            memcpy(z + (o / width * rows_all + i) * width, outputs + o, part * sizeof(REAL));
        }
    }
}

/* A centred, scaled row; two loops, for gcc to make vectors of each. */
INLINE TARGET void NAME(from_float)(int64_t d, const float *restrict x,
                                    const double *restrict centre,
                                    const double *restrict inverse, REAL *restrict a) {
    for (int64_t j = 0; j < d; j++) a[j] = (REAL)((x[j] - centre[j]) * inverse[j]);
}

INLINE TARGET void NAME(from_double)(int64_t d, const double *restrict x,
                                     const double *restrict centre,
                                     const double *restrict inverse, REAL *restrict a) {
    for (int64_t j = 0; j < d; j++) a[j] = (REAL)((x[j] - centre[j]) * inverse[j]);
}

/* Centred, scaled rows, with a column of ones where `constant`, and zeros beyond. */
static TARGET void NAME(standardised)(int64_t rows, const int64_t *order, int64_t d,
                                      int64_t constant, int64_t stride, const void *X,
                                      int64_t bytes, const double *centre,
                                      const double *inverse, REAL *a) {
    for (int64_t i = 0; i < rows; i++, a += stride) {
        if (bytes == 8) {
            NAME(from_double)(d, (const double *)X + order[i] * d, centre, inverse, a);
        } else {
            NAME(from_float)(d, (const float *)X + order[i] * d, centre, inverse, a);
        }
        for (int64_t j = d; j < stride; j++) a[j] = constant && j == d ? 1 : 0;
    }
}

/* Sums over the rows order[start..stop) of x - centre and of its squares, added to
 * `sums` (2, d).
 */
EXPORT TARGET void NAME(folded_sums)(int64_t start, int64_t stop, const int64_t *order,
                                     int64_t d, const REAL *X, const double *centre,
                                     double *sums) {
    for (int64_t i = start; i < stop; i++) {
        const REAL *x = X + order[i] * d;
        for (int64_t j = 0; j < d; j++) {
            double moved = x[j] - centre[j];
            sums[j] += moved;
            sums[d + j] += moved * moved;
        }
    }
}

/* Adds the gradients of a stack of models over the rows order[start..stop) to G.
 *
 * X (n, d) holds values of `bytes` bytes; a row is (x - centre) * inverse, then a one where
 * `constant`. The models fill `apart` vectors; those of class c begin at vector c * apart.
 * Where that would leave many lanes empty, `apart` is 0, and class c of a model is output
 * model * k + c of all `models`.
 * W (panels, p, vectors) and G (panels, stride, vectors) hold `vectors` vectors side by side,
 * with p = d + constant; stride is p rounded up, and at_once a multiple, of the tile's rows.
 * Two classes: `sign` (n) holds -1 or 1; else `code` (n) holds the class. `weights` (n) may
 * be NULL. `work` holds (at_once + 1) * (stride + panels * vectors * LANES) values.
 */
EXPORT TARGET void NAME(stacked_pass)(int64_t start, int64_t stop, const int64_t *order,
                                      int64_t d, int64_t constant, int64_t stride,
                                      const void *X, int64_t bytes, const double *centre,
                                      const double *inverse, int64_t k, int64_t models,
                                      int64_t apart, int64_t panels, int64_t vectors, const REAL *W,
                                      const REAL *sign, const int64_t *code,
                                      const REAL *weights, double *G, int64_t at_once,
                                      REAL *work) {
    REAL *a = work, *z = work + at_once * stride;
    int64_t p = d + constant, width = vectors * LANES;
    for (int64_t i = start; i < stop; i += at_once) {
        int64_t rows = stop - i < at_once ? stop - i : at_once;
        NAME(standardised)(rows, order + i, d, constant, stride, X, bytes, centre, inverse, a);
        /* What the last tile has beyond the rows counts for nothing. */
        memset(a + rows * stride, 0, (at_once - rows) * stride * sizeof(REAL));
        for (int64_t q = 0; q < panels; q++) {
            REAL *of_z = z + q * at_once * width;
            FOR_VECTORS(vectors, panel_margins, at_once, p, stride, a, W + q * p * width, of_z);
            if (sign) {
                NAME(stacked_logistic)(rows, width, order + i, sign, weights, of_z);
            }
        }
        if (!sign && !apart) {
            NAME(crowded_softmax)(k, models, rows, at_once, width, order + i, code, weights, z,
                                  z + at_once * panels * width);
        } else if (!sign) {
            NAME(stacked_softmax)(k, apart, rows, at_once, vectors, order + i, code, weights, z);
        }
        for (int64_t q = 0; q < panels; q++) {
            FOR_VECTORS(vectors, panel_pulled, rows, stride, a, z + q * at_once * width,
                        G + q * stride * width);
        }
    }
}

#undef FOR_VECTORS

#endif
