/* Sequential coordinate loops of the linear solvers, which numpy cannot express.
 *
 * Plain C99 without Python's headers, called through ctypes by kernels.py, which checks
 * every array. Loops are bounded, so that Python sees Ctrl-C between two calls. The file
 * includes itself twice: once for float32 and once for float64 values of X.
 *
 * Sparse matrices have int32 indices and no double entries.
 */
#ifndef REAL

#include <math.h>
#include <stddef.h>
#include <stdint.h>

#if defined(_WIN32)
#define EXPORT __declspec(dllexport)
#else
#define EXPORT __attribute__((visibility("default")))
#endif

/* Wide registers where the processor has them; the choice is made when the file is loaded. */
#if defined(__GNUC__) && !defined(__clang__) && defined(__x86_64__) && defined(__GLIBC__)
#define WIDE __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define WIDE
#endif

#if defined(__GNUC__)
#define PREFETCH(address) __builtin_prefetch(address)
#else
#define PREFETCH(address)
#endif

/* Python's tools for extensions ask for this name on Windows; nothing calls it. */
EXPORT void *PyInit__kernels(void) { return NULL; }

/* The minimiser of g (v - old) + a/2 (v - old)^2 + l1 |v|, for a > 0. */
static double soft_step(double old, double g, double a, double l1) {
    double moved = old - g / a, amount = l1 / a;
    if (moved > amount) return moved - amount;
    if (moved < -amount) return moved + amount;
    return 0.0;
}

/* Coordinate descent on q'(v - v0) + 1/2 (v - v0)'H(v - v0) + sum_j l1_j |v_j|.
 *
 * H (m, m) is symmetric and holds the l2 penalties; q (m) is its gradient at v and is kept
 * up to date. Stops after `sweeps`, or when no coordinate's gradient changed by more than
 * `tol` in a sweep; returns the largest change of the last sweep.
 */
EXPORT WIDE double model_sweeps(int64_t m, const double *H, const double *l1, double *v,
                                double *q, double tol, int64_t sweeps) {
    double worst = 0.0;
    for (int64_t sweep = 0; sweep < sweeps; sweep++) {
        worst = 0.0;
        for (int64_t j = 0; j < m; j++) {
            const double *row = H + j * m;
            double a = row[j];
            if (a <= 0.0) continue;
            double step = soft_step(v[j], q[j], a, l1[j]) - v[j];
            if (step == 0.0) continue;
            v[j] += step;
            if (fabs(step) * a > worst) worst = fabs(step) * a;
            for (int64_t k = 0; k < m; k++) q[k] += step * row[k];
        }
        if (worst <= tol) break;
    }
    return worst;
}

/* xorshift64*: seeded, the same on every machine. */
static uint64_t next_random(uint64_t *state) {
    uint64_t x = *state;
    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    *state = x;
    return (x * UINT64_C(2685821657736338717)) >> 33;
}

/* Fisher-Yates. */
EXPORT void shuffle(int64_t n, int32_t *order, uint64_t *state) {
    for (int64_t i = n - 1; i > 0; i--) {
        /* The numbers have 31 bits: a product in place of a division. */
        int64_t j = (int64_t)((next_random(state) * (uint64_t)(i + 1)) >> 31);
        int32_t kept = order[i];
        order[i] = order[j];
        order[j] = kept;
    }
}

/* The root t of t - margin - a (c s(-t) - alpha), with s the logistic function and
 * alpha = c s(-t_old): the new optimality of one row in the dual. The left side increases,
 * with a slope of at least 1, so that Newton's iteration in a bracket finds it.
 */
static double dual_root(double t, double margin, double a, double c, double *alpha) {
    double old = *alpha, low = margin - a * old, high = margin + a * (c - old);
    double first = t - margin, part = old / c;
    double enough = 1e-2 * fabs(first) + 1e-12;
    /* Newton's first step needs no exponential: alpha tells the logistic function at t. */
    t -= first / (1.0 + a * old * (1.0 - part));
    t = t < low ? low : (t > high ? high : t);
    for (int trial = 0; trial < 50; trial++) {
        part = 1.0 / (1.0 + exp(t));
        *alpha = c * part;
        double excess = t - margin - a * (*alpha - old);
        if (fabs(excess) <= enough) break;
        if (excess > 0.0) high = t;
        else low = t;
        double next = t - excess / (1.0 + a * c * part * (1.0 - part));
        t = next > low && next < high ? next : 0.5 * (low + high);
    }
    return t;
}

#define JOINED(name, suffix) name##_##suffix
#define SUFFIXED(name, suffix) JOINED(name, suffix)
#define NAME(name) SUFFIXED(name, SUFFIX)

#define REAL float
#define SUFFIX float32
#include "_kernels.c"
#undef REAL
#undef SUFFIX
#define REAL double
#define SUFFIX float64
#include "_kernels.c"

#else /* for each type of values */

/* Weighted sums of the entries of each column and of their squares, added to `sums` (d, 2).
 * `weights` may be NULL, for weights of one.
 */
