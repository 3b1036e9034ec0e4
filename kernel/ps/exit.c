/* exit.c: the end of a thread, which must hold nothing: no other thread could release it. */
#include "psp.h"

/* In NT's order. Each of these leaves something locked forever, or kills a thread that is not the caller's to kill. */
static VOID CheckExit(PETHREAD Thread) {
    KIRQL Irql = KiCurrentIrql();
    PKTHREAD Tcb = &Thread->Tcb;
    if (Tcb->ApcStateIndex != OriginalApcEnvironment) {
        KeBugCheckEx(INVALID_PROCESS_ATTACH_ATTEMPT, (ULONG_PTR)Tcb->AttachedProcess, (ULONG_PTR)Tcb->Process,
                     Tcb->ApcStateIndex, 0);
    }
    if (Thread->ActiveExWorker) {
        KeBugCheckEx(ACTIVE_EX_WORKER_THREAD_TERMINATION, (ULONG_PTR)Thread, 0, 0, 0);
    }
    if (Tcb->CombinedApcDisable != 0 || Irql != PASSIVE_LEVEL) {
        KeBugCheckEx(KERNEL_APC_PENDING_DURING_EXIT, 0, Tcb->CombinedApcDisable, Irql, 1);
    }
}

/* Ends the current thread. PASSIVE_LEVEL, nothing held: otherwise the machine stops (0x05 attached to a process; 0xE9
 * in a worker; 0x20 with a mutex, in a critical region or at a raised IRQL). wdm.h: PsTerminateSystemThread. */
NTSTATUS PsTerminateSystemThread(NTSTATUS ExitStatus) {
    PETHREAD Thread = PsGetCurrentThread();
    CheckExit(Thread);
    PspTellOfThread(Thread, ThreadEnds);
    Thread->ExitStatus = ExitStatus;
    KeTerminateThread();
}
