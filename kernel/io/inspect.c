/* inspect.c: requests that have not come back, as an observer finds them. */
#include "iop.h"

#include <inspect.h>

/* A request keeps neither its device's memory nor its driver. */
static BOOLEAN IsDevice(PDEVICE_OBJECT Device) {
    return MmIsAddressValid(Device) && Device->Type == IO_TYPE_DEVICE && MmIsAddressValid(Device->DriverObject) &&
           Device->DriverObject->Type == IO_TYPE_DRIVER;
}

static VOID Describe(PIRP Irp, PIO_PENDING_IRP Pending) {
    BOOLEAN IsCompleting = (Irp->Reserved & IOP_IRP_COMPLETING) != 0;
    *Pending = (IO_PENDING_IRP){.Irp = Irp,
                                .IsCompleting = IsCompleting,
                                .IsCancelled = Irp->Cancel,
                                .IsNobodys = (Irp->Reserved & IOP_IRP_SENT) != 0,
                                .CancelRoutine = (ULONG64)Irp->CancelRoutine};
    LONG Location = __atomic_load_n(&Irp->CurrentLocation, __ATOMIC_RELAXED); /* it may be on its way up */
    if (!IsCompleting && Location >= 1 && Location <= Irp->StackCount) {
        PIO_STACK_LOCATION Stack = (PIO_STACK_LOCATION)(Irp + 1) + Location - 1;
        Pending->IsSent = TRUE;
        Pending->MajorFunction = Stack->MajorFunction;
        Pending->Device = IsDevice(Stack->DeviceObject) ? Stack->DeviceObject : NULL;
    }
}

BOOLEAN IoFindPendingIrp(PETHREAD Thread, ULONG Index, PIO_PENDING_IRP Pending) {
    KIRQL OldIrql;
    KeAcquireSpinLock(&IopThreadIrpLock, &OldIrql);
    PIRP Irp = IopCountDownIn(Thread != NULL ? &Thread->IrpList : &IopOrphanIrps, &Index);
    if (Irp == NULL && Thread == NULL) {
        Irp = IopCountDownIn(&IopSentIrps, &Index);
    }
    if (Irp != NULL) {
        Describe(Irp, Pending);
    }
    KeReleaseSpinLock(&IopThreadIrpLock, OldIrql);
    return Irp != NULL;
}
