/* request.c: IRPs that the I/O manager sends for a caller: buffers, the wait, the clean-up.
 *
 * What the driver's dispatch routine returns counts. STATUS_PENDING is waited out, and then the IRP's status is the
 * answer; any other status is the answer itself, whatever the IRP says, and the status block is filled in only if that
 * is no error. A request that is returned with an answer and was never completed stays behind, in its thread's list.
 *
 * Such an IRP is marked IOP_IRP_WAITED: its completion, at whatever IRQL and in whatever thread, only sets an event. The
 * sender does the rest itself. So a call at APC_LEVEL, which no APC can reach, works too. */
#include "iop.h"

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
    if (InputLength != 0) {
        memcpy(Buffer, Input, InputLength);
    }
    Irp->AssociatedIrp.SystemBuffer = Buffer;
    Irp->UserBuffer = Output;
    Irp->Flags |= IRP_BUFFERED_IO | IRP_DEALLOCATE_BUFFER | (OutputLength != 0 ? IRP_INPUT_OPERATION : 0);
    return STATUS_SUCCESS;
}

NTSTATUS IopAttachMdl(PIRP Irp, PVOID Buffer, ULONG Length, LOCK_OPERATION Operation) {
    if (Length == 0) {
        return STATUS_SUCCESS;
    }
    PMDL Mdl = IoAllocateMdl(Buffer, Length, FALSE, FALSE, Irp);
    if (Mdl == NULL) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    MmProbeAndLockPages(Mdl, KernelMode, Operation);
    return STATUS_SUCCESS;
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

/* A warning still brings data, an error does not. */
VOID IopReturnBuffers(PIRP Irp) {
    if ((Irp->Flags & (IRP_BUFFERED_IO | IRP_INPUT_OPERATION)) == (IRP_BUFFERED_IO | IRP_INPUT_OPERATION) &&
        !NT_ERROR(Irp->IoStatus.Status)) {
        memcpy(Irp->UserBuffer, Irp->AssociatedIrp.SystemBuffer, Irp->IoStatus.Information);
    }
    FreeSystemBuffer(Irp);
    IopFreeMdls(Irp);
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

static NTSTATUS WaitForEnd(PIRP Irp, PKEVENT Done) {
    KeWaitForSingleObject(Done, Executive, KernelMode, FALSE, NULL);
    if (IsEndLost(Irp)) {
        KeClearEvent(Done);
        KeWaitForSingleObject(Done, Executive, KernelMode, FALSE, NULL);
    }
    return Irp->IoStatus.Status;
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
        Status = WaitForEnd(Irp, &Done);
    } else if (IopLeaveIrp(Irp)) {
        return Status;
    } else if (KeReadStateEvent(&Done) == 0) {
        KeWaitForSingleObject(&Done, Executive, KernelMode, FALSE, NULL); /* another CPU is completing it */
    }
    IopReturnBuffers(Irp);
    if (WasPended || !NT_ERROR(Status)) {
        *Result = Irp->IoStatus;
    }
    IoFreeIrp(Irp);
    return Status;
}
