/* forward.c: a request passed down the stack, and back in hand before going on. */
#include "iop.h"

/* Leaves the IRP to the thread that waits for the event. */
static NTSTATUS SignalAndKeep(PDEVICE_OBJECT DeviceObject, PIRP Irp, PVOID Context) {
    UNREFERENCED_PARAMETER(DeviceObject);
    if (Irp->PendingReturned) {
        KeSetEvent(Context, IO_NO_INCREMENT, FALSE);
    }
    return STATUS_MORE_PROCESSING_REQUIRED;
}

static VOID SendAndKeep(PDEVICE_OBJECT DeviceObject, PIRP Irp) {
    KEVENT Done;
    KeInitializeEvent(&Done, SynchronizationEvent, FALSE);
    IoSetCompletionRoutine(Irp, SignalAndKeep, &Done, TRUE, TRUE, TRUE);
    if (IofCallDriver(DeviceObject, Irp) == STATUS_PENDING) {
        KeWaitForSingleObject(&Done, Executive, KernelMode, FALSE, NULL);
    }
}

/* <= APC_LEVEL; waits. The IRP is the caller's again. FALSE: no location left. wdm.h: IoForwardIrpSynchronously. */
BOOLEAN IoForwardIrpSynchronously(PDEVICE_OBJECT DeviceObject, PIRP Irp) {
    if (Irp->CurrentLocation <= 1) {
        return FALSE;
    }
    IoCopyCurrentIrpStackLocationToNext(Irp);
    SendAndKeep(DeviceObject, Irp);
    return TRUE;
}

/* <= APC_LEVEL; waits. For an IRP of the caller's own, whose next location is filled in. ntifs.h:
 * IoSynchronousCallDriver. */
NTSTATUS IoSynchronousCallDriver(PDEVICE_OBJECT DeviceObject, PIRP Irp) {
    SendAndKeep(DeviceObject, Irp);
    return Irp->IoStatus.Status;
}

/* Wraps a completion routine: the device is referenced, and with it the driver, until the routine is done. */
typedef struct _KEPT_ROUTINE {
    PDEVICE_OBJECT Device;
    PIO_COMPLETION_ROUTINE Routine;
    PVOID Context;
    UCHAR Wanted;
} KEPT_ROUTINE, *PKEPT_ROUTINE;

static BOOLEAN IsWanted(const KEPT_ROUTINE *Kept, PIRP Irp) {
    UCHAR Outcome = NT_SUCCESS(Irp->IoStatus.Status) ? SL_INVOKE_ON_SUCCESS : SL_INVOKE_ON_ERROR;
    Outcome |= Irp->Cancel ? SL_INVOKE_ON_CANCEL : 0;
    return (Kept->Wanted & Outcome) != 0;
}

static NTSTATUS CallKept(PDEVICE_OBJECT DeviceObject, PIRP Irp, PVOID Context) {
    KEPT_ROUTINE Kept = *(PKEPT_ROUTINE)Context;
    NTSTATUS Status = STATUS_SUCCESS;
    ExFreePoolWithTag(Context, TAG_IRP);
    if (IsWanted(&Kept, Irp)) {
        Status = Kept.Routine(DeviceObject, Irp, Kept.Context);
    } else if (Irp->PendingReturned && Irp->CurrentLocation <= Irp->StackCount) {
        IoMarkIrpPending(Irp);
    }
    ObDereferenceObjectDeferDelete(Kept.Device);
    return Status;
}

/* <= DISPATCH_LEVEL. STATUS_INSUFFICIENT_RESOURCES. wdm.h: IoSetCompletionRoutineEx. */
NTSTATUS IoSetCompletionRoutineEx(PDEVICE_OBJECT DeviceObject, PIRP Irp, PIO_COMPLETION_ROUTINE CompletionRoutine,
                                  PVOID Context, BOOLEAN InvokeOnSuccess, BOOLEAN InvokeOnError,
                                  BOOLEAN InvokeOnCancel) {
    PKEPT_ROUTINE Kept = ExAllocatePoolWithTag(NonPagedPoolNx, sizeof(*Kept), TAG_IRP);
    if (Kept == NULL) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    *Kept =
        (KEPT_ROUTINE){DeviceObject, CompletionRoutine, Context,
                       (UCHAR)((InvokeOnSuccess ? SL_INVOKE_ON_SUCCESS : 0) | (InvokeOnError ? SL_INVOKE_ON_ERROR : 0) |
                               (InvokeOnCancel ? SL_INVOKE_ON_CANCEL : 0))};
    ObfReferenceObject(DeviceObject);
    IoSetCompletionRoutine(Irp, CallKept, Kept, TRUE, TRUE, TRUE);
    return STATUS_SUCCESS;
}
