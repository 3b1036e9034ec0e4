/* buffer.c: a request's buffers: a copy for the driver, attached before the call, returned after. */
#include "iop.h"

const IOP_DIRECT_BUFFERS *IopDirectBuffers;

/* A Zw call guards its reads of the caller's memory, an IoBuild... function does not: each as on NT. */
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
    /* Bytes that the driver does not write must not show what the pool held before. */
    memset(Buffer, 0, Length);
    Irp->AssociatedIrp.SystemBuffer = Buffer;
    Irp->UserBuffer = Output;
    Irp->Flags |=
        IRP_BUFFERED_IO | IRP_DEALLOCATE_BUFFER | (OutputLength != 0 && Output != NULL ? IRP_INPUT_OPERATION : 0);
    return InputLength != 0 ? CopyInput(Irp, Buffer, Input, InputLength) : STATUS_SUCCESS;
}

NTSTATUS IopAttachDirect(PIRP Irp, PVOID Buffer, ULONG Length, LOCK_OPERATION Operation) {
    if (Length == 0) {
        return STATUS_SUCCESS;
    }
    return IopDirectBuffers == NULL ? STATUS_NOT_SUPPORTED : IopDirectBuffers->Attach(Irp, Buffer, Length, Operation);
}

NTSTATUS IopAttachControlBuffers(PIRP Irp, ULONG Method, PVOID Input, ULONG InputLength, PVOID Output,
                                 ULONG OutputLength) {
    NTSTATUS Status;
    InputLength = Input != NULL ? InputLength : 0; /* the driver sees the caller's length, and zeros */
    switch (Method) {
    case METHOD_BUFFERED:
        Irp->UserBuffer = Output;
        return IopAttachSystemBuffer(Irp, Input, InputLength, Output, OutputLength);
    case METHOD_IN_DIRECT:
    case METHOD_OUT_DIRECT:
        Status = IopAttachSystemBuffer(Irp, Input, InputLength, NULL, 0);
        Irp->UserBuffer = Output;
        return NT_SUCCESS(Status) ? IopAttachDirect(Irp, Output, OutputLength,
                                                    Method == METHOD_IN_DIRECT ? IoReadAccess : IoWriteAccess)
                                  : Status;
    default:
        Irp->UserBuffer = Output;
        return STATUS_SUCCESS;
    }
}

static VOID FreeSystemBuffer(PIRP Irp) {
    if (Irp->Flags & IRP_DEALLOCATE_BUFFER) {
        Irp->Flags &= ~IRP_DEALLOCATE_BUFFER;
        ExFreePool(Irp->AssociatedIrp.SystemBuffer);
    }
}

/* A warning still brings data, an error does not. The copy is guarded for every requester: a program's memory may go
 * while its request is under way. */
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
