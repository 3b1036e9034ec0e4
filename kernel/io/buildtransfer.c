/* buildtransfer.c: reads, writes and their kin that drivers build for other drivers.
 *
 * A synchronous one is finished like a control request (build.c). An asynchronous one is freed by its builder's
 * completion routine. */
#include "iop.h"

NTSTATUS IopAttachTransferBuffer(PIRP Irp, PDEVICE_OBJECT Device, PVOID Buffer, ULONG Length, BOOLEAN IsToDevice) {
    if (Device->Flags & DO_BUFFERED_IO) {
        return IopAttachSystemBuffer(Irp, Buffer, IsToDevice ? Length : 0, Buffer, IsToDevice ? 0 : Length);
    }
    Irp->UserBuffer = Buffer;
    if (Device->Flags & DO_DIRECT_IO) {
        return IopAttachDirect(Irp, Buffer, Length, IsToDevice ? IoReadAccess : IoWriteAccess);
    }
    return STATUS_SUCCESS;
}

/* <= APC_LEVEL; at DISPATCH_LEVEL for a device with direct or no buffering, and a resident Buffer. IRP_MJ_READ,
 * IRP_MJ_WRITE, and without Buffer and offset IRP_MJ_FLUSH_BUFFERS, IRP_MJ_SHUTDOWN, IRP_MJ_PNP. NULL as above.
 * wdm.h: IoBuildAsynchronousFsdRequest. */
PIRP IoBuildAsynchronousFsdRequest(ULONG MajorFunction, PDEVICE_OBJECT DeviceObject, PVOID Buffer, ULONG Length,
                                   PLARGE_INTEGER StartingOffset, PIO_STATUS_BLOCK IoStatusBlock) {
    PIRP Irp = IopAllocateThreaded(DeviceObject);
    if (Irp == NULL) {
        return NULL;
    }
    PIO_STACK_LOCATION Stack = IoGetNextIrpStackLocation(Irp);
    Stack->MajorFunction = (UCHAR)MajorFunction;
    Irp->UserIosb = IoStatusBlock;
    if (MajorFunction != IRP_MJ_READ && MajorFunction != IRP_MJ_WRITE) {
        return Irp;
    }
    Stack->Parameters.Read.Length = Length; /* Write is laid out the same */
    Stack->Parameters.Read.ByteOffset.QuadPart = StartingOffset == NULL ? 0 : StartingOffset->QuadPart;
    if (!NT_SUCCESS(IopAttachTransferBuffer(Irp, DeviceObject, Buffer, Length, MajorFunction == IRP_MJ_WRITE))) {
        IopDropIrp(Irp);
        return NULL;
    }
    return Irp;
}

/* The same with an event that the end sets; the IRP is never freed by the caller. wdm.h: IoBuildSynchronousFsdRequest.
 */
PIRP IoBuildSynchronousFsdRequest(ULONG MajorFunction, PDEVICE_OBJECT DeviceObject, PVOID Buffer, ULONG Length,
                                  PLARGE_INTEGER StartingOffset, PKEVENT Event, PIO_STATUS_BLOCK IoStatusBlock) {
    PIRP Irp =
        IoBuildAsynchronousFsdRequest(MajorFunction, DeviceObject, Buffer, Length, StartingOffset, IoStatusBlock);
    if (Irp != NULL) {
        Irp->UserEvent = Event;
        IopQueueThreadIrp(Irp);
    }
    return Irp;
}
