/* device.c: device objects, the targets of requests. A driver makes them; a name, a file or a stack leads to them.
 *
 * One object holds the DEVICE_OBJECT, the driver's extension and the system's part:
 *
 *      DEVICE_OBJECT | extension, zeroed, a multiple of 16 | IOP_DEVICE
 *
 * An open file counts in ReferenceCount. IoDeleteDevice takes the name away at once, and drops the creator's reference
 * when no file is open any more. */
#include "iop.h"

C_ASSERT(offsetof(DEVICE_OBJECT, DeviceExtension) == 0x40);

KE_DECLARE_LOCK(IopDeviceLock, RANK_IO, "device stacks, each driver's list of devices, counts of open files");

static VOID DeleteDeviceObject(PVOID Object) {
    PDEVICE_OBJECT Device = Object;
    ObfDereferenceObject(Device->DriverObject);
}

struct _OBJECT_TYPE IopDeviceType = {
    .Name = "Device",
    .Delete = DeleteDeviceObject,
    .Mapping = {FILE_GENERIC_READ, FILE_GENERIC_WRITE, FILE_GENERIC_EXECUTE, FILE_ALL_ACCESS},
    .ValidAccess = FILE_ALL_ACCESS,
    .WaitOffset = OB_NOT_WAITABLE};
static POBJECT_TYPE DeviceTypePointer = &IopDeviceType;
POBJECT_TYPE *IoDeviceObjectType = &DeviceTypePointer;

NTSTATUS (*IopNameHook)(PDEVICE_OBJECT Device, PUNICODE_STRING Name, ULONG Characteristics);
extern IOP_OBJECT_ROUTINE *const IopObjectWatches[], *const IopObjectWatchesEnd[]; /* kernel.ld */

/* See iop.h. */
VOID IopTellOfObject(PVOID Object, IOP_OBJECT_EVENT Event) {
    for (IOP_OBJECT_ROUTINE *const *Watch = IopObjectWatches; Watch < IopObjectWatchesEnd; Watch++) {
        (*Watch)(Object, Event);
    }
}

static PDEVICE_OBJECT AllocateDevice(ULONG ExtensionBytes) {
    SIZE_T SystemOffset = sizeof(DEVICE_OBJECT) + (((SIZE_T)ExtensionBytes + 15) & ~(SIZE_T)15);
    PDEVICE_OBJECT Device = ObCreateObject(&IopDeviceType, SystemOffset + sizeof(IOP_DEVICE));
    if (Device == NULL) {
        return NULL;
    }
    Device->Type = IO_TYPE_DEVICE;
    Device->Size = (USHORT)(sizeof(DEVICE_OBJECT) + ExtensionBytes);
    Device->DeviceExtension = ExtensionBytes ? Device + 1 : NULL;
    Device->DeviceObjectExtension = (PUCHAR)Device + SystemOffset;
    Device->StackSize = 1;
    KeInitializeEvent(&Device->DeviceLock, SynchronizationEvent, TRUE);
    IopGetDeviceExtension(Device)->Device = Device;
    IopTellOfObject(Device, DeviceCreated);
    return Device;
}

static BOOLEAN HasSectors(DEVICE_TYPE Type) {
    return Type == FILE_DEVICE_DISK || Type == FILE_DEVICE_DISK_FILE_SYSTEM;
}

static VOID LinkDevice(PDEVICE_OBJECT Device, PDRIVER_OBJECT DriverObject) {
    KIRQL OldIrql = KeAcquireSpinLockRaiseToDpc(&IopDeviceLock);
    Device->NextDevice = DriverObject->DeviceObject;
    DriverObject->DeviceObject = Device;
    KeReleaseSpinLock(&IopDeviceLock, OldIrql);
}

/* <= APC_LEVEL. The device refuses opens while DO_DEVICE_INITIALIZING is set: until DriverEntry has returned, or the
 * driver clears it. STATUS_OBJECT_NAME_COLLISION, STATUS_OBJECT_PATH_NOT_FOUND, STATUS_OBJECT_PATH_SYNTAX_BAD,
 * STATUS_INSUFFICIENT_RESOURCES. wdm.h: IoCreateDevice. */
NTSTATUS IoCreateDevice(PDRIVER_OBJECT DriverObject, ULONG DeviceExtensionSize, PUNICODE_STRING DeviceName,
                        DEVICE_TYPE DeviceType, ULONG DeviceCharacteristics, BOOLEAN Exclusive,
                        PDEVICE_OBJECT *DeviceObject) {
    PAGED_CODE();
    *DeviceObject = NULL;
    if (DeviceExtensionSize > 0xFFFF - sizeof(DEVICE_OBJECT)) {
        return STATUS_INVALID_PARAMETER; /* the object's Size is 16 bits wide */
    }
    PDEVICE_OBJECT Device = AllocateDevice(DeviceExtensionSize);
    if (Device == NULL) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    Device->DriverObject = DriverObject;
    ObfReferenceObject(DriverObject);
    Device->DeviceType = DeviceType;
    Device->Characteristics = DeviceCharacteristics;
    Device->SectorSize = HasSectors(DeviceType) ? 512 : 0;
    Device->Flags = DO_DEVICE_INITIALIZING | (Exclusive ? DO_EXCLUSIVE : 0);
    if (IopNameHook != NULL) {
        NTSTATUS Status = IopNameHook(Device, DeviceName, DeviceCharacteristics);
        if (!NT_SUCCESS(Status)) {
            ObfDereferenceObject(Device);
            return Status;
        }
    }
    LinkDevice(Device, DriverObject);
    *DeviceObject = Device;
    return STATUS_SUCCESS;
}

static VOID UnlinkDevice(PDEVICE_OBJECT Device) {
    PDEVICE_OBJECT *Link = &Device->DriverObject->DeviceObject;
    while (*Link && *Link != Device) {
        Link = &(*Link)->NextDevice;
    }
    if (*Link) {
        *Link = Device->NextDevice;
    }
}

/* <= APC_LEVEL. The name is free when it returns. wdm.h: IoDeleteDevice. */
VOID IoDeleteDevice(PDEVICE_OBJECT DeviceObject) {
    PAGED_CODE();
    IopTellOfObject(DeviceObject, DeviceDeleted);
    KIRQL OldIrql = KeAcquireSpinLockRaiseToDpc(&IopDeviceLock);
    UnlinkDevice(DeviceObject);
    IopGetDeviceExtension(DeviceObject)->IsDeletePending = TRUE;
    BOOLEAN IsFree = DeviceObject->ReferenceCount == 0;
    KeReleaseSpinLock(&IopDeviceLock, OldIrql);
    if (IsFree) {
        ObfDereferenceObject(DeviceObject);
    }
}

/* See io.h. */
VOID IopReadyDevices(PDRIVER_OBJECT DriverObject) {
    KIRQL OldIrql = KeAcquireSpinLockRaiseToDpc(&IopDeviceLock);
    for (PDEVICE_OBJECT Device = DriverObject->DeviceObject; Device != NULL; Device = Device->NextDevice) {
        Device->Flags &= ~DO_DEVICE_INITIALIZING;
    }
    KeReleaseSpinLock(&IopDeviceLock, OldIrql);
}
