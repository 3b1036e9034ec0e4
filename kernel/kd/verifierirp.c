/* verifierirp.c: what a driver owes each request that its dispatch routine is called with: to complete it, to pass it on, or
 * to pend it, and to return the status that it completed it with.
 *
 * While a dispatch routine of a verified driver runs, a record of its request hangs in one list. IoCompleteRequest and
 * IoCallDriver mark the record: the request itself may be gone when the routine returns. Whoever completes it, in whatever
 * thread, is found by the request's address and the driver's stack location. */
#include "vf.h"

#include <io.h>

#define IRP_TAG 0x20707249U /* "Irp " */

/* None of the kernel's ranked locks: thunks are called at any IRQL up to DISPATCH_LEVEL, and it guards a few loads. */
static KSPIN_LOCK RecordLock;
static LIST_ENTRY Records = {&Records, &Records};

static VOID MarkCompleted(PIRP Irp) {
    KLOCK_QUEUE_HANDLE Handle;
    NTSTATUS Status = Irp->IoStatus.Status;
    CHAR Location = Irp->CurrentLocation;
    KeAcquireInStackQueuedSpinLock(&RecordLock, &Handle);
    for (PLIST_ENTRY Entry = Records.Flink; Entry != &Records; Entry = Entry->Flink) {
        VF_DISPATCH *Record = CONTAINING_RECORD(Entry, VF_DISPATCH, ListEntry);
        if (Record->Irp == Irp && Record->Location == Location && Record->Fate == VfIrpHeld) {
            Record->Fate = VfIrpCompleted;
            Record->CompletedWith = Status;
        }
    }
    KeReleaseInStackQueuedSpinLock(&Handle);
}

VOID VfBeginDispatch(VF_DISPATCH *Record, PDRIVER_DISPATCH Routine, PIRP Irp) {
    KLOCK_QUEUE_HANDLE Handle;
    PKLDR_DATA_TABLE_ENTRY Module = LdrFindModule((ULONG64)Routine);
    *Record = (VF_DISPATCH){.Irp = Irp, .Location = Irp->CurrentLocation, .Fate = VfIrpHeld};
    Record->IsWatched = !LdrIsKernelAddress((ULONG64)Routine) && Module != NULL && VfIsVerified(Module->Name);
    KeAcquireInStackQueuedSpinLock(&RecordLock, &Handle);
    for (PLIST_ENTRY Entry = Records.Flink; Entry != &Records; Entry = Entry->Flink) {
        VF_DISPATCH *Upper = CONTAINING_RECORD(Entry, VF_DISPATCH, ListEntry);
        if (Upper->Irp == Irp && Upper->Fate == VfIrpHeld) {
            Upper->Fate = VfIrpPassedOn;
        }
    }
    InsertHeadList(&Records, &Record->ListEntry);
    KeReleaseInStackQueuedSpinLock(&Handle);
}

/* 0xC9 (0x224, routine, IRP, its status): returned another; (0x226, routine, IRP, 0): neither completed, nor passed on, nor
 * pended. */
VOID VfEndDispatch(VF_DISPATCH *Record, PDRIVER_DISPATCH Routine, NTSTATUS Returned) {
    KLOCK_QUEUE_HANDLE Handle;
    KeAcquireInStackQueuedSpinLock(&RecordLock, &Handle);
    RemoveEntryList(&Record->ListEntry);
    KeReleaseInStackQueuedSpinLock(&Handle);
    if (!Record->IsWatched || Returned == STATUS_PENDING) {
        return;
    }
    if (Record->Fate == VfIrpHeld) {
        VF_IO_STOP(0x226, Routine, Record->Irp, 0);
    }
    if (Record->Fate == VfIrpCompleted && Record->CompletedWith != Returned) {
        VF_IO_STOP(0x224, Routine, Record->Irp, (LONG_PTR)Record->CompletedWith);
    }
}

/* ---- Where requests lie ---- */

/* Alone in a page: a use after the end, and a write behind the last stack location, fault at the instruction. */
static PVOID AllocateIrpMemory(SIZE_T Bytes) {
    PVOID P = MmAllocateSpecialPool(NonPagedPoolNx, Bytes, IRP_TAG);
    return P != NULL ? P : ExAllocatePoolWithTag(NonPagedPoolNx, Bytes, IRP_TAG);
}

VOID VfWatchIrps(VOID) {
    IoAllocateIrpMemory = AllocateIrpMemory;
}

/* ---- Thunks ---- */

/* 0xC9 (0x10, device, IRQL, 0) above DISPATCH_LEVEL; (3, IRP, 0, 0) for what is no IRP; (4, device, 0, 0) for what is no
 * device; (0x203, caller, IRP, 0) for one with a cancel routine, which the next driver would run into. */
static NTSTATUS VerifierCallDriver(PDEVICE_OBJECT DeviceObject, PIRP Irp) {
    KIRQL Irql = KiCurrentIrql();
    if (!VfHas(VF_IO)) {
        return IofCallDriver(DeviceObject, Irp);
    }
    if (Irql > DISPATCH_LEVEL) {
        VF_IO_STOP(0x10, DeviceObject, Irql, 0);
    }
    if (Irp->Type != IO_TYPE_IRP) {
        VF_IO_STOP(0x03, Irp, 0, 0);
    }
    if (DeviceObject == NULL || DeviceObject->Type != IO_TYPE_DEVICE) {
        VF_IO_STOP(0x04, DeviceObject, 0, 0);
    }
    if (Irp->CancelRoutine != NULL) {
        VF_IO_STOP(0x203, _ReturnAddress(), Irp, 0);
    }
    return IofCallDriver(DeviceObject, Irp);
}

/* 0xC9 (0xE, IRQL, IRP, 0) above DISPATCH_LEVEL; (6, status, IRP, 0) for one that is completed as still pending; (7, cancel
 * routine, IRP, 0) for one that can still be cancelled. */
static VOID VerifierCompleteRequest(PIRP Irp, CCHAR PriorityBoost) {
    KIRQL Irql = KiCurrentIrql();
    if (VfHas(VF_IO)) {
        if (Irql > DISPATCH_LEVEL) {
            VF_IO_STOP(0x0E, Irql, Irp, 0);
        }
        if (Irp->IoStatus.Status == STATUS_PENDING || Irp->IoStatus.Status == (NTSTATUS)-1) {
            VF_IO_STOP(0x06, (ULONG)Irp->IoStatus.Status, Irp, 0);
        }
        if (Irp->CancelRoutine != NULL) {
            VF_IO_STOP(0x07, Irp->CancelRoutine, Irp, 0);
        }
        MarkCompleted(Irp);
    }
    IofCompleteRequest(Irp, PriorityBoost);
}

/* 0xC9 (1, IRP, 0, 0) for what is no IRP; (2, IRP, 0, 0) for one that ends in a thread, which frees it. */
static VOID VerifierFreeIrp(PIRP Irp) {
    if (VfHas(VF_IO) && Irp->Type != IO_TYPE_IRP) {
        VF_IO_STOP(0x01, Irp, 0, 0);
    }
    if (VfHas(VF_IO) && IoIsIrpOfThread(Irp)) {
        VF_IO_STOP(0x02, Irp, 0, 0);
    }
    IoFreeIrp(Irp);
}

const VF_THUNK VfIrpThunks[] = {
    {"IofCallDriver", VerifierCallDriver},
    {"IofCompleteRequest", VerifierCompleteRequest},
    {"IoFreeIrp", VerifierFreeIrp},
    {NULL, NULL},
};
