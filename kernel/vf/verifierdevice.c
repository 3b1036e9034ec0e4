/* verifierdevice.c: rules for devices: leaving their stack and the machine; buffers of requests built for one. */
#include "vf.h"

#include <arch.h>
#include <io.h>
#include <wdmsec.h>

/* ---- The life of a device ---- */

#define DELETED_DEVICES 64 /* remembered: compared, never read */

static KSPIN_LOCK DeletedLock;
static PDEVICE_OBJECT Deleted[DELETED_DEVICES];
static ULONG NextDeleted;

/* TRUE: it was there. Its place is free then. */
static BOOLEAN ForgetDeleted(PDEVICE_OBJECT Device) {
    KLOCK_QUEUE_HANDLE Handle;
    BOOLEAN WasThere = FALSE;
    KeAcquireInStackQueuedSpinLock(&DeletedLock, &Handle);
    for (ULONG i = 0; i < DELETED_DEVICES; i++) {
        if (Deleted[i] == Device) {
            Deleted[i] = NULL;
            WasThere = TRUE;
        }
    }
    KeReleaseInStackQueuedSpinLock(&Handle);
    return WasThere;
}

static VOID RememberDeleted(PDEVICE_OBJECT Device) {
    KLOCK_QUEUE_HANDLE Handle;
    KeAcquireInStackQueuedSpinLock(&DeletedLock, &Handle);
    Deleted[NextDeleted++ % DELETED_DEVICES] = Device;
    KeReleaseInStackQueuedSpinLock(&Handle);
}

static NTSTATUS VerifierCreateDevice(PDRIVER_OBJECT DriverObject, ULONG DeviceExtensionSize, PUNICODE_STRING DeviceName,
                                     DEVICE_TYPE DeviceType, ULONG DeviceCharacteristics, BOOLEAN Exclusive,
                                     PDEVICE_OBJECT *DeviceObject) {
    NTSTATUS Status = IoCreateDevice(DriverObject, DeviceExtensionSize, DeviceName, DeviceType, DeviceCharacteristics,
                                     Exclusive, DeviceObject);
    if (NT_SUCCESS(Status)) {
        ForgetDeleted(*DeviceObject);
    }
    return Status;
}

/* On Windows it is the driver's own code, from wdmsec.lib, and calls IoCreateDevice through the driver's imports. */
static NTSTATUS VerifierCreateDeviceSecure(PDRIVER_OBJECT DriverObject, ULONG DeviceExtensionSize,
                                           PUNICODE_STRING DeviceName, DEVICE_TYPE DeviceType,
                                           ULONG DeviceCharacteristics, BOOLEAN Exclusive,
                                           PCUNICODE_STRING DefaultSDDLString, LPCGUID DeviceClassGuid,
                                           PDEVICE_OBJECT *DeviceObject) {
    NTSTATUS Status =
        WdmlibIoCreateDeviceSecure(DriverObject, DeviceExtensionSize, DeviceName, DeviceType, DeviceCharacteristics,
                                   Exclusive, DefaultSDDLString, DeviceClassGuid, DeviceObject);
    if (NT_SUCCESS(Status)) {
        ForgetDeleted(*DeviceObject);
    }
    return Status;
}

static BOOLEAN HasDeviceBeneath(PDEVICE_OBJECT Device) {
    PDEVICE_OBJECT Lower = IoGetLowerDeviceObject(Device);
    if (Lower != NULL) {
        ObfDereferenceObject(Lower);
    }
    return Lower != NULL;
}

/* 0xC9 (0x240, caller, 0, device) for one that is deleted already; (0x201, caller, 0, device) for one that is still attached
 * to another. */
static VOID VerifierDeleteDevice(PDEVICE_OBJECT DeviceObject) {
    if (VfHas(VF_IO)) {
        if (ForgetDeleted(DeviceObject)) {
            VF_IO_STOP(0x240, _ReturnAddress(), 0, DeviceObject);
        }
        if (HasDeviceBeneath(DeviceObject)) {
            VF_IO_STOP(0x201, _ReturnAddress(), 0, DeviceObject);
        }
        RememberDeleted(DeviceObject);
    }
    IoDeleteDevice(DeviceObject);
}

/* 0xC9 (0x202, caller, 0, device) for one that nothing is attached to. */
static VOID VerifierDetachDevice(PDEVICE_OBJECT TargetDevice) {
    if (VfHas(VF_IO) && TargetDevice->AttachedDevice == NULL) {
        VF_IO_STOP(0x202, _ReturnAddress(), 0, TargetDevice);
    }
    IoDetachDevice(TargetDevice);
}

/* 0xC9 (0xA, device, 0, 0) for one that has its timer. */
static NTSTATUS VerifierInitializeDeviceTimer(PDEVICE_OBJECT DeviceObject, PIO_TIMER_ROUTINE TimerRoutine,
                                              PVOID Context) {
    if (VfHas(VF_IO) && DeviceObject->Timer != NULL) {
        VF_IO_STOP(0x0A, DeviceObject, 0, 0);
    }
    return IoInitializeTimer(DeviceObject, TimerRoutine, Context);
}