EXPORT void NAME(column_sums)(int64_t n, const int32_t *indptr, const int32_t *indices,
                              const REAL *data, const REAL *weights, double *sums) {
    for (int64_t i = 0; i < n; i++) {
        double weight = weights ? (double)weights[i] : 1.0;
        for (int32_t t = indptr[i]; t < indptr[i + 1]; t++) {
            double x = (double)data[t], wx = weight * x;
            double *of_column = sums + 2 * (int64_t)indices[t];
            of_column[0] += wx;
            of_column[1] += wx * x;
        }
    }
}

/* |x_i|^2 and, unless `centre` is NULL, x_i'centre of each row. Returns how many entries are
 * in the columns that `dead` marks; it may be NULL, for none.
 */
EXPORT int64_t NAME(row_moments)(int64_t n, const int32_t *indptr, const int32_t *indices,
                                 const REAL *data, const double *centre, const uint8_t *dead,
                                 double *squares, double *along) {
    int64_t filled = 0;
    for (int64_t i = 0; i < n; i++) {
        double part[4] = {0.0}, product = 0.0;
        int32_t first = indptr[i], last = indptr[i + 1];
        int32_t s = first;
        for (; s + 4 <= last; s += 4) {
            for (int k = 0; k < 4; k++) part[k] += (double)data[s + k] * (double)data[s + k];
        }
        for (; s < last; s++) part[0] += (double)data[s] * (double)data[s];
        for (int32_t e = first; centre && e < last; e++) {
            product += centre[indices[e]] * (double)data[e];
        }
        for (int32_t e = first; dead && e < last; e++) filled += dead[indices[e]];
        squares[i] = (part[0] + part[1]) + (part[2] + part[3]);
        along[i] = product;
    }
    return filled;
}

/* Keep the columns with position[column] >= 0, under their new numbers. Fills
 * out_indptr (n + 1); also the other outputs when they are not NULL. Returns the entries.
 */
EXPORT int64_t NAME(select_columns)(int64_t n, const int32_t *indptr, const int32_t *indices,
                                    const REAL *data, const int32_t *position,
                                    int32_t *out_indptr, int32_t *out_indices,
                                    REAL *out_data) {
    int32_t at = 0;
    for (int64_t i = 0; i < n; i++) {
        out_indptr[i] = at;
        for (int32_t t = indptr[i]; t < indptr[i + 1]; t++) {
            int32_t column = position[indices[t]];
            if (column < 0) continue;
            if (out_indices) {
                out_indices[at] = column;
                out_data[at] = data[t];
            }
            at++;
        }
    }
    out_indptr[n] = at;
    return at;
}

/* Add sum_i h_i x_i x_i' over the rows from start to stop to the half of `gram` (m, m)
 * where an entry's place in its row is not before the other's.
 */
EXPORT void NAME(sparse_gram)(int64_t start, int64_t stop, const int32_t *indptr,
                              const int32_t *indices, const REAL *data, const double *h,
                              int64_t m, double *gram) {
    for (int64_t i = start; i < stop; i++) {
        for (int32_t s = indptr[i]; s < indptr[i + 1]; s++) {
            double *row = gram + (int64_t)indices[s] * m;
            double hx = h[i] * (double)data[s];
            for (int32_t t = indptr[i]; t <= s; t++) row[indices[t]] += hx * (double)data[t];
        }
    }
}

/* One sweep of coordinate descent on the second-order model of the loss, by sparse columns.
 *
 * Columns are those of a CSC matrix, centred and scaled: (x - centre_j) * inverse_scale_j.
 * The residual of row i is u_i + h_i * offset, with its sum in state[1] and the offset in
 * state[0]; state[2] is the sum of h. `hx` (m) holds sum_i h_i x_ij of the columns as they
 * are. v, curvature, l2 and l1 (m) belong to the centred, scaled columns. With `active` only
 * the entries of v that are not zero are visited. Returns the largest change of a gradient.
 */
EXPORT double NAME(sparse_column_sweep)(int64_t start, int64_t stop, const int32_t *indptr,
                                        const int32_t *indices, const REAL *data,
                                        const double *h, const double *hx,
                                        const double *centre, const double *inverse_scale,
                                        const double *curvature, const double *l2,
                                        const double *l1, double *v, double *u,
                                        double *state, int64_t active) {
    double worst = 0.0;
    for (int64_t j = start; j < stop; j++) {
        double a = curvature[j] + l2[j];
        if (a <= 0.0 || (active && v[j] == 0.0)) continue;
        double g = state[0] * hx[j] - centre[j] * (state[1] + state[0] * state[2]);
        for (int32_t t = indptr[j]; t < indptr[j + 1]; t++) {
            g += (double)data[t] * u[indices[t]];
        }
        g = g * inverse_scale[j] + l2[j] * v[j];
        double step = soft_step(v[j], g, a, l1[j]) - v[j];
        if (step == 0.0) continue;
        v[j] += step;
        if (fabs(step) * a > worst) worst = fabs(step) * a;
        double along = step * inverse_scale[j];
        for (int32_t t = indptr[j]; t < indptr[j + 1]; t++) {
            u[indices[t]] += along * h[indices[t]] * (double)data[t];
        }
        state[1] += along * hx[j];
        state[0] -= along * centre[j];
    }
    return worst;
}

