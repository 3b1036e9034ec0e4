/* verifierio.c: calls into drivers and back: what a dispatch routine must leave as it found it; copies that overlap. */
#include "vf.h"

/* From IofCallDriver, around the routine of a device's driver. 0xC9 (5, device, IRQL before, after); 0xC4 (0xC5,
 * routine, APC-disable count now, before). */
NTSTATUS VfCallDispatch(PDRIVER_DISPATCH Routine, PDEVICE_OBJECT DeviceObject, PIRP Irp) {
    PKTHREAD Thread = KiCurrentThread();
    KIRQL Before = KiCurrentIrql();
    ULONG ApcDisable = Thread->CombinedApcDisable;
    NTSTATUS Status = Routine(DeviceObject, Irp);
    if (KiCurrentIrql() != Before) {
        KeBugCheckEx(DRIVER_VERIFIER_IOMANAGER_VIOLATION, 5, (ULONG_PTR)DeviceObject, Before, KiCurrentIrql());
    }
    if (Thread->CombinedApcDisable != ApcDisable) {
        VF_STOP(0xC5, (ULONG_PTR)Routine, Thread->CombinedApcDisable, ApcDisable);
    }
    return Status;
}

/* 0xC9 (0x10, device, IRQL, 0) above DISPATCH_LEVEL. */
static NTSTATUS VerifierCallDriver(PDEVICE_OBJECT DeviceObject, PIRP Irp) {
    KIRQL Irql = KiCurrentIrql();
    if (VfHas(VF_IO) && Irql > DISPATCH_LEVEL) {
        KeBugCheckEx(DRIVER_VERIFIER_IOMANAGER_VIOLATION, 0x10, (ULONG_PTR)DeviceObject, Irql, 0);
    }
    return IofCallDriver(DeviceObject, Irp);
}

/* 0xC9 (0xE, IRQL, IRP, 0) above DISPATCH_LEVEL; (6, status, IRP, 0) for one that is completed as still pending. */
static VOID VerifierCompleteRequest(PIRP Irp, CCHAR PriorityBoost) {
    KIRQL Irql = KiCurrentIrql();
    if (VfHas(VF_IO) && Irql > DISPATCH_LEVEL) {
        KeBugCheckEx(DRIVER_VERIFIER_IOMANAGER_VIOLATION, 0xE, Irql, (ULONG_PTR)Irp, 0);
    }
    if (VfHas(VF_IO) && Irp->IoStatus.Status == STATUS_PENDING) {
        KeBugCheckEx(DRIVER_VERIFIER_IOMANAGER_VIOLATION, 6, STATUS_PENDING, (ULONG_PTR)Irp, 0);
    }
    IofCompleteRequest(Irp, PriorityBoost);
}

/* 0xC4 (0xF0, destination, source, bytes). The same address twice is a copy that changes nothing: compilers make it. */
static void *VerifierMemcpy(void *Destination, const void *Source, size_t Length) {
    ULONG64 To = (ULONG64)Destination, From = (ULONG64)Source;
    if (VfHas(VF_MISC) && To != From && To - From + Length - 1 < 2 * Length - 1) {
        VF_STOP(0xF0, To, From, Length);
    }
    return memcpy(Destination, Source, Length);
}

const VF_THUNK VfIoThunks[] = {
    {"IofCallDriver", VerifierCallDriver},
    {"IofCompleteRequest", VerifierCompleteRequest},
    {"memcpy", VerifierMemcpy},
    {NULL, NULL},
};
