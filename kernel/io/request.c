/* request.c: IRPs that the I/O manager sends for a caller: the wait, the clean-up.
 *
 * The status that the driver's dispatch routine returns counts. STATUS_PENDING is waited out, and then the IRP's status
 * is the answer; any other status is the answer itself, even if the IRP has a different one, and the status block is
 * filled in only if that is no error. A request answered but never completed stays behind, in its thread's list.
 *
 * Such an IRP is marked IOP_IRP_WAITED: its completion, at any IRQL and in any thread, only sets an event. The sender
 * does the rest itself. So a call at APC_LEVEL, which no APC can reach, works too. */
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

/* STATUS_PENDING was returned, and the IRP is completed. The end reaches the requester in its own thread, and only if
 * IoMarkIrpPending has asked for it; otherwise only a device control's success arrives. As on NT the wait goes on. */
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
