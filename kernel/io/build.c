/* build.c: the control request that one driver builds for another.
 *
 * It is synchronous, and belongs to the thread that built it: completion copies the output back, fills the status block,
 * frees the IRP and sets the event, all in that thread, which cancels it if it ends first. */
#include "iop.h"

/* The IRP is finished in this thread, which therefore must not go away before. */
PIRP IopAllocateThreaded(PDEVICE_OBJECT Device) {
    PIRP Irp = IoAllocateIrp(Device->StackSize, FALSE);
    if (Irp != NULL) {
        Irp->Tail.Overlay.Thread = PsGetCurrentThread();
        Irp->Reserved |= IOP_IRP_HOLDS_THREAD;
        ObfReferenceObject(Irp->Tail.Overlay.Thread);
    }
    return Irp;
}

/* A request that the caller sends with IoCallDriver and never frees. Its direct methods lock the output buffer in
 * memory, if there is one. <= APC_LEVEL. NULL: no memory, or a buffer to be locked that is not memory; the caller
 * vouches for an input that is copied. wdm.h: IoBuildDeviceIoControlRequest. */
PIRP IoBuildDeviceIoControlRequest(ULONG IoControlCode, PDEVICE_OBJECT DeviceObject, PVOID InputBuffer,
                                   ULONG InputBufferLength, PVOID OutputBuffer, ULONG OutputBufferLength,
                                   BOOLEAN InternalDeviceIoControl, PKEVENT Event, PIO_STATUS_BLOCK IoStatusBlock) {
    ULONG Method = METHOD_FROM_CTL_CODE(IoControlCode);
    PIRP Irp = IopAllocateThreaded(DeviceObject);
    if (Irp == NULL) {
        return NULL;
    }
    PIO_STACK_LOCATION Stack = IoGetNextIrpStackLocation(Irp);
    Stack->MajorFunction = InternalDeviceIoControl ? IRP_MJ_INTERNAL_DEVICE_CONTROL : IRP_MJ_DEVICE_CONTROL;
    Stack->Parameters.DeviceIoControl.IoControlCode = IoControlCode;
    Stack->Parameters.DeviceIoControl.InputBufferLength = InputBufferLength;
    Stack->Parameters.DeviceIoControl.OutputBufferLength = OutputBufferLength;
    Stack->Parameters.DeviceIoControl.Type3InputBuffer = Method == METHOD_NEITHER ? InputBuffer : NULL;
    Irp->UserEvent = Event;
    Irp->UserIosb = IoStatusBlock;
    ULONG Locked = Method == METHOD_BUFFERED || OutputBuffer != NULL ? OutputBufferLength : 0;
    NTSTATUS Status = IopAttachControlBuffers(Irp, Method, InputBuffer, InputBufferLength, OutputBuffer, Locked);
    if (!NT_SUCCESS(Status)) {
        IopDropIrp(Irp);
        return NULL;
    }
    IopQueueThreadIrp(Irp);
    return Irp;
}
