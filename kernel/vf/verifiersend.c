/* verifiersend.c: rules for a request on its way: how it may be sent, completed, freed and made anew.
 *
 * A rule whose code has three digits names, as on Windows, the place in the driver, the request and the device. Those
 * of one or two digits have parameters of their own; kernel/include/ddk/bugcodes.def has them all. */
#include "vf.h"

#include <io.h>

/* One call of IoCallDriver. */
typedef struct _SEND {
    PDEVICE_OBJECT Device;
    PIRP Irp;
    PIO_STACK_LOCATION Next;    /* the next driver's; none: 0x208 */
    PIO_STACK_LOCATION Current; /* the sender's own; NULL: it made the request, or shares the next location */
    PVOID Caller;
} SEND;

static BOOLEAN IsOfCaller(const SEND *Send, const void *Address) {
    return LdrFindModule((ULONG64)Address) == LdrFindModule((ULONG64)Send->Caller);
}

/* ---- Rules of IoCallDriver: each returns parameter 2, or NULL when it is kept ---- */

static const void *NoLocationIsLeft(const SEND *Send) {
    return Send->Irp->CurrentLocation <= 1 ? Send->Caller : NULL;
}

static const void *CancelRoutineIsSet(const SEND *Send) {
    return Send->Irp->CancelRoutine != NULL ? Send->Caller : NULL;
}

static const void *RequestIsBeneath(const SEND *Send) {
    return VfIsBeneath(Send->Irp) ? Send->Caller : NULL;
}

/* IoCopyCurrentIrpStackLocationToNext copies the device as well, and no other way does. */
static BOOLEAN IsCopied(const SEND *Send) {
    return Send->Current != NULL && Send->Next->DeviceObject == Send->Current->DeviceObject;
}

/* The sender's own routine may be the one above it, too: when it has two devices in the stack. */
static const void *RoutineIsTheUppers(const SEND *Send) {
    return IsCopied(Send) && Send->Next->CompletionRoutine != NULL &&
                   Send->Next->CompletionRoutine == Send->Current->CompletionRoutine &&
                   !IsOfCaller(Send, Send->Next->CompletionRoutine)
               ? Send->Caller
               : NULL;
}

static const void *ControlIsOld(const SEND *Send) {
    UCHAR Old = Send->Next->CompletionRoutine != NULL ? SL_PENDING_RETURNED : 0xFF;
    return IsCopied(Send) && (Send->Next->Control & Old) != 0 ? Send->Caller : NULL;
}

static const void *RoutineIsPageable(const SEND *Send) {
    const void *Routine = Send->Next->CompletionRoutine;
    return Routine != NULL && VfIsPageableAddress((ULONG64)Routine) ? Routine : NULL;
}

/* At DISPATCH_LEVEL nothing but data and control goes down a stack. */
static const void *IrqlIsTooHigh(const SEND *Send) {
    UCHAR Major = Send->Next->MajorFunction;
    BOOLEAN MayCome = Major == IRP_MJ_READ || Major == IRP_MJ_WRITE || Major == IRP_MJ_DEVICE_CONTROL ||
                      Major == IRP_MJ_INTERNAL_DEVICE_CONTROL || Major == IRP_MJ_POWER;
    return KiCurrentIrql() > APC_LEVEL && !MayCome ? Send->Caller : NULL;
}

static const struct {
    ULONG Code;
    const void *(*Find)(const SEND *Send);
} SendRules[] = {
    {0x205, RequestIsBeneath},   {0x208, NoLocationIsLeft}, /* the others look at the next location */
    {0x203, CancelRoutineIsSet}, {0x207, RoutineIsTheUppers}, {0x206, ControlIsOld},
    {0x227, RoutineIsPageable},  {0x23A, IrqlIsTooHigh},
};

/* ---- Memory of a stack that has been left ---- */

/* In the current thread's stack, below everything that is in use there. */
static BOOLEAN IsLeftBehind(const void *Address) {
    return VfIsOnStack(Address) && (ULONG64)Address < (ULONG64)__builtin_frame_address(0);
}

/* Of a request of the current thread, which its end writes to. 0xC9 (0xC, status block, 0, 0), (0xD, event, 0, 0). */
static VOID CheckRequester(PIRP Irp) {
    if (!VfHas(VF_IO)) {
        return;
    }
    if (IsLeftBehind(Irp->UserIosb)) {
        VF_IO_STOP(0x0C, Irp->UserIosb, 0, 0);
    }
    if (IsLeftBehind(Irp->UserEvent)) {
        VF_IO_STOP(0x0D, Irp->UserEvent, 0, 0);
    }
}
KE_ATTACH(IoRequesterHook, CheckRequester);

/* ---- Thunks ---- */

/* First of all, is it a request, and a device? 0xC9 (0x10, IRQL, 0, 0); (3, IRP, 0, 0); (0x204, caller, IRP, 0) for no
 * device at all; (4, device, 0, 0). */
