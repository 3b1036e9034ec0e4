/* irp.c: the I/O request packet: a header, and a stack location for each driver on its way.
 *
 *                     CurrentLocation
 *      IRP header
 *      location 1          1             the lowest driver's
 *      location 2          2
 *      ...
 *      location n          n             the first driver's
 *                          n + 1         a new IRP: no driver's yet
 *
 * IofCallDriver moves down by one location and calls; IofCompleteRequest (complete.c) moves up again and asks each
 * driver on the way. A caller fills in the *next* location, the one of the driver that it is about to call. */
#include "iop.h"
#include <ring.h>

#define MAXIMUM_STACK 126         /* CurrentLocation is a signed byte */
#define LARGEST_LOOKASIDE_STACK 8 /* IRPs of up to so many locations have one size on NT */

static PVOID AllocateFromPool(SIZE_T Bytes) {
    return ExAllocatePoolWithTag(NonPagedPoolNx, Bytes, TAG_IRP);
}
PVOID (*IoAllocateIrpMemory)(SIZE_T Bytes) = AllocateFromPool;
VOID (*IopSentHook)(PIRP Irp);
const IOP_THREAD_IRPS *IopThreadIrps;

/* Makes an IRP of memory that the caller owns. Any IRQL. wdm.h: IoInitializeIrp. */
VOID IoInitializeIrp(PIRP Irp, USHORT PacketSize, CCHAR StackSize) {
    memset(Irp, 0, PacketSize);
    Irp->Type = IO_TYPE_IRP;
    Irp->Size = PacketSize;
    Irp->StackCount = (CHAR)StackSize;
    Irp->CurrentLocation = (CHAR)(StackSize + 1);
    Irp->Tail.Overlay.CurrentStackLocation = (PIO_STACK_LOCATION)(Irp + 1) + StackSize;
    InitializeListHead(&Irp->ThreadListEntry);
}

/* As on NT, whose small IRPs have one size and come from a list, so that no quota is charged. */
static UCHAR AllocationFlags(CCHAR StackSize, BOOLEAN ChargeQuota) {
    if (StackSize > LARGEST_LOOKASIDE_STACK) {
        return ChargeQuota ? IRP_QUOTA_CHARGED : 0;
    }
    return IRP_ALLOCATED_FIXED_SIZE | (ChargeQuota ? IRP_LOOKASIDE_ALLOCATION : 0);
}

/* <= DISPATCH_LEVEL. NULL: no memory. AllocationFlags are as on NT; nothing is charged here.
 * wdm.h: IoAllocateIrp. */
PIRP IoAllocateIrp(CCHAR StackSize, BOOLEAN ChargeQuota) {
    if (StackSize < 0 || StackSize > MAXIMUM_STACK) {
        return NULL;
    }
    USHORT Bytes = IoSizeOfIrp(StackSize);
    PIRP Irp = IoAllocateIrpMemory(Bytes);
    if (Irp != NULL) {
        IoInitializeIrp(Irp, Bytes, StackSize);
        Irp->Reserved = IOP_IRP_FROM_POOL;
        Irp->AllocationFlags = AllocationFlags(StackSize, ChargeQuota);
    }
    return Irp;
}

/* <= DISPATCH_LEVEL. The type is wiped, so that a use of the dead IRP is noticed. wdm.h: IoFreeIrp. */
VOID IoFreeIrp(PIRP Irp) {
    IopUnqueueThreadIrp(Irp);
    IopForgetSentIrp(Irp);
    USHORT Holds = Irp->Reserved;
    if (Holds & IOP_IRP_HOLDS_THREAD) {
        ObDereferenceObjectDeferDelete(Irp->Tail.Overlay.Thread);
    }
    if (Holds & IOP_IRP_HOLDS_FILE) {
        ObDereferenceObjectDeferDelete(Irp->Tail.Overlay.OriginalFileObject);
    }
    if (Holds & IOP_IRP_HOLDS_EVENT) {
        ObDereferenceObjectDeferDelete(Irp->UserEvent);
    }
    Irp->Type = 0;
    ExFreePool(Irp);
}

/* <= DISPATCH_LEVEL. Returns what the driver's dispatch routine returns. No location left: NO_MORE_IRP_STACK_LOCATIONS.
 * wdm.h: IoCallDriver. */
NTSTATUS IofCallDriver(PDEVICE_OBJECT DeviceObject, PIRP Irp) {
    if (IopSentHook != NULL && Irp->CurrentLocation == Irp->StackCount + 1) {
        IopSentHook(Irp);
    }
    if (--Irp->CurrentLocation <= 0) {
        KeBugCheckEx(NO_MORE_IRP_STACK_LOCATIONS, (ULONG_PTR)Irp, 0, 0, 0);
    }
    PIO_STACK_LOCATION Stack = --Irp->Tail.Overlay.CurrentStackLocation;
    Stack->DeviceObject = DeviceObject;
    PDRIVER_DISPATCH Routine = DeviceObject->DriverObject->MajorFunction[Stack->MajorFunction];
    return KeVerifier != NULL ? KeVerifier->CallDispatch(Routine, DeviceObject, Irp) : Routine(DeviceObject, Irp);
}
