/* crash_checked.c: rules that only the checked build enforces: the order of the locks, the direction of an IRQL change. */
#include "ktest.h"

#if DBG

extern KSPIN_LOCK MmPfnLock;

/* 0xC4 (0x1001, the lock wanted, the lock held): docs/lock-order.md has MmPfnLock before KiDispatcherLock. */
KTEST_CRASH(checked_locks_taken_in_the_wrong_order) {
    KdChannelf("# expect c4 1001 %llx %llx any\n", (ULONG64)&MmPfnLock, (ULONG64)&KiDispatcherLock);
    KeRaiseIrqlToDpcLevel();
    KeAcquireSpinLockAtDpcLevel(&KiDispatcherLock);
    KeAcquireSpinLockAtDpcLevel(&MmPfnLock);
}

KTEST_CRASH(checked_IRQL_raised_downwards) {
    KdChannelf("# expect 9 2 1 any 0\n");
    KeRaiseIrqlToDpcLevel();
    KfRaiseIrql(APC_LEVEL);
}

KTEST_CRASH(checked_IRQL_lowered_upwards) {
    KdChannelf("# expect a any 0 2 any\n");
    KeLowerIrql(DISPATCH_LEVEL);
}
#endif
