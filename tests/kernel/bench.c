/* bench.c: runs the measurements and writes one line of JSON for each to COM2; tools/cli/bench.py makes the table of
 * them. */
#include "ktest.h"

VOID KtRunBenches(const KBENCH_CASE *Cases, ULONG Count) {
    CHAR Unit[16] = "";
    KeGetBootOption("bench", Unit, sizeof(Unit)); /* bench=ratio: only those of this unit */
    KtPin(0);
    for (ULONG Index = 0; Index < Count; Index++) {
        const KBENCH_CASE *Case = &Cases[Index];
        if (strcmp(Unit[0] ? Unit : "instructions", Case->Unit) != 0) {
            continue;
        }
        ULONG64 Value = Case->Measure();
        KdChannelf("{\"name\":\"%s\",\"value\":%llu.%02llu,\"unit\":\"%s\",\"reach\":%llu}\n", Case->Name, Value / 100,
                   Value % 100, Case->Unit, Case->Reach);
        KdPrintf("bench: %s: %llu.%02llu %s\n", Case->Name, Value / 100, Value % 100, Case->Unit);
    }
}
