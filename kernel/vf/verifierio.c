/* verifierio.c: calls into drivers and back: the state a dispatch routine must leave, overlapping copies. */
#include "vf.h"

/* From IofCallDriver, around the routine of a device's driver. 0xC9 (5, device, IRQL before, after); 0xC4 (0xC5,
 * routine, APC-disable count now, before); verifierirp.c's verdict on the request. */
NTSTATUS VfCallDispatch(PDRIVER_DISPATCH Routine, PDEVICE_OBJECT DeviceObject, PIRP Irp) {
    if (!VfHas(VF_IO)) {
        return Routine(DeviceObject, Irp);
    }
    PKTHREAD Thread = KiCurrentThread();
    KIRQL Before = KiCurrentIrql();
    ULONG ApcDisable = Thread->CombinedApcDisable;
    VF_DISPATCH Record;
    VfBeginDispatch(&Record, Routine, Irp);
    NTSTATUS Status = Routine(DeviceObject, Irp);
    if (KiCurrentIrql() != Before) {
        VF_IO_STOP(5, DeviceObject, Before, KiCurrentIrql());
    }
    if (Thread->CombinedApcDisable != ApcDisable) {
        VF_STOP(0xC5, (ULONG_PTR)Routine, Thread->CombinedApcDisable, ApcDisable);
    }
    VfEndDispatch(&Record, Routine, Status);
    return Status;
}

/* 0xC4 (0xF0, destination, source, bytes). The same address twice is a copy that changes nothing: compilers make it. */
static void *VerifierMemcpy(void *Destination, const void *Source, size_t Length) {
    ULONG64 To = (ULONG64)Destination, From = (ULONG64)Source;
    if (VfHas(VF_MISC) && Length != 0 && To != From && To - From + Length - 1 < 2 * Length - 1) {
        VF_STOP(0xF0, To, From, Length);
    }
    return memcpy(Destination, Source, Length);
}

const VF_THUNK VfIoThunks[] = {
    {"memcpy", VerifierMemcpy},
    {NULL, NULL},
};
