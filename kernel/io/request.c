/* request.c: IRPs that the I/O manager sends for a caller: buffers, the wait, the clean-up.
 *
 * What the driver's dispatch routine returns counts. STATUS_PENDING is waited out, and then the IRP's status is the
 * answer; any other status is the answer itself, whatever the IRP says, and the status block is filled in only if that
 * is no error. A request that is returned with an answer and was never completed stays behind, in its thread's list.
 *
 * Such an IRP is marked IOP_IRP_WAITED: its completion, at whatever IRQL and in whatever thread, only sets an event. The
 * sender does the rest itself. So a call at APC_LEVEL, which no APC can reach, works too. */
#include "iop.h"

#include <arch.h>

PIRP IopAllocateFileIrp(PFILE_OBJECT File, PDEVICE_OBJECT Device, UCHAR MajorFunction) {
    PIRP Irp = IoAllocateIrp(Device->StackSize, FALSE);
    if (Irp == NULL) {
        return NULL;
    }
    Irp->Tail.Overlay.Thread = PsGetCurrentThread();
    Irp->Tail.Overlay.OriginalFileObject = File;
    IopQueueThreadIrp(Irp);
    PIO_STACK_LOCATION Stack = IoGetNextIrpStackLocation(Irp);
    Stack->MajorFunction = MajorFunction;
    Stack->FileObject = File;
    return Irp;
}

/* A Zw call guards what it reads of its caller's memory, an IoBuild... function does not: each as on NT. */
static NTSTATUS CopyInput(PIRP Irp, PVOID Buffer, const void *Input, ULONG Length) {
    if (Irp->Tail.Overlay.OriginalFileObject != NULL) {
        return KiCopyGuarded(Buffer, Input, Length);
    }
    memcpy(Buffer, Input, Length);
    return STATUS_SUCCESS;
}

NTSTATUS IopAttachSystemBuffer(PIRP Irp, PVOID Input, ULONG InputLength, PVOID Output, ULONG OutputLength) {
    ULONG Length = InputLength > OutputLength ? InputLength : OutputLength;
    if (Length == 0) {
        return STATUS_SUCCESS;
    }
    PVOID Buffer = ExAllocatePoolWithTag(NonPagedPoolNx, Length, TAG_IRP);
    if (Buffer == NULL) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    /* What the driver does not write must not show what the pool held before. */
    memset(Buffer, 0, Length);
    Irp->AssociatedIrp.SystemBuffer = Buffer;
    Irp->UserBuffer = Output;
    Irp->Flags |= IRP_BUFFERED_IO | IRP_DEALLOCATE_BUFFER | (OutputLength != 0 && Output != NULL ? IRP_INPUT_OPERATION : 0);
    return InputLength != 0 ? CopyInput(Irp, Buffer, Input, InputLength) : STATUS_SUCCESS;
}

typedef struct _LOCK_CALL {
    PMDL Mdl;
    LOCK_OPERATION Operation;
} LOCK_CALL;

static VOID LockGuarded(PVOID Context) {
    const LOCK_CALL *Call = Context;
    MmProbeAndLockPages(Call->Mdl, KernelMode, Call->Operation);
}

NTSTATUS IopAttachMdl(PIRP Irp, PVOID Buffer, ULONG Length, LOCK_OPERATION Operation) {
    if (Length == 0) {
        return STATUS_SUCCESS;
    }
    PMDL Mdl = IoAllocateMdl(Buffer, Length, FALSE, FALSE, Irp);
    if (Mdl == NULL) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    LOCK_CALL Call = {Mdl, Operation};
    return KiCallGuarded(LockGuarded, &Call);
}

NTSTATUS IopAttachTransferBuffer(PIRP Irp, PDEVICE_OBJECT Device, PVOID Buffer, ULONG Length, BOOLEAN IsToDevice) {
    if (Device->Flags & DO_BUFFERED_IO) {
        return IopAttachSystemBuffer(Irp, Buffer, IsToDevice ? Length : 0, Buffer, IsToDevice ? 0 : Length);
    }
    Irp->UserBuffer = Buffer;
    if (Device->Flags & DO_DIRECT_IO) {
        return IopAttachMdl(Irp, Buffer, Length, IsToDevice ? IoReadAccess : IoWriteAccess);
    }
    return STATUS_SUCCESS;
}

