/* delay.c: sleeping for a time: a wait for nothing but the thread's own timer. */
#include "ki.h"

/* <= APC_LEVEL. Interval in 100 ns units, as a wait's time-out: negative is relative. The resolution is a clock tick.
 * An interval of 0, or one that is over, gives other ready threads a turn. STATUS_SUCCESS. wdm.h:
 * KeDelayExecutionThread. */
NTSTATUS KeDelayExecutionThread(KPROCESSOR_MODE WaitMode, BOOLEAN Alertable, PLARGE_INTEGER Interval) {
    UNREFERENCED_PARAMETER(Alertable);
    PKTHREAD Thread = KiCurrentThread();
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
        Status = KiSleep(Thread, KiArmTimeout(Thread, DueTime), OldIrql, DelayExecution, WaitMode);
    } while (Status == STATUS_KERNEL_APC);
    return STATUS_SUCCESS;
}