/* ---- Buffers of requests that are built ---- */

typedef struct _BUFFER {
    const volatile UCHAR *Start;
    ULONG Bytes;
} BUFFER;

static VOID TouchPages(PVOID Context) {
    const BUFFER *Buffer = Context;
    for (ULONG Offset = 0; Offset < Buffer->Bytes; Offset += PAGE_SIZE - BYTE_OFFSET(Buffer->Start + Offset)) {
        (void)Buffer->Start[Offset];
    }
}

/* The status with which copying or locking it will end. */
static NTSTATUS Try(PVOID Start, ULONG Bytes) {
    BUFFER Buffer = {Start, Bytes};
    return VfHas(VF_IO) ? KiCallGuarded(TouchPages, &Buffer) : STATUS_SUCCESS;
}

/* 0xC9 (9, device, control code, status). */
static PIRP VerifierBuildDeviceIoControlRequest(ULONG IoControlCode, PDEVICE_OBJECT DeviceObject, PVOID InputBuffer,
                                                ULONG InputBufferLength, PVOID OutputBuffer, ULONG OutputBufferLength,
                                                BOOLEAN InternalDeviceIoControl, PKEVENT Event,
                                                PIO_STATUS_BLOCK IoStatusBlock) {
    ULONG Method = METHOD_FROM_CTL_CODE(IoControlCode);
    NTSTATUS Status = STATUS_SUCCESS;
    if (Method != METHOD_NEITHER && InputBuffer != NULL) {
        Status = Try(InputBuffer, InputBufferLength);
    }
    if (NT_SUCCESS(Status) && (Method == METHOD_IN_DIRECT || Method == METHOD_OUT_DIRECT) && OutputBuffer != NULL) {
        Status = Try(OutputBuffer, OutputBufferLength);
    }
    if (!NT_SUCCESS(Status)) {
        VF_IO_STOP(0x09, DeviceObject, IoControlCode, (LONG_PTR)Status);
    }
    return IoBuildDeviceIoControlRequest(IoControlCode, DeviceObject, InputBuffer, InputBufferLength, OutputBuffer,
                                         OutputBufferLength, InternalDeviceIoControl, Event, IoStatusBlock);
}

/* 0xC9 (8, device, major function, status). */
static VOID CheckTransfer(ULONG MajorFunction, PDEVICE_OBJECT Device, PVOID Buffer, ULONG Length) {
    BOOLEAN IsCopied = (Device->Flags & DO_BUFFERED_IO) != 0 && MajorFunction == IRP_MJ_WRITE;
    BOOLEAN IsLocked = (Device->Flags & (DO_BUFFERED_IO | DO_DIRECT_IO)) == DO_DIRECT_IO &&
                       (MajorFunction == IRP_MJ_READ || MajorFunction == IRP_MJ_WRITE);
    NTSTATUS Status = IsCopied || IsLocked ? Try(Buffer, Length) : STATUS_SUCCESS;
    if (!NT_SUCCESS(Status)) {
        VF_IO_STOP(0x08, Device, MajorFunction, (LONG_PTR)Status);
    }
}

static PIRP VerifierBuildAsynchronousFsdRequest(ULONG MajorFunction, PDEVICE_OBJECT DeviceObject, PVOID Buffer,
                                                ULONG Length, PLARGE_INTEGER StartingOffset,
                                                PIO_STATUS_BLOCK IoStatusBlock) {
    CheckTransfer(MajorFunction, DeviceObject, Buffer, Length);
    return IoBuildAsynchronousFsdRequest(MajorFunction, DeviceObject, Buffer, Length, StartingOffset, IoStatusBlock);
}

static PIRP VerifierBuildSynchronousFsdRequest(ULONG MajorFunction, PDEVICE_OBJECT DeviceObject, PVOID Buffer,
                                               ULONG Length, PLARGE_INTEGER StartingOffset, PKEVENT Event,
                                               PIO_STATUS_BLOCK IoStatusBlock) {
    CheckTransfer(MajorFunction, DeviceObject, Buffer, Length);
    return IoBuildSynchronousFsdRequest(MajorFunction, DeviceObject, Buffer, Length, StartingOffset, Event,
                                        IoStatusBlock);
}

const VF_THUNK VfDeviceThunks[] = {
    {"IoCreateDevice", VerifierCreateDevice},
    {"WdmlibIoCreateDeviceSecure", VerifierCreateDeviceSecure},
    {"IoDeleteDevice", VerifierDeleteDevice},
    {"IoDetachDevice", VerifierDetachDevice},
    {"IoInitializeTimer", VerifierInitializeDeviceTimer},
    {"IoBuildDeviceIoControlRequest", VerifierBuildDeviceIoControlRequest},
    {"IoBuildAsynchronousFsdRequest", VerifierBuildAsynchronousFsdRequest},
    {"IoBuildSynchronousFsdRequest", VerifierBuildSynchronousFsdRequest},
    {NULL, NULL},
};