static VOID CheckKinds(PDEVICE_OBJECT Device, PIRP Irp, PVOID Caller) {
    if (KiCurrentIrql() > DISPATCH_LEVEL) {
        VF_IO_STOP(0x10, KiCurrentIrql(), 0, 0);
    }
    if (Irp->Type != IO_TYPE_IRP) {
        VF_IO_STOP(0x03, Irp, 0, 0);
    }
    if (Device == NULL) {
        VF_IO_STOP(0x204, Caller, Irp, 0);
    }
    if (Device->Type != IO_TYPE_DEVICE) {
        VF_IO_STOP(0x04, Device, 0, 0);
    }
}

static NTSTATUS VerifierCallDriver(PDEVICE_OBJECT DeviceObject, PIRP Irp) {
    PVOID Caller = _ReturnAddress();
    if (!VfHas(VF_IO)) {
        return IofCallDriver(DeviceObject, Irp);
    }
    CheckKinds(DeviceObject, Irp, Caller);
    SEND Send = {DeviceObject, Irp, IoGetNextIrpStackLocation(Irp), NULL, Caller};
    if (Irp->CurrentLocation <= Irp->StackCount) {
        Send.Current = IoGetCurrentIrpStackLocation(Irp);
    }
    for (ULONG i = 0; i < RTL_NUMBER_OF(SendRules); i++) {
        const void *Found = SendRules[i].Find(&Send);
        if (Found != NULL) {
            VF_IO_STOP(SendRules[i].Code, Found, Irp, DeviceObject);
        }
    }
    if (IoIsIrpOfThread(Irp) && Irp->Tail.Overlay.Thread == PsGetCurrentThread()) {
        CheckRequester(Irp);
    }
    return IofCallDriver(DeviceObject, Irp);
}

/* 0xC9 (7, cancel routine, IRP, 0) for a request that can still be cancelled; (0x229, cancel routine, IRP, 0) when a
 * driver above that had passed it on has made it so. */
static VOID CheckCancelRoutine(PIRP Irp, PVOID Caller) {
    ULONG64 Routine = (ULONG64)Irp->CancelRoutine;
    if (Routine != 0) {
        VF_IO_STOP(LdrFindModule(Routine) == LdrFindModule((ULONG64)Caller) ? 0x07 : 0x229, Routine, Irp, 0);
    }
}

/* 0xC9 (0xE, IRQL, IRP, 0) above DISPATCH_LEVEL; (6, status, IRP, 0) for one that is completed as still pending; (0x209,
 * caller, IRP, 0) for one that a driver beneath has; CheckCancelRoutine. */
static VOID VerifierCompleteRequest(PIRP Irp, CCHAR PriorityBoost) {
    KIRQL Irql = KiCurrentIrql();
    if (VfHas(VF_IO)) {
        if (Irql > DISPATCH_LEVEL) {
            VF_IO_STOP(0x0E, Irql, Irp, 0);
        }
        if (VfIsBeneath(Irp)) {
            VF_IO_STOP(0x209, _ReturnAddress(), Irp, 0);
        }
        if (Irp->IoStatus.Status == STATUS_PENDING || Irp->IoStatus.Status == (NTSTATUS)-1) {
            VF_IO_STOP(0x06, (ULONG)Irp->IoStatus.Status, Irp, 0);
        }
        CheckCancelRoutine(Irp, _ReturnAddress());
        VfMarkCompleted(Irp);
    }
    IofCompleteRequest(Irp, PriorityBoost);
}

/* 0xC9 (1, IRP, 0, 0) for no IRP; (2, IRP, 0, 0) for one that ends in a thread, which frees it; (0x20B, caller, IRP, 0)
 * for one that a driver has. */
static VOID VerifierFreeIrp(PIRP Irp) {
    if (VfHas(VF_IO)) {
        if (Irp->Type != IO_TYPE_IRP) {
            VF_IO_STOP(0x01, Irp, 0, 0);
        }
        if (IoIsIrpOfThread(Irp)) {
            VF_IO_STOP(0x02, Irp, 0, 0);
        }
        if (IoIsIrpSent(Irp)) {
            VF_IO_STOP(0x20B, _ReturnAddress(), Irp, 0);
        }
    }
    IoFreeIrp(Irp);
}

/* 0xC9 (0x20D, caller, IRP, 0) for one of IoAllocateIrp, which is made already. */
static VOID VerifierInitializeIrp(PIRP Irp, USHORT PacketSize, CCHAR StackSize) {
    if (VfHas(VF_IO) && VfIsAllocatedIrp(Irp)) {
        VF_IO_STOP(0x20D, _ReturnAddress(), Irp, 0);
    }
    IoInitializeIrp(Irp, PacketSize, StackSize);
}

const VF_THUNK VfSendThunks[] = {
    {"IofCallDriver", VerifierCallDriver},
    {"IofCompleteRequest", VerifierCompleteRequest},
    {"IoFreeIrp", VerifierFreeIrp},
    {"IoInitializeIrp", VerifierInitializeIrp},
    {NULL, NULL},
};
