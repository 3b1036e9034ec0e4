/* reaper.c: the thread that frees ended threads, since a thread cannot free its own stack. */
#include "psp.h"
#include <mm.h>

/* Stack first, then the reference that the running thread had of itself. */
static VOID Reap(PETHREAD Thread) {
    ULONG64 StackBase = Thread->Tcb.StackBase;
    SIZE_T Bytes = StackBase - Thread->Tcb.StackLimit;
    Thread->Tcb.StackBase = Thread->Tcb.StackLimit = 0;
    MmDeleteKernelStack(StackBase, Bytes);
    ObfDereferenceObject(Thread);
}

VOID PspReaperThread(PVOID Context) {
    UNREFERENCED_PARAMETER(Context);
    for (;;) {
        Reap(CONTAINING_RECORD(KeWaitForTerminatedThread(), ETHREAD, Tcb));
    }
}

VOID PsInitializeSystem(VOID) {
    NTSTATUS Status = PsCreateNamedThread(NULL, "reaper", LOW_REALTIME_PRIORITY, PspReaperThread, NULL);
    if (!NT_SUCCESS(Status)) {
        KeBugCheckEx(PHASE1_INITIALIZATION_FAILED, (ULONG_PTR)Status, 0, 0, 0);
    }
}
