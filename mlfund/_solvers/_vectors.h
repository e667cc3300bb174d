/* Loops written once for each width of registers and for float32 and float64.
 *
 * A file that names itself BODY and includes this one is included in turn for all of them,
 * with REAL, BYTES, TARGET, LANES and gcc's vector types; NAME(x) carries type and width.
 * With other compilers than gcc, INLINE stays undefined and BODY is not included.
 */
#ifndef BYTES

#include <math.h>
#include <stdint.h>
#include <string.h>

#if defined(_WIN32)
#define EXPORT __declspec(dllexport)
#else
#define EXPORT __attribute__((visibility("default")))
#endif

#if defined(__GNUC__) && !defined(__clang__)
#define INLINE static inline __attribute__((always_inline))
#define PASTE(name, type, bytes) name##_##type##_##bytes
#define NAMED(name, type, bytes) PASTE(name, type, bytes)
#define NAME(name) NAMED(name, REAL, BYTES)
#define LANES ((int)(BYTES / sizeof(REAL)))
#if defined(__x86_64__)
#define BYTES 64
#define TARGET __attribute__((target("avx512f,avx512dq,avx512bw,avx512vl,avx2,fma")))
#include "_vectors.h"
#undef BYTES
#undef TARGET
#define BYTES 32
#define TARGET __attribute__((target("avx2,fma")))
#include "_vectors.h"
#undef BYTES
#undef TARGET
#endif
#define BYTES 16
#define TARGET
#include "_vectors.h"
#undef BYTES
#undef TARGET
#endif

#elif !defined(REAL)

#define REAL float
#define WHOLE int32_t
#define MANTISSA 23
#define LARGEST_EXP 87.0f
#define SERIES 8
#define TERMS 7
#include "_vectors.h"
#undef REAL
#undef WHOLE
#undef MANTISSA
#undef LARGEST_EXP
#undef SERIES
#undef TERMS
#define REAL double
#define WHOLE int64_t
#define MANTISSA 52
#define LARGEST_EXP 708.0
#define SERIES 18
#define TERMS 13
#include "_vectors.h"
#undef REAL
#undef WHOLE
#undef MANTISSA
#undef LARGEST_EXP
#undef SERIES
#undef TERMS

#else

#define VECTOR NAME(vector)
#define WHOLES NAME(wholes)

typedef REAL VECTOR __attribute__((vector_size(BYTES), aligned(sizeof(REAL)), may_alias));
typedef WHOLE WHOLES __attribute__((vector_size(BYTES)));

INLINE TARGET VECTOR NAME(broadcast)(REAL value) { return value - (VECTOR){0}; }

INLINE TARGET VECTOR NAME(choose)(WHOLES mask, VECTOR yes, VECTOR no) {
    return (VECTOR)(((WHOLES)yes & mask) | ((WHOLES)no & ~mask));
}

/* exp to about an ulp: 2^n times the Taylor series within half of log 2; 0 and infinity are
 * out of reach, NaN stays.
 */
INLINE TARGET VECTOR NAME(vector_exp)(VECTOR x) {
    const REAL shift = (REAL)((int64_t)3 << (MANTISSA - 1));
    const VECTOR bound = NAME(broadcast)(LARGEST_EXP);
    VECTOR clipped = NAME(choose)((WHOLES)(x < -bound), -bound, x);
    clipped = NAME(choose)((WHOLES)(clipped > bound), bound, clipped);
    VECTOR shifted = clipped * (REAL)1.4426950408889634 + shift;
    VECTOR n = shifted - shift;
    /* log 2 in two parts, of which the first has few digits: n times it is exact. */
    VECTOR r = clipped - n * (REAL)0.693145751953125;
    r -= n * (REAL)1.4286068203094172e-06;
    REAL part[TERMS + 1] = {1};
    for (int k = 1; k <= TERMS; k++) part[k] = part[k - 1] / k;
    VECTOR sum = NAME(broadcast)(part[TERMS]);
#pragma GCC unroll 16
    for (int k = TERMS - 1; k >= 0; k--) sum = sum * r + part[k];
    WHOLES power = ((WHOLES)shifted - (WHOLES)NAME(broadcast)(shift)) << MANTISSA;
    return NAME(choose)((WHOLES)(x == x), (VECTOR)((WHOLES)sum + power), x);
}

#include BODY

#undef VECTOR
#undef WHOLES

#endif
