/* test_schedule.c: leaves a fingerprint of the order in which the CPUs ran, so that the host can tell schedules
 * apart. */
#include "ktest.h"

typedef struct _TRACE {
    volatile LONG Next;
    UCHAR Processor[8192];
} TRACE;

static VOID Append(ULONG Processor, PVOID Context) {
    TRACE *Trace = Context;
    for (ULONG Round = 0; Round < RTL_NUMBER_OF(Trace->Processor) / MAXIMUM_PROCESSORS; Round++) {
        Trace->Processor[InterlockedIncrement(&Trace->Next) - 1] = (UCHAR)Processor;
        for (ULONG Instructions = 0; Instructions < 100; Instructions++) {
            _ReadWriteBarrier();
        }
    }
}

/* FNV-1a over the writer of each entry. tests/test_kernel.py compares the line between runs of one seed and of
 * several. */
KTEST(schedule_is_drawn_from_the_seed) {
    static TRACE Trace;
    ULONG64 Hash = 0xCBF29CE484222325ULL;
    memset(&Trace, 0, sizeof(Trace));
    KtRunOnAllCpus(Append, &Trace);
    for (LONG Index = 0; Index < Trace.Next; Index++) {
        Hash = (Hash ^ Trace.Processor[Index]) * 0x100000001B3ULL;
    }
    KT_EXPECT_EQ(Trace.Next, RTL_NUMBER_OF(Trace.Processor) / MAXIMUM_PROCESSORS * KeNumberProcessors);
    if (KtIsSeeded()) {
        KdChannelf("# schedule %016llx\n", Hash);
    }
}

/* The runner's own limit has to end this one, and say where it hangs. */
KTEST_CRASH(test_that_never_ends) {
    KEVENT Never;
    KeInitializeEvent(&Never, NotificationEvent, FALSE);
    KeWaitForSingleObject(&Never, Executive, KernelMode, FALSE, NULL);
}