NTSTATUS IopAttachControlBuffers(PIRP Irp, ULONG Method, PVOID Input, ULONG InputLength, PVOID Output,
                                 ULONG OutputLength) {
    NTSTATUS Status;
    InputLength = Input != NULL ? InputLength : 0; /* the driver is told the caller's length, and gets zeros */
    switch (Method) {
    case METHOD_BUFFERED:
        Irp->UserBuffer = Output;
        return IopAttachSystemBuffer(Irp, Input, InputLength, Output, OutputLength);
    case METHOD_IN_DIRECT:
    case METHOD_OUT_DIRECT:
        Status = IopAttachSystemBuffer(Irp, Input, InputLength, NULL, 0);
        Irp->UserBuffer = Output;
        return NT_SUCCESS(Status)
                   ? IopAttachMdl(Irp, Output, OutputLength, Method == METHOD_IN_DIRECT ? IoReadAccess : IoWriteAccess)
                   : Status;
    default:
        Irp->UserBuffer = Output;
        return STATUS_SUCCESS;
    }
}

VOID IopFreeMdls(PIRP Irp) {
    while (Irp->MdlAddress != NULL) {
        PMDL Mdl = Irp->MdlAddress;
        Irp->MdlAddress = Mdl->Next;
        if (Mdl->MdlFlags & MDL_PAGES_LOCKED) {
            MmUnlockPages(Mdl);
        }
        IoFreeMdl(Mdl);
    }
}

static VOID FreeSystemBuffer(PIRP Irp) {
    if (Irp->Flags & IRP_DEALLOCATE_BUFFER) {
        Irp->Flags &= ~IRP_DEALLOCATE_BUFFER;
        ExFreePool(Irp->AssociatedIrp.SystemBuffer);
    }
}

/* A warning still brings data, an error does not. The copy is guarded whoever asked: the memory of a program may go while
 * its request is under way. */
VOID IopReturnBuffers(PIRP Irp) {
    if ((Irp->Flags & (IRP_BUFFERED_IO | IRP_INPUT_OPERATION)) == (IRP_BUFFERED_IO | IRP_INPUT_OPERATION) &&
        !NT_ERROR(Irp->IoStatus.Status)) {
        NTSTATUS Copied = KiCopyGuarded(Irp->UserBuffer, Irp->AssociatedIrp.SystemBuffer, Irp->IoStatus.Information);
        Irp->IoStatus.Status = NT_SUCCESS(Copied) ? Irp->IoStatus.Status : Copied;
    }
    FreeSystemBuffer(Irp);
    IopFreeMdls(Irp);
}

VOID IopReturnStatus(PIRP Irp, PIO_STATUS_BLOCK Result) {
    (void)KiCopyGuarded(Result, &Irp->IoStatus, sizeof(*Result));
}

VOID IopDropIrp(PIRP Irp) {
    FreeSystemBuffer(Irp);
    IopFreeMdls(Irp);
    IoFreeIrp(Irp);
}

/* STATUS_PENDING was returned, and the IRP is completed. Its end is told to a requester in its own thread, which is asked
 * for by IoMarkIrpPending alone; without, only the success of a device control arrives. As on NT the wait goes on. */
static BOOLEAN IsEndLost(PIRP Irp) {
    return !Irp->PendingReturned && ((Irp->Flags & IRP_DEFER_IO_COMPLETION) || NT_ERROR(Irp->IoStatus.Status));
}

static VOID WaitForEnd(PIRP Irp, PKEVENT Done) {
    KeWaitForSingleObject(Done, Executive, KernelMode, FALSE, NULL);
    if (IsEndLost(Irp)) {
        KeClearEvent(Done);
        KeWaitForSingleObject(Done, Executive, KernelMode, FALSE, NULL);
    }
}

NTSTATUS IopSendAndWait(PDEVICE_OBJECT Device, PIRP Irp, PIO_STATUS_BLOCK Result) {
    KEVENT Done;
    UCHAR MajorFunction = IoGetNextIrpStackLocation(Irp)->MajorFunction;
    KeInitializeEvent(&Done, NotificationEvent, FALSE);
    /* The IRP ends before this frame does. */
    Irp->UserEvent = &Done; /* cppcheck-suppress autoVariables */
    Irp->Flags |= IRP_SYNCHRONOUS_API | (MajorFunction == IRP_MJ_DEVICE_CONTROL ? 0 : IRP_DEFER_IO_COMPLETION);
    Irp->Reserved |= IOP_IRP_WAITED;
    NTSTATUS Status = IofCallDriver(Device, Irp);
    BOOLEAN WasPended = Status == STATUS_PENDING;
    if (WasPended) {
        WaitForEnd(Irp, &Done);
    } else if (IopLeaveIrp(Irp)) {
        return Status;
    } else if (KeReadStateEvent(&Done) == 0) {
        KeWaitForSingleObject(&Done, Executive, KernelMode, FALSE, NULL); /* another CPU is completing it */
    }
    IopReturnBuffers(Irp);
    if (WasPended || !NT_ERROR(Status)) {
        IopReturnStatus(Irp, Result);
    }
    Status = WasPended ? Irp->IoStatus.Status : Status;
    IoFreeIrp(Irp);
    return Status;
}
