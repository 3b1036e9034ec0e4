/* call.c: the frame of every Zw call on a file handle: file, access check, IRP, wait.
 *
 * A synchronous file (FILE_SYNCHRONOUS_IO_...) does one request at a time, and the call waits for it. Any other file's
 * call may return STATUS_PENDING; then the status block and the event (the caller's or the file's) announce the end. A
 * call that returns an error leaves status block and events alone. */
#include "iop.h"

NTSTATUS IopBeginCall(HANDLE FileHandle, ACCESS_MASK AnyOf, HANDLE Event, PIOP_CALL Call) {
    PVOID Object;
    *Call = (IOP_CALL){};
    NTSTATUS Status = ObReferenceHandleWithAccess(FileHandle, &IopFileType, AnyOf, &Call->Granted, &Object);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    Call->File = Object;
    Call->Device = IoGetRelatedDeviceObject(Call->File);
    if (Event != NULL) {
        Status = ObReferenceObjectByHandle(Event, EVENT_MODIFY_STATE, *ExEventObjectType, KernelMode, &Object, NULL);
        if (!NT_SUCCESS(Status)) {
            IopEndCall(Call);
            return Status;
        }
        Call->Event = Object;
        KeClearEvent(Call->Event);
    }
    return STATUS_SUCCESS;
}

VOID IopEndCall(PIOP_CALL Call) {
    if (Call->Event != NULL) {
        ObfDereferenceObject(Call->Event);
    }
    ObfDereferenceObject(Call->File);
}

/* For a call that does not wait here for its end: the IRP keeps what completion needs. */
static NTSTATUS SendAsynchronously(PIOP_CALL Call, PIRP Irp, PIO_APC_ROUTINE ApcRoutine, PVOID ApcContext,
                                   PIO_STATUS_BLOCK IoStatusBlock) {
    ObfReferenceObject(Irp->Tail.Overlay.Thread);
    ObfReferenceObject(Call->File);
    Irp->Reserved |= IOP_IRP_HOLDS_THREAD | IOP_IRP_HOLDS_FILE | IOP_IRP_FROM_ZW;
    if (Call->Event != NULL) {
        ObfReferenceObject(Call->Event);
        Irp->Reserved |= IOP_IRP_HOLDS_EVENT;
        Irp->UserEvent = Call->Event;
    }
    KeClearEvent(&Call->File->Event);
    Irp->UserIosb = IoStatusBlock;
    Irp->Overlay.AsynchronousParameters.UserApcRoutine = ApcRoutine;
    Irp->Overlay.AsynchronousParameters.UserApcContext = ApcContext;
    return IofCallDriver(Call->Device, Irp);
}

static VOID Lock(PIOP_CALL Call) {
    if (Call->File->Flags & FO_SYNCHRONOUS_IO) {
        IopAcquireFileLock(Call->File);
    }
}

static VOID Unlock(PIOP_CALL Call) {
    if (Call->File->Flags & FO_SYNCHRONOUS_IO) {
        IopReleaseFileLock(Call->File);
    }
}

NTSTATUS IopPerformAndWait(PIOP_CALL Call, PIRP Irp, PIO_STATUS_BLOCK IoStatusBlock) {
    Lock(Call);
    NTSTATUS Status = IopSendAndWait(Call->Device, Irp, IoStatusBlock);
    Call->File->FinalStatus = Status;
    Unlock(Call);
    return Status;
}

NTSTATUS IopPerformLocked(PIOP_CALL Call, PIRP Irp, PIO_APC_ROUTINE ApcRoutine, PVOID ApcContext,
                          PIO_STATUS_BLOCK IoStatusBlock) {
    if (!(Call->File->Flags & FO_SYNCHRONOUS_IO)) {
        return SendAsynchronously(Call, Irp, ApcRoutine, ApcContext, IoStatusBlock);
    }
    NTSTATUS Status = IopSendAndWait(Call->Device, Irp, IoStatusBlock);
    Call->File->FinalStatus = Status;
    if (!NT_ERROR(Status)) {
        KeSetEvent(&Call->File->Event, IO_NO_INCREMENT, FALSE);
        if (Call->Event != NULL) {
            KeSetEvent(Call->Event, IO_NO_INCREMENT, FALSE);
        }
    }
    return Status;
}

NTSTATUS IopPerformCall(PIOP_CALL Call, PIRP Irp, PIO_APC_ROUTINE ApcRoutine, PVOID ApcContext,
                        PIO_STATUS_BLOCK IoStatusBlock) {
    Lock(Call);
    NTSTATUS Status = IopPerformLocked(Call, Irp, ApcRoutine, ApcContext, IoStatusBlock);
    Unlock(Call);
    return Status;
}
