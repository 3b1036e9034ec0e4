/* bench_trace.c: what one event of the trace costs whoever causes it. */
#include "ktest.h"

#include <trace.h>

KBENCH(BenchTrace, "one event of the trace", "instructions", 15) {
    return KT_MEASURE(KdTrace(TraceIpi, 0, 1, 2, 3));
}
