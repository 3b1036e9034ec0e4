/* irpcalls.c: a driver's other calls on an IRP: its size, its reuse, its parts, its kind. */
#include "iop.h"

/* The size of an IRP with so many locations. Any IRQL. wdm.h: IoSizeOfIrpEx. */
USHORT IoSizeOfIrpEx(CCHAR StackSize) {
    return IoSizeOfIrp(StackSize);
}

/* For the owner of an IRP from IoAllocateIrp, whose completion routine has kept it. Any IRQL. wdm.h: IoReuseIrp. */
VOID IoReuseIrp(PIRP Irp, NTSTATUS Status) {
    IopUnqueueThreadIrp(Irp);
    IopForgetSentIrp(Irp);
    UCHAR Kept = Irp->AllocationFlags;
    USHORT OwnFlags = Irp->Reserved;
    IoInitializeIrp(Irp, Irp->Size, (CCHAR)Irp->StackCount);
    Irp->AllocationFlags = Kept;
    Irp->Reserved = OwnFlags;
    Irp->IoStatus.Status = Status;
}

/* One of several parts of a request: when the last of them is completed, the master is. The caller has set the
 * master's AssociatedIrp.IrpCount. <= DISPATCH_LEVEL. NULL: no memory. ntddk.h: IoMakeAssociatedIrp. */
PIRP IoMakeAssociatedIrp(PIRP Irp, CCHAR StackSize) {
    PIRP Part = IoAllocateIrp(StackSize, FALSE);
    if (Part != NULL) {
        Part->Flags |= IRP_ASSOCIATED_IRP;
        Part->AssociatedIrp.MasterIrp = Irp;
        Part->Tail.Overlay.Thread = Irp->Tail.Overlay.Thread;
    }
    return Part;
}

/* Whether the requester waits for the end anyway. Any IRQL. ntddk.h: IoIsOperationSynchronous. */
BOOLEAN IoIsOperationSynchronous(PIRP Irp) {
    PFILE_OBJECT File = IoGetCurrentIrpStackLocation(Irp)->FileObject;
    return (Irp->Flags & IRP_SYNCHRONOUS_API) != 0 || (File != NULL && (File->Flags & FO_SYNCHRONOUS_IO) != 0);
}
