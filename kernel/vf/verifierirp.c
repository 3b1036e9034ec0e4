/* verifierirp.c: a dispatch routine's duty to its request: to complete it, to pass it on, or to pend it. And to return
 * the status that it completed it with.
 *
 * While a dispatch routine of a verified driver runs, a record of its request is in one list. IoCompleteRequest and
 * IoCallDriver mark the record: the request itself may be gone when the routine returns. A completion, in any thread,
 * is matched by the request's address and the driver's stack location. */
#include "vf.h"

#include <io.h>

#define IRP_TAG 0x20707249U /* "Irp " */

/* None of the kernel's ranked locks: thunks are called at any IRQL up to DISPATCH_LEVEL, and it guards a few loads. */
static KSPIN_LOCK RecordLock;
static LIST_ENTRY Records = {&Records, &Records};

VOID VfMarkCompleted(PIRP Irp) {
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
    *Record = (VF_DISPATCH){.Irp = Irp,
                            .Device = IoGetCurrentIrpStackLocation(Irp)->DeviceObject,
                            .Location = Irp->CurrentLocation,
                            .Thread = KiCurrentThread(),
                            .Fate = VfIrpHeld};
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

/* The request is where the routine was called with it: the stack location of the same number, for the same device. A
 * driver that skips its location shares it with the one beneath. */
static BOOLEAN IsBack(const VF_DISPATCH *Record) {
    PIRP Irp = Record->Irp;
    return Irp->CurrentLocation == Record->Location &&
           IoGetCurrentIrpStackLocation(Irp)->DeviceObject == Record->Device;
}

BOOLEAN VfIsBeneath(PIRP Irp) {
    KLOCK_QUEUE_HANDLE Handle;
    BOOLEAN IsBeneath = FALSE;
    KeAcquireInStackQueuedSpinLock(&RecordLock, &Handle);
    for (PLIST_ENTRY Entry = Records.Flink; Entry != &Records; Entry = Entry->Flink) {
        const VF_DISPATCH *Record = CONTAINING_RECORD(Entry, VF_DISPATCH, ListEntry);
        if (Record->Irp == Irp && Record->Thread == KiCurrentThread()) {
            IsBeneath = Record->Fate == VfIrpPassedOn && !IsBack(Record);
            break;
        }
    }
    KeReleaseInStackQueuedSpinLock(&Handle);
    return IsBeneath;
}

/* ---- Where requests lie ---- */

/* Alone in a page: a use after the end, and a write behind the last stack location, fault at the instruction. */
static PVOID AllocateIrpMemory(SIZE_T Bytes) {
    PVOID P = MmAllocateSpecialPool(NonPagedPoolNx, Bytes, IRP_TAG);
    return P != NULL ? P : ExAllocatePoolWithTag(NonPagedPoolNx, Bytes, IRP_TAG);
}

VOID VfWatchIrps(VOID) {
    IoAllocateIrpMemory = AllocateIrpMemory;
    IoNoteSentIrps();
}

BOOLEAN VfIsAllocatedIrp(const void *Address) {
    const MM_SPECIAL_BLOCK *Block = MmFindSpecialBlock((ULONG64)Address);
    return Block != NULL && Block->State == SpecialInUse && Block->Start == (ULONG64)Address && Block->Tag == IRP_TAG;
}