/* The same for dense columns that are centred and scaled already, one after the other. */
EXPORT WIDE double NAME(dense_column_sweep)(int64_t start, int64_t stop, int64_t n,
                                            const REAL *columns, const double *h,
                                            const double *curvature, const double *l2,
                                            const double *l1, double *v, double *u,
                                            int64_t active) {
    double worst = 0.0;
    for (int64_t j = start; j < stop; j++) {
        double a = curvature[j] + l2[j];
        if (a <= 0.0 || (active && v[j] == 0.0)) continue;
        const REAL *x = columns + j * n;
        double part[8] = {0.0};
        int64_t i = 0;
        for (; i + 8 <= n; i += 8) {
            for (int k = 0; k < 8; k++) part[k] += (double)x[i + k] * u[i + k];
        }
        for (; i < n; i++) part[0] += (double)x[i] * u[i];
        double g = l2[j] * v[j];
        for (int k = 0; k < 8; k++) g += part[k];
        double step = soft_step(v[j], g, a, l1[j]) - v[j];
        if (step == 0.0) continue;
        v[j] += step;
        if (fabs(step) * a > worst) worst = fabs(step) * a;
        for (i = 0; i < n; i++) u[i] += step * h[i] * (double)x[i];
    }
    return worst;
}

/* Dual coordinate descent for the l2-penalised logistic loss, over rows order[start..stop).
 *
 * Row i has the sign y_i, the bound c_i and the dual variable c_i s(-t_i). The weights are
 * w = sum_i alpha_i y_i (x_i - centre), kept as u - state[0] * centre, with state[1] = u'centre
 * and state[2] = centre'centre; `along` (n) holds x_i'centre. The intercept state[3] moves
 * by state[4] alpha y. `squares` (n) holds |x_i - centre|^2 + state[4]. Rows whose margin is
 * within `tol` of t_i are left alone; returns how many were not.
 */
EXPORT int64_t NAME(sparse_dual_sweep)(int64_t start, int64_t stop, const int32_t *order,
                                       const int32_t *indptr, const int32_t *indices,
                                       const REAL *data, const double *y, const double *c,
                                       const double *along, const double *squares, double *t,
                                       double *alpha, double *u, double *state, double tol) {
    int64_t moved = 0;
    for (int64_t k = start; k < stop; k++) {
        int64_t i = order[k];
        int32_t first = indptr[i], last = indptr[i + 1];
        if (k + 2 < stop) {
            int32_t ahead = indptr[order[k + 2]], end = indptr[order[k + 2] + 1];
            for (; ahead < end; ahead += 16) {
                PREFETCH(indices + ahead);
                PREFETCH(data + ahead);
            }
        }
        double part[4] = {0.0};
        int32_t e = first;
        for (; e + 4 <= last; e += 4) {
            part[0] += u[indices[e]] * (double)data[e];
            part[1] += u[indices[e + 1]] * (double)data[e + 1];
            part[2] += u[indices[e + 2]] * (double)data[e + 2];
            part[3] += u[indices[e + 3]] * (double)data[e + 3];
        }
        for (; e < last; e++) part[0] += u[indices[e]] * (double)data[e];
        double margin = (part[0] + part[1]) + (part[2] + part[3]) - state[0] * along[i] - state[1] + state[0] * state[2];
        margin = y[i] * (margin + state[3]);
        if (fabs(t[i] - margin) <= tol) continue;
        moved++;
        double before = alpha[i];
        t[i] = dual_root(t[i], margin, squares[i], c[i], alpha + i);
        double step = (alpha[i] - before) * y[i];
        for (e = first; e < last; e++) u[indices[e]] += step * (double)data[e];
        state[0] += step;
        state[1] += step * along[i];
        state[3] += step * state[4];
    }
    return moved;
}

/* The same for dense rows (n, d) that are centred already: state[0..2] stay zero. */
EXPORT WIDE int64_t NAME(dense_dual_sweep)(int64_t start, int64_t stop, const int32_t *order,
                                           int64_t d, const REAL *rows, const double *y,
                                           const double *c, const double *squares, double *t,
                                           double *alpha, double *u, double *state,
                                           double tol) {
    int64_t moved = 0;
    for (int64_t k = start; k < stop; k++) {
        int64_t i = order[k], j = 0;
        const REAL *x = rows + i * d;
        double part[8] = {0.0}, margin = state[3];
        for (; j + 8 <= d; j += 8) {
            for (int e = 0; e < 8; e++) part[e] += u[j + e] * (double)x[j + e];
        }
        for (; j < d; j++) margin += u[j] * (double)x[j];
        for (int e = 0; e < 8; e++) margin += part[e];
        margin *= y[i];
        if (fabs(t[i] - margin) <= tol) continue;
        moved++;
        double before = alpha[i];
        t[i] = dual_root(t[i], margin, squares[i], c[i], alpha + i);
        double step = (alpha[i] - before) * y[i];
        for (j = 0; j < d; j++) u[j] += step * (double)x[j];
        state[3] += step * state[4];
    }
    return moved;
}

#endif
