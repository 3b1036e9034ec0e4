/* crash_threads.c: threads that end, or lose their object, in a way that stops the machine. */
#include "ktest.h"
#include <ob.h>

static VOID EndWithMutex(PVOID Context) {
    KeWaitForSingleObject(Context, Executive, KernelMode, FALSE, NULL);
}

KTEST_CRASH(thread_ends_with_a_mutex) {
    static KMUTEX Mutex;
    HANDLE Handle;
    KeInitializeMutex(&Mutex, 0);
    PsCreateSystemThread(&Handle, 0, NULL, NULL, NULL, EndWithMutex, &Mutex);
    KtSleep(1000);
}

static VOID EndWithBalancedMutex(PVOID Context) {
    KeWaitForSingleObject(Context, Executive, KernelMode, FALSE, NULL);
    KeLeaveCriticalRegion();
}

KTEST_CRASH(thread_ends_with_a_mutex_and_balanced_counts) {
    static KMUTEX Mutex;
    HANDLE Handle;
    KeInitializeMutex(&Mutex, 0);
    PsCreateSystemThread(&Handle, 0, NULL, NULL, NULL, EndWithBalancedMutex, &Mutex);
    KtSleep(1000);
}

static VOID EndRaised(PVOID Context) {
    UNREFERENCED_PARAMETER(Context);
    KIRQL OldIrql;
    KeRaiseIrql(APC_LEVEL, &OldIrql);
}

KTEST_CRASH(thread_ends_at_APC_LEVEL) {
    HANDLE Handle;
    PsCreateSystemThread(&Handle, 0, NULL, NULL, NULL, EndRaised, NULL);
    KtSleep(1000);
}

KTEST_CRASH(thread_loses_the_reference_to_itself) {
    ObDereferenceObject(KeGetCurrentThread()); /* one is the test runner's, one is the thread's own */
    ObDereferenceObject(KeGetCurrentThread());
}

static VOID EndInCriticalRegion(PVOID Context) {
    UNREFERENCED_PARAMETER(Context);
    KeEnterCriticalRegion();
}

static VOID EndInGuardedRegion(PVOID Context) {
    UNREFERENCED_PARAMETER(Context);
    KeEnterGuardedRegion();
}

static VOID EndAfterLeavingTwice(PVOID Context) {
    UNREFERENCED_PARAMETER(Context);
    KeLeaveCriticalRegion();
}

static VOID EndAtDispatch(PVOID Context) {
    UNREFERENCED_PARAMETER(Context);
    KeRaiseIrqlToDpcLevel();
}

static VOID RunToTheEnd(PKSTART_ROUTINE Routine) {
    HANDLE Handle;
    PsCreateSystemThread(&Handle, 0, NULL, NULL, NULL, Routine, NULL);
    KtSleep(1000);
}

KTEST_CRASH(thread_ends_in_a_critical_region) {
    RunToTheEnd(EndInCriticalRegion);
}

KTEST_CRASH(thread_ends_in_a_guarded_region) {
    RunToTheEnd(EndInGuardedRegion);
}

KTEST_CRASH(thread_ends_after_leaving_a_region_twice) {
    RunToTheEnd(EndAfterLeavingTwice);
}

KTEST_CRASH(thread_ends_at_DISPATCH) {
    RunToTheEnd(EndAtDispatch);
}

static VOID EndAttached(PVOID Context) {
    PKTHREAD Thread = KeGetCurrentThread();
    UNREFERENCED_PARAMETER(Context);
    Thread->ApcStateIndex = 1; /* with everything else wrong, too: this comes first */
    KeEnterCriticalRegion();
}

KTEST_CRASH(thread_ends_attached) {
    RunToTheEnd(EndAttached);
}
