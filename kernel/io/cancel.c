/* cancel.c: cancellation: the request's cancel routine, if it has one, completes it.
 *
 * One spin lock for the whole system guards cancel routines that follow the old rules: it is held when a cancel routine
 * is called, and the routine releases it, with the IRQL in Irp->CancelIrql. */
#include "iop.h"

KE_DECLARE_LOCK(IopCancelLock, RANK_IO, "cancel routines");
static PKTHREAD volatile CancelLockOwner;

/* <= DISPATCH_LEVEL; DISPATCH_LEVEL on return. ntddk.h: IoAcquireCancelSpinLock. */
VOID IoAcquireCancelSpinLock(PKIRQL Irql) {
    *Irql = KeAcquireSpinLockRaiseToDpc(&IopCancelLock);
    CancelLockOwner = KiCurrentThread();
}

/* ntddk.h: IoReleaseCancelSpinLock. */
VOID IoReleaseCancelSpinLock(KIRQL Irql) {
    CancelLockOwner = NULL;
    KeReleaseSpinLock(&IopCancelLock, Irql);
}

/* Marks the request cancelled and calls its cancel routine. <= DISPATCH_LEVEL. TRUE: there was one. If the request was
 * completed already: CANCEL_STATE_IN_COMPLETED_IRP. If the routine keeps the lock:
 * DRIVER_RETURNED_HOLDING_CANCEL_LOCK. wdm.h: IoCancelIrp. */
BOOLEAN IoCancelIrp(PIRP Irp) {
    KIRQL Irql;
    IoAcquireCancelSpinLock(&Irql);
    Irp->Cancel = TRUE;
    PDRIVER_CANCEL Routine = IoSetCancelRoutine(Irp, NULL);
    if (Routine == NULL) {
        IoReleaseCancelSpinLock(Irql);
        return FALSE;
    }
    if (Irp->CurrentLocation > Irp->StackCount + 1) {
        KeBugCheckEx(CANCEL_STATE_IN_COMPLETED_IRP, (ULONG_PTR)Irp, (ULONG_PTR)Routine, 0, 0);
    }
    Irp->CancelIrql = Irql;
    PIO_STACK_LOCATION Stack = IoGetCurrentIrpStackLocation(Irp);
    Routine(Stack->DeviceObject, Irp);
    if (CancelLockOwner == KiCurrentThread()) {
        KeBugCheckEx(DRIVER_RETURNED_HOLDING_CANCEL_LOCK, (ULONG_PTR)Irp, (ULONG_PTR)Routine, 0, 0);
    }
    return TRUE;
}
