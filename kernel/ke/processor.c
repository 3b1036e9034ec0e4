/* processor.c: the control block of each CPU, and the idle thread that it is born with. */
#include <bugcheck.h>
#include "ki.h"

#include <trace.h>

PKPRCB KiProcessorBlock[MAXIMUM_PROCESSORS];
volatile ULONG KeNumberProcessors;
volatile KAFFINITY KeActiveProcessors;

/* The boot CPU starts before there is a pool, so idle threads are static. */
static ETHREAD KiIdleThreads[MAXIMUM_PROCESSORS];

static VOID NameIdleThread(PKTHREAD Thread, ULONG Number) {
    PCHAR Name = Thread->Name;
    memcpy(Name, "idle ", 5);
    Name[5] = (CHAR)('0' + Number / 10);
    Name[6] = (CHAR)('0' + Number % 10);
    Name[7] = 0;
}

/* The code that runs now, on the stack that it runs on, becomes the CPU's idle thread. */
static PKTHREAD InitializeIdleThread(ULONG Number) {
    PKTHREAD Thread = &KiIdleThreads[Number].Tcb;
    Thread->Header.Type = ThreadObject;
    Thread->Header.Size = sizeof(KTHREAD) / sizeof(ULONG);
    InitializeListHead(&Thread->Header.WaitListHead);
    InitializeListHead(&Thread->MutantListHead);
    InitializeListHead(&Thread->ApcListHead);
    InitializeListHead(&Thread->UserApcListHead);
    Thread->State = Running;
    Thread->Priority = Thread->BasePriority = IDLE_PRIORITY;
    Thread->Processor = Thread->IdealProcessor = Number;
    Thread->Affinity = (KAFFINITY)1 << Number;
    NameIdleThread(Thread, Number);
    return Thread;
}

/* Fills in a zeroed PCR; the CPU may load GS with it afterwards. It counts as active from KeActivateProcessor on. */
VOID KeInitializeProcessor(PKPCR Pcr, ULONG Number) {
    PKPRCB Prcb = &Pcr->Prcb;
    Pcr->Self = Pcr;
    Pcr->CurrentPrcb = Prcb;
    Prcb->Number = Number;
    KdInitializeTraceRing(Prcb);
    InitializeListHead(&Prcb->DpcData.DpcListHead);
    InitializeListHead(&Prcb->ThreadedDpcData.DpcListHead);
    KeInitializeEvent(&Prcb->ThreadedDpcEvent, SynchronizationEvent, FALSE);
    for (ULONG Priority = 0; Priority < MAXIMUM_PRIORITY; Priority++) {
        InitializeListHead(&Prcb->ReadyListHead[Priority]);
    }
    Prcb->IdleThread = Prcb->CurrentThread = InitializeIdleThread(Number);
    KiProcessorBlock[Number] = Prcb;
}

/* Run by the CPU itself once it can take interrupts: from now on others may send it IPIs and threads. CPUs activate in
 * the order of their numbers. */
VOID KeActivateProcessor(VOID) {
    PKPRCB Prcb = KeGetCurrentPrcb();
    __atomic_fetch_or(&KeActiveProcessors, (KAFFINITY)1 << Prcb->Number, __ATOMIC_SEQ_CST);
    __atomic_store_n(&KeNumberProcessors, Prcb->Number + 1, __ATOMIC_SEQ_CST);
    if (KiIsDying()) {
        HalHalt(); /* too late: the freeze has counted the CPUs without this one */
    }
    HalFlushTlb(); /* shoot-downs until now have passed this CPU by; from now on they reach it (KeFlushTb) */
}

/* Any IRQL; stable at DISPATCH_LEVEL and above only. */
ULONG KeGetCurrentProcessorNumber(VOID) {
    return KeGetCurrentPrcb()->Number;
}

ULONG KeQueryActiveProcessorCount(PKAFFINITY ActiveProcessors) {
    if (ActiveProcessors) {
        *ActiveProcessors = KeActiveProcessors;
    }
    return KeNumberProcessors;
}
