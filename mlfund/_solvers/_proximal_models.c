/* Quadratic models of a stack of l1-penalised problems: one dense Hessian a model.
 *
 * All matrices are symmetric and stored whole, (s, s); `which` tells which matrix, weights
 * and step belong to each other.
 */
#include <math.h>
#include <stdint.h>

#if defined(_WIN32)
#define EXPORT __declspec(dllexport)
#else
#define EXPORT __attribute__((visibility("default")))
#endif
#if defined(__GNUC__) && !defined(__clang__) && defined(__x86_64__) && defined(__GLIBC__)
#define WIDE __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define WIDE
#endif

double model_sweeps(int64_t m, const double *H, const double *l1, double *v, double *q,
                    double tol, int64_t sweeps);

static double dot(int64_t s, const double *a, const double *b) {
    double part[8] = {0.0}, total = 0.0;
    int64_t j = 0;
    for (; j + 8 <= s; j += 8) {
        for (int e = 0; e < 8; e++) part[e] += a[j + e] * b[j + e];
    }
    for (; j < s; j++) total += a[j] * b[j];
    for (int e = 0; e < 8; e++) total += part[e];
    return total;
}

/* BFGS: the Hessian H of each model learns the change y of the gradient by the step s.
 *
 * H (all, s, s); steps and changes (models, s); `product` (s) is scratch. Pairs that would
 * make H indefinite, up to rounding, are left out.
 */
EXPORT WIDE void learn_curvature(int64_t models, int64_t s, const int64_t *which, double *H,
                                 const double *steps, const double *changes, double *product) {
    for (int64_t m = 0; m < models; m++) {
        double *of_model = H + which[m] * s * s;
        const double *step = steps + m * s, *change = changes + m * s;
        double sy = dot(s, step, change);
        if (!(sy > 1e-12 * sqrt(dot(s, step, step) * dot(s, change, change)))) continue;
        for (int64_t j = 0; j < s; j++) product[j] = 0.0;
        for (int64_t j = 0; j < s; j++) {
            if (step[j] == 0.0) continue;
            const double *row = of_model + j * s;
            for (int64_t i = 0; i < s; i++) product[i] += step[j] * row[i];
        }
        double sHs = dot(s, step, product);
        if (!(sHs > 0.0)) continue;
        for (int64_t j = 0; j < s; j++) {
            double *row = of_model + j * s, up = change[j] / sy, down = product[j] / sHs;
            for (int64_t i = 0; i < s; i++) row[i] += up * change[i] - down * product[i];
        }
    }
}

/* `model_sweeps` for each model: v and q (models, s) are its weights and gradient, both in
 * place, l1 (all, s) its penalties; `worst` (models) holds tolerances, then the last changes.
 */
EXPORT void many_model_sweeps(int64_t models, int64_t s, const int64_t *which, const double *H,
                              const double *l1, double *v, double *q, double *worst,
                              int64_t sweeps) {
    for (int64_t m = 0; m < models; m++) {
        worst[m] = model_sweeps(s, H + which[m] * s * s, l1 + which[m] * s, v + m * s,
                                q + m * s, worst[m], sweeps);
    }
}
