/* bench_trace.c: the cost of one event of the trace to the code that causes it. */
#include "ktest.h"

#include <trace.h>

KBENCH(BenchTrace, "one event of the trace", "instructions", 15) {
    return KT_MEASURE(KdTrace(TraceIpi, 0, 1, 2, 3));
}
