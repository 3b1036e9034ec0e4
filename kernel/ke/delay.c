/* delay.c: sleep: a wait for nothing but the thread's own timer. */
#include "ki.h"

/* <= APC_LEVEL. Interval in 100 ns units, as a wait's time-out: negative is relative. The resolution is a clock tick.
 * An interval of 0, or one that is over, gives other ready threads a turn. STATUS_SUCCESS, if Alertable STATUS_ALERTED,
 * STATUS_USER_APC. wdm.h: KeDelayExecutionThread. */
NTSTATUS KeDelayExecutionThread(KPROCESSOR_MODE WaitMode, BOOLEAN Alertable, PLARGE_INTEGER Interval) {
    PKTHREAD Thread = KiCurrentThread();
    /* After a signal with Wait = TRUE. No object can end a sleep, so nothing depends on the lock. */
    if (Thread->WaitNext) {
        Thread->WaitNext = FALSE;
        KiUnlockDispatcher(Thread->WaitIrql);
    }
    ULONG64 DueTime = KiDueTime(Interval->QuadPart);
    if (DueTime <= KiInterruptTime) {
        KeYieldThread();
        return STATUS_SUCCESS;
    }
    NTSTATUS Status;
    do {
        KIRQL OldIrql = KiLockAfterApcs(Thread);
        if (OldIrql >= DISPATCH_LEVEL) {
            KiRefuseToBlock(OldIrql, NULL, Interval);
        }
        Status = KiTestAlert(Thread, WaitMode, Alertable);
        if (Status != STATUS_SUCCESS) {
            KiUnlockDispatcher(OldIrql);
            return Status;
        }
        Status = KiSleep(Thread, KiArmTimeout(Thread, DueTime), OldIrql, DelayExecution, WaitMode, Alertable);
    } while (Status == STATUS_KERNEL_APC);
    return Status == STATUS_TIMEOUT ? STATUS_SUCCESS : Status;
}
