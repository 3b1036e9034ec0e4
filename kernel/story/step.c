/* step.c: places worth single-stepping: two CPUs at one lock, a DPC being queued, a thread switch. `tools/bugcheck
 * step` stops the machine at the functions named Step...; see docs/stepping.md.
 *
 * The boot option step=spinlock, step=dpc or step=switch comes here. Without a debugger the machine simply runs through. */
#include "story-private.h"
#include <kd.h>
#include <ps.h>

#define STEPPERS 2
#define STEPPER_PRIORITY 8

/* For GDB to look at. */
volatile UCHAR StepTextbookLock, StepBrokenLock;
volatile ULONG StepTextbookSum, StepBrokenSum;
volatile ULONG StepDpcRuns;
PKTHREAD StepThread[STEPPERS];
static KDPC StepDpc;
static KEVENT StepEvent[STEPPERS];

/* ---- Two CPUs, one lock ---- */

VOID StepTakeTextbookLock(VOID) {
    KIRQL OldIrql = KeRaiseIrqlToDpcLevel();
    KiAcquireTextbookLock(&StepTextbookLock);
    KiAddOne(&StepTextbookSum);
    KiReleaseTextbookLock(&StepTextbookLock);
    KeLowerIrql(OldIrql);
}

VOID StepTakeBrokenLock(VOID) {
    KIRQL OldIrql = KeRaiseIrqlToDpcLevel();
    KiAcquireBrokenLock(&StepBrokenLock);
    KiAddOne(&StepBrokenSum);
    KiReleaseBrokenLock(&StepBrokenLock);
    KeLowerIrql(OldIrql);
}

/* Returns when both CPUs have been here equally often. */
static VOID Meet(volatile LONG *Arrivals) {
    LONG Needed = (InterlockedIncrement(Arrivals) + STEPPERS - 1) / STEPPERS * STEPPERS;
    while (*Arrivals < Needed) {
        YieldProcessor();
    }
}

static VOID TakeBothLocks(PVOID Context) {
    static volatile LONG Arrivals;
    KeSetSystemAffinityThread((KAFFINITY)1 << (ULONG_PTR)Context);
    Meet(&Arrivals);
    StepTakeTextbookLock();
    Meet(&Arrivals);
    StepTakeBrokenLock();
}

/* ---- A DPC ---- */

VOID StepDpcRoutine(PKDPC Dpc, PVOID Context, PVOID Argument1, PVOID Argument2) {
    UNREFERENCED_PARAMETER(Dpc);
    UNREFERENCED_PARAMETER(Context);
    UNREFERENCED_PARAMETER(Argument1);
    UNREFERENCED_PARAMETER(Argument2);
    StepDpcRuns++;
}

VOID StepQueueDpc(VOID) {
    KIRQL OldIrql = KeRaiseIrqlToDpcLevel();
    KeInsertQueueDpc(&StepDpc, NULL, NULL);
    KeLowerIrql(OldIrql);
}

/* ---- Two threads, one CPU ---- */

VOID StepPing(VOID) {
    KeSetEvent(&StepEvent[1], IO_NO_INCREMENT, FALSE);
    KeWaitForSingleObject(&StepEvent[0], Executive, KernelMode, FALSE, NULL);
}

VOID StepPong(VOID) {
    KeWaitForSingleObject(&StepEvent[1], Executive, KernelMode, FALSE, NULL);
    KeSetEvent(&StepEvent[0], IO_NO_INCREMENT, FALSE);
}

/* Lets the second thread come to its wait. This thread's own waits meanwhile are much deeper in the stack than the one
 * in StepPing, so the switch there visibly changes KernelStack. */
static DECLSPEC_NOINLINE VOID LetSecondWait(VOID) {
    volatile UCHAR Depth[1024];
    Depth[0] = 0;
    UNREFERENCED_PARAMETER(Depth);
    LARGE_INTEGER Millisecond = {.QuadPart = -10000};
    while (StepThread[1] == NULL || StepThread[1]->State != Waiting) {
        KeDelayExecutionThread(KernelMode, FALSE, &Millisecond);
    }
}

static VOID ChangePlaces(PVOID Context) {
    KeSetSystemAffinityThread(1);
    StepThread[(ULONG_PTR)Context] = KeGetCurrentThread();
    if (Context) {
        StepPong();
        return;
    }
    LetSecondWait();
    StepPing();
}

/* ---- The choice ---- */

/* Runs Routine in two threads and waits for both. */
static NTSTATUS RunInTwoThreads(PKSTART_ROUTINE Routine) {
    static const PCSTR Name[STEPPERS] = {"first", "second"};
    PETHREAD Thread[STEPPERS];
    NTSTATUS Status = STATUS_SUCCESS;
    for (ULONG_PTR i = 0; i < STEPPERS && NT_SUCCESS(Status); i++) {
        Status = PsCreateNamedThread(&Thread[i], Name[i], STEPPER_PRIORITY, Routine, (PVOID)i);
    }
    for (ULONG i = 0; i < STEPPERS && NT_SUCCESS(Status); i++) {
        KeWaitForSingleObject(Thread[i], Executive, KernelMode, FALSE, NULL);
        ObDereferenceObject(Thread[i]);
    }
    return Status;
}

static NTSTATUS StepSpinLock(VOID) {
    if (KeNumberProcessors < STEPPERS) {
        KdPrintf("step: spinlock needs two CPUs; this machine has one\n");
        return STATUS_NOT_SUPPORTED;
    }
    NTSTATUS Status = RunInTwoThreads(TakeBothLocks);
    KdPrintf("step: two CPUs added 1 each: under the lock the sum is %u, under the broken one %u\n", StepTextbookSum,
             StepBrokenSum);
    return Status;
}

static NTSTATUS StepDpcOnce(VOID) {
    KeInitializeDpc(&StepDpc, StepDpcRoutine, NULL);
    StepQueueDpc();
    KdPrintf("step: the DPC has run %u times\n", StepDpcRuns);
    return STATUS_SUCCESS;
}

static NTSTATUS StepSwitch(VOID) {
    for (ULONG i = 0; i < STEPPERS; i++) {
        KeInitializeEvent(&StepEvent[i], SynchronizationEvent, FALSE);
    }
    NTSTATUS Status = RunInTwoThreads(ChangePlaces);
    KdPrintf("step: two threads have traded places\n");
    return Status;
}

static VOID RunStep(VOID) {
    static const struct {
        PCSTR Name;
        NTSTATUS (*Routine)(VOID);
    } Subjects[] = {{"spinlock", StepSpinLock}, {"dpc", StepDpcOnce}, {"switch", StepSwitch}};
    CHAR Name[16];
    KeGetBootOption("step", Name, sizeof(Name));
    for (ULONG i = 0; i < RTL_NUMBER_OF(Subjects); i++) {
        if (strcmp(Subjects[i].Name, Name) == 0) {
            KeEndMachine("completed", NT_SUCCESS(Subjects[i].Routine()));
        }
    }
    KdPrintf("step: no such subject: '%s'. Available subjects: spinlock, dpc, switch\n", Name);
    KeEndMachine("completed", FALSE);
}
STORY_MODE(step, RunStep);
