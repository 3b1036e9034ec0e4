/* threadeddpc.c: threaded DPCs: queued like any DPC, but run at PASSIVE_LEVEL by a thread of top priority. So an
 * interrupt's long work does not keep the CPU from other DPCs.
 *
 * Each CPU has one such thread. Queuing a threaded DPC asks for the DISPATCH interrupt as any DPC does; the drain then
 * wakes the thread. Until the threads exist, early in the start, a threaded DPC runs like an ordinary one, which its
 * routine must be prepared for on Windows, too. */
#include "ki.h"
#include <ps.h>
#include <ring.h>
#include <rtl.h>
#include <trace.h>

/* Runs on its CPU forever. */
static VOID KiExecuteDpc(PVOID Context) {
    PKPRCB Prcb = Context;
    KDPC_CALL Call;
    KeSetSystemAffinityThread((KAFFINITY)1 << Prcb->Number);
    for (;;) {
        KeWaitForSingleObject(&Prcb->ThreadedDpcEvent, WrQueue, KernelMode, FALSE, NULL);
        while (KiTakeThreadedDpc(&Prcb->ThreadedDpcData, &Call)) {
            KdTraceAt(PASSIVE_LEVEL, TraceDpc, 0, (ULONG64)Call.Dpc, (ULONG64)Call.Routine, 0);
            Call.Routine(Call.Dpc, Call.Context, Call.Argument1, Call.Argument2);
            KiCheckDpcReturn(&Call, PASSIVE_LEVEL, 0);
            KdTraceAt(PASSIVE_LEVEL, TraceDpcEnd, 0, (ULONG64)Call.Dpc, (ULONG64)Call.Routine, 0);
        }
    }
}

/* A thread for each CPU that is up. The references are kept: the threads never end. */
static VOID InitializeThreadedDpcs(VOID) {
    for (ULONG Number = 0; Number < KeNumberProcessors; Number++) {
        CHAR Name[16];
        PETHREAD Thread;
        PKPRCB Prcb = KiProcessorBlock[Number];
        RtlFormat(Name, sizeof(Name), "threaded dpc %u", Number);
        if (NT_SUCCESS(PsCreateNamedThread(&Thread, Name, HIGH_PRIORITY, KiExecuteDpc, Prcb))) {
            Prcb->ThreadedDpcThread = &Thread->Tcb; /* without memory for the thread they stay ordinary ones */
        }
    }
}
KE_STARTUP_STEP(StartBeforeDisks, InitializeThreadedDpcs);
