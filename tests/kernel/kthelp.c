/* kthelp.c: building blocks of tests: threads on chosen CPUs, repeatable random numbers, how hard to try. */
#include "ktest.h"

#define WORKER_PRIORITY 8
#define SEEDED_SHARE 16
#define CROWDED_SHARE 4     /* more CPUs than the host may have cores: the CPU waited for is often not even running */
#define RENDEZVOUS_SHARE 40 /* ... and then each step costs the host's time slices */
#define FEW_PROCESSORS 2

BOOLEAN KtIsSeeded(VOID) {
    return KeSeed != 0;
}

static ULONG ShareOf(ULONG Full, ULONG CrowdedShare) {
    ULONG Share = KtIsSeeded() ? SEEDED_SHARE : KeNumberProcessors > FEW_PROCESSORS ? CrowdedShare : 1;
    ULONG Part = (Full + Share - 1) / Share;
    return Part + (ULONG)(KeGetBootOptionNumber("nonce", 0) % (Part / 4 + 1)); /* a grade draws its own rounds */
}

ULONG KtStress(ULONG Full) {
    return ShareOf(Full, CROWDED_SHARE);
}

ULONG KtRendezvous(ULONG Full) {
    return ShareOf(Full, RENDEZVOUS_SHARE);
}

/* ---- Random numbers: splitmix64 spreads the seed, xorshift64* goes on from there ---- */

VOID KtSeedRandom(KT_RANDOM *Random, ULONG64 Salt) {
    ULONG64 Z = KeSeed + (Salt + 1) * 0x9E3779B97F4A7C15ULL;
    Z = (Z ^ (Z >> 30)) * 0xBF58476D1CE4E5B9ULL;
    Z = (Z ^ (Z >> 27)) * 0x94D049BB133111EBULL;
    Random->State = (Z ^ (Z >> 31)) | 1;
}

ULONG KtRandom(KT_RANDOM *Random, ULONG Limit) {
    ULONG64 X = Random->State;
    X ^= X >> 12;
    X ^= X << 25;
    X ^= X >> 27;
    Random->State = X;
    return (ULONG)(((X * 0x2545F4914F6CDD1DULL) >> 32) * Limit >> 32);
}

/* ---- Threads ---- */

VOID KtPin(ULONG Processor) {
    KeSetSystemAffinityThread((KAFFINITY)1 << Processor);
}

VOID KtUnpin(VOID) {
    KeRevertToUserAffinityThread();
}

static VOID ThreadStart(PVOID Context) {
    KT_THREAD *Thread = Context;
    if (Thread->Processor != KT_ANY_PROCESSOR) {
        KtPin(Thread->Processor);
    }
    Thread->Routine(Thread->Context);
    KT_EXPECT_EQ(KeGetCurrentIrql(), PASSIVE_LEVEL);
    PsTerminateSystemThread(STATUS_SUCCESS);
}

BOOLEAN KtCreateThread(KT_THREAD *Thread, PCSTR Name, KPRIORITY Priority, ULONG Processor,
                       VOID (*Routine)(PVOID Context), PVOID Context) {
    Thread->Routine = Routine;
    Thread->Context = Context;
    Thread->Processor = Processor;
    NTSTATUS Status = PsCreateNamedThread(&Thread->Thread, Name, Priority, ThreadStart, Thread);
    KT_EXPECT(NT_SUCCESS(Status));
    return NT_SUCCESS(Status);
}

VOID KtJoin(KT_THREAD *Thread) {
    KeWaitForSingleObject(Thread->Thread, Executive, KernelMode, FALSE, NULL);
    ObDereferenceObject(Thread->Thread);
}

typedef struct _ALL_CPUS {
    VOID (*Routine)(ULONG Processor, PVOID Context);
    PVOID Context;
    volatile LONG Arrived;
    KEVENT Start;
} ALL_CPUS;

typedef struct _ONE_CPU {
    ALL_CPUS *All;
    ULONG Processor;
    KT_THREAD Thread;
} ONE_CPU;

static VOID RunOnOneCpu(PVOID Context) {
    ONE_CPU *One = Context;
    InterlockedIncrement(&One->All->Arrived);
    KeWaitForSingleObject(&One->All->Start, Executive, KernelMode, FALSE, NULL);
    KT_EXPECT_EQ(KeGetCurrentProcessorNumber(), One->Processor);
    One->All->Routine(One->Processor, One->All->Context);
}

VOID KtRunOnAllCpus(VOID (*Routine)(ULONG Processor, PVOID Context), PVOID Context) {
    static ONE_CPU Cpus[MAXIMUM_PROCESSORS]; /* one test runs at a time */
    ALL_CPUS All = {.Routine = Routine, .Context = Context};
    ULONG Count = KeNumberProcessors, Created = 0;

    KeInitializeEvent(&All.Start, NotificationEvent, FALSE);
    while (Created < Count) {
        ONE_CPU *One = &Cpus[Created];
        One->All = &All;
        One->Processor = Created;
        if (!KtCreateThread(&One->Thread, "test cpu", WORKER_PRIORITY, Created, RunOnOneCpu, One)) {
            break;
        }
        Created++;
    }
    KT_WAIT_UNTIL((ULONG)All.Arrived == Created);
    KeSetEvent(&All.Start, IO_NO_INCREMENT, FALSE);
    for (ULONG Index = 0; Index < Created; Index++) {
        KtJoin(&Cpus[Index].Thread);
    }
}
