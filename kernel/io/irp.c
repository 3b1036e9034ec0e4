/* irp.c: the I/O request packet: one header, and one stack location for each driver that it will pass through.
 *
 *                     CurrentLocation
 *      IRP header
 *      location 1          1             the lowest driver's
 *      location 2          2
 *      ...
 *      location n          n             the first driver's
 *                          n + 1         where a new IRP stands: nobody's
 *      IOP_IRP_TAIL
 *
 * IofCallDriver moves down by one location and calls; IofCompleteRequest (complete.c) moves up again and asks each
 * driver on the way. A caller fills in the *next* location, the one of the driver that it is about to call. */
#include "irp.h"

C_ASSERT(sizeof(IO_STACK_LOCATION) == 0x48);

static PIO_STACK_LOCATION FirstLocation(PIRP Irp) {
    return (PIO_STACK_LOCATION)(Irp + 1);
}

PIOP_IRP_TAIL IopGetIrpTail(PIRP Irp) {
    return (PIOP_IRP_TAIL)(FirstLocation(Irp) + Irp->StackCount);
}

/* <= DISPATCH_LEVEL. NULL: no memory. wdm.h: IoAllocateIrp. */
PIRP IoAllocateIrp(CCHAR StackSize, BOOLEAN ChargeQuota) {
    UNREFERENCED_PARAMETER(ChargeQuota);
    if (StackSize < 0 || StackSize > IOP_MAXIMUM_STACK) {
        return NULL;
    }
    SIZE_T Bytes = sizeof(IRP) + (ULONG)StackSize * sizeof(IO_STACK_LOCATION) + sizeof(IOP_IRP_TAIL);
    PIRP Irp = ExAllocatePoolWithTag(NonPagedPoolNx, Bytes, TAG_IRP);
    if (Irp == NULL) {
        return NULL;
    }
    memset(Irp, 0, Bytes);
    Irp->Type = IO_TYPE_IRP;
    Irp->Size = (USHORT)Bytes;
    Irp->StackCount = (CHAR)StackSize;
    Irp->CurrentLocation = (CHAR)(StackSize + 1);
    Irp->Tail.Overlay.CurrentStackLocation = FirstLocation(Irp) + StackSize;
    Irp->Tail.Overlay.Thread = PsGetCurrentThread();
    InitializeListHead(&Irp->ThreadListEntry);
    return Irp;
}

/* <= DISPATCH_LEVEL. The type is wiped, so that a use of the dead IRP is noticed. wdm.h: IoFreeIrp. */
VOID IoFreeIrp(PIRP Irp) {
    Irp->Type = 0;
    ExFreePoolWithTag(Irp, TAG_IRP);
}

/* The system's buffer of a METHOD_BUFFERED request: in and out share it. FALSE: no memory. */
static BOOLEAN AttachBuffer(PIRP Irp, PVOID Input, ULONG InputLength, PVOID Output, ULONG OutputLength) {
    ULONG Length = InputLength > OutputLength ? InputLength : OutputLength;
    if (Length == 0) {
        return TRUE;
    }
    PVOID Buffer = ExAllocatePoolWithTag(NonPagedPoolNx, Length, TAG_IRP);
    if (Buffer == NULL) {
        return FALSE;
    }
    /* What the driver does not write must not show what the pool held before. */
    memset(Buffer, 0, Length);
    if (InputLength != 0) {
        memcpy(Buffer, Input, InputLength);
    }
    Irp->AssociatedIrp.SystemBuffer = Buffer;
    Irp->UserBuffer = Output;
    Irp->Flags = IRP_BUFFERED_IO | IRP_DEALLOCATE_BUFFER | (OutputLength != 0 ? IRP_INPUT_OPERATION : 0);
    return TRUE;
}

/* A request that the caller sends with IoCallDriver and never frees: completion copies the output back, fills
 * IoStatusBlock, frees the IRP and sets Event. METHOD_BUFFERED, METHOD_NEITHER, and the direct methods as long as
 * they have no direct buffer, for there are no memory descriptor lists here. NULL: no memory, or such a buffer.
 * PASSIVE_LEVEL. wdm.h: IoBuildDeviceIoControlRequest. */
PIRP IoBuildDeviceIoControlRequest(ULONG IoControlCode, PDEVICE_OBJECT DeviceObject, PVOID InputBuffer,
                                   ULONG InputBufferLength, PVOID OutputBuffer, ULONG OutputBufferLength,
                                   BOOLEAN InternalDeviceIoControl, PKEVENT Event, PIO_STATUS_BLOCK IoStatusBlock) {
    PAGED_CODE();
    ULONG Method = IoControlCode & 3;
    if ((Method == METHOD_IN_DIRECT || Method == METHOD_OUT_DIRECT) && OutputBufferLength != 0) {
        return NULL;
    }
    PIRP Irp = IoAllocateIrp(DeviceObject->StackSize, FALSE);
    if (Irp == NULL) {
        return NULL;
    }
    PIO_STACK_LOCATION Stack = IoGetNextIrpStackLocation(Irp);
    Stack->MajorFunction = InternalDeviceIoControl ? IRP_MJ_INTERNAL_DEVICE_CONTROL : IRP_MJ_DEVICE_CONTROL;
    Stack->Parameters.DeviceIoControl.IoControlCode = IoControlCode;
    Stack->Parameters.DeviceIoControl.InputBufferLength = InputBufferLength;
    Stack->Parameters.DeviceIoControl.OutputBufferLength = OutputBufferLength;
    Irp->UserEvent = Event;
    Irp->UserIosb = IoStatusBlock;
    if (Method == METHOD_NEITHER) {
        Stack->Parameters.DeviceIoControl.Type3InputBuffer = InputBuffer;
        Irp->UserBuffer = OutputBuffer;
    } else if (!AttachBuffer(Irp, InputBuffer, InputBufferLength, OutputBuffer, OutputBufferLength)) {
        IoFreeIrp(Irp);
        return NULL;
    }
    return Irp;
}

/* <= DISPATCH_LEVEL. Returns what the driver's dispatch routine returns. No location left: NO_MORE_IRP_STACK_LOCATIONS.
 * wdm.h: IoCallDriver. */
NTSTATUS IofCallDriver(PDEVICE_OBJECT DeviceObject, PIRP Irp) {
    if (--Irp->CurrentLocation <= 0) {
        KeBugCheckEx(NO_MORE_IRP_STACK_LOCATIONS, (ULONG_PTR)Irp, 0, 0, 0);
    }
    PIO_STACK_LOCATION Stack = --Irp->Tail.Overlay.CurrentStackLocation;
    Stack->DeviceObject = DeviceObject;
    return DeviceObject->DriverObject->MajorFunction[Stack->MajorFunction](DeviceObject, Irp);
}
