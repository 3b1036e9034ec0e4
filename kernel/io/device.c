/* device.c: device objects: what requests are sent to. A driver makes them, a name finds them.
 *
 * One piece of nonpaged pool holds the system's part, the DEVICE_OBJECT, the driver's extension and the name:
 *
 *      IOP_DEVICE { name links, flags, DEVICE_OBJECT } | extension, zeroed | name
 *
 * A file object holds a reference. IoDeleteDevice takes the name away at once, and the memory with the last
 * reference. */
#include <kd.h>
#include "iop.h"

C_ASSERT(sizeof(DEVICE_OBJECT) == 0x150);
C_ASSERT(offsetof(DEVICE_OBJECT, DeviceExtension) == 0x40);

KE_DECLARE_LOCK(IopDeviceLock, RANK_IO, "device names, each driver's list of devices, reference counts");
static LIST_ENTRY NamedDevices = {&NamedDevices, &NamedDevices};

static PIOP_DEVICE OuterOf(PDEVICE_OBJECT Device) {
    return CONTAINING_RECORD(Device, IOP_DEVICE, Device);
}

/* Under IopDeviceLock. */
static PIOP_DEVICE FindByName(PCUNICODE_STRING Name) {
    for (PLIST_ENTRY Entry = NamedDevices.Flink; Entry != &NamedDevices; Entry = Entry->Flink) {
        PIOP_DEVICE Outer = CONTAINING_RECORD(Entry, IOP_DEVICE, NameListEntry);
        if (RtlEqualUnicodeString(&Outer->Name, Name, TRUE)) {
            return Outer;
        }
    }
    return NULL;
}

static PIOP_DEVICE AllocateDevice(ULONG ExtensionBytes, PUNICODE_STRING Name) {
    SIZE_T NameOffset = sizeof(IOP_DEVICE) + (((SIZE_T)ExtensionBytes + 15) & ~(SIZE_T)15);
    SIZE_T NameBytes = Name ? Name->Length : 0;
    PIOP_DEVICE Outer = ExAllocatePoolWithTag(NonPagedPoolNx, NameOffset + NameBytes + sizeof(WCHAR), TAG_IO);
    if (Outer == NULL) {
        return NULL;
    }
    memset(Outer, 0, NameOffset + NameBytes + sizeof(WCHAR));
    InitializeListHead(&Outer->NameListEntry);
    PDEVICE_OBJECT Device = &Outer->Device;
    Device->Type = IO_TYPE_DEVICE;
    Device->Size = (USHORT)(sizeof(DEVICE_OBJECT) + ExtensionBytes);
    Device->DeviceExtension = ExtensionBytes ? Outer + 1 : NULL;
    Outer->Name.Buffer = (PWCH)((PUCHAR)Outer + NameOffset);
    Outer->Name.Length = (USHORT)NameBytes;
    Outer->Name.MaximumLength = (USHORT)(NameBytes + sizeof(WCHAR));
    if (NameBytes != 0) {
        memcpy(Outer->Name.Buffer, Name->Buffer, NameBytes);
    }
    return Outer;
}

/* Under IopDeviceLock. FALSE: another device has the name. */
static BOOLEAN InsertDevice(PIOP_DEVICE Outer, PDRIVER_OBJECT DriverObject) {
    if (Outer->Name.Length != 0) {
        if (FindByName(&Outer->Name)) {
            return FALSE;
        }
        InsertTailList(&NamedDevices, &Outer->NameListEntry);
    }
    Outer->Device.NextDevice = DriverObject->DeviceObject;
    DriverObject->DeviceObject = &Outer->Device;
    return TRUE;
}

/* <= APC_LEVEL. STATUS_OBJECT_NAME_COLLISION, STATUS_INSUFFICIENT_RESOURCES. wdm.h: IoCreateDevice. */
NTSTATUS IoCreateDevice(PDRIVER_OBJECT DriverObject, ULONG DeviceExtensionSize, PUNICODE_STRING DeviceName,
                        DEVICE_TYPE DeviceType, ULONG DeviceCharacteristics, BOOLEAN Exclusive,
                        PDEVICE_OBJECT *DeviceObject) {
    PAGED_CODE();
    *DeviceObject = NULL;
    if (DeviceExtensionSize > 0xFFFF - sizeof(DEVICE_OBJECT)) {
        return STATUS_INVALID_PARAMETER; /* the object's Size is 16 bits wide */
    }
    PIOP_DEVICE Outer = AllocateDevice(DeviceExtensionSize, DeviceName);
    if (Outer == NULL) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    PDEVICE_OBJECT Device = &Outer->Device;
    Device->DriverObject = DriverObject;
    Device->DeviceType = DeviceType;
    Device->Characteristics = DeviceCharacteristics;
    Device->Flags = DO_DEVICE_INITIALIZING | (Exclusive ? DO_EXCLUSIVE : 0);
    Device->StackSize = 1;
    KIRQL OldIrql = KeAcquireSpinLockRaiseToDpc(&IopDeviceLock);
    BOOLEAN IsInserted = InsertDevice(Outer, DriverObject);
    KeReleaseSpinLock(&IopDeviceLock, OldIrql);
    if (!IsInserted) {
        ExFreePoolWithTag(Outer, TAG_IO);
        return STATUS_OBJECT_NAME_COLLISION;
    }
    *DeviceObject = Device;
    return STATUS_SUCCESS;
}

/* <= APC_LEVEL. The name is free when it returns. wdm.h: IoDeleteDevice. */
VOID IoDeleteDevice(PDEVICE_OBJECT DeviceObject) {
    PAGED_CODE();
    PIOP_DEVICE Outer = OuterOf(DeviceObject);
    KIRQL OldIrql = KeAcquireSpinLockRaiseToDpc(&IopDeviceLock);
    PDEVICE_OBJECT *Link = &DeviceObject->DriverObject->DeviceObject;
    while (*Link && *Link != DeviceObject) {
        Link = &(*Link)->NextDevice;
    }
    if (*Link) {
        *Link = DeviceObject->NextDevice;
    }
    RemoveEntryList(&Outer->NameListEntry);
    InitializeListHead(&Outer->NameListEntry);
    Outer->IsDeletePending = TRUE;
    BOOLEAN IsFree = DeviceObject->ReferenceCount == 0;
    KeReleaseSpinLock(&IopDeviceLock, OldIrql);
    if (IsFree) {
        ExFreePoolWithTag(Outer, TAG_IO);
    }
}

NTSTATUS IopReferenceDevice(PCUNICODE_STRING Name, PDEVICE_OBJECT *Device) {
    NTSTATUS Status = STATUS_OBJECT_NAME_NOT_FOUND;
    *Device = NULL;
    KIRQL OldIrql = KeAcquireSpinLockRaiseToDpc(&IopDeviceLock);
    PIOP_DEVICE Outer = FindByName(Name);
    if (Outer && (Outer->Device.Flags & DO_EXCLUSIVE) && Outer->Device.ReferenceCount > 0) {
        Status = STATUS_ACCESS_DENIED;
    } else if (Outer) {
        Outer->Device.ReferenceCount++;
        *Device = &Outer->Device;
        Status = STATUS_SUCCESS;
    }
    KeReleaseSpinLock(&IopDeviceLock, OldIrql);
    return Status;
}

VOID IopDereferenceDevice(PDEVICE_OBJECT Device) {
    PIOP_DEVICE Outer = OuterOf(Device);
    KIRQL OldIrql = KeAcquireSpinLockRaiseToDpc(&IopDeviceLock);
    BOOLEAN IsFree = --Device->ReferenceCount == 0 && Outer->IsDeletePending;
    KeReleaseSpinLock(&IopDeviceLock, OldIrql);
    if (IsFree) {
        ExFreePoolWithTag(Outer, TAG_IO);
    }
}

/* <= DISPATCH_LEVEL. Takes no reference: the caller knows that the driver stays. */
NTSTATUS IoFindDevice(PCSTR Name, PDEVICE_OBJECT *Device) {
    WCHAR Buffer[64];
    USHORT Length = 0;
    *Device = NULL;
    for (; Name[Length]; Length++) {
        if (Length == RTL_NUMBER_OF(Buffer)) {
            return STATUS_OBJECT_NAME_NOT_FOUND;
        }
        Buffer[Length] = (UCHAR)Name[Length];
    }
    UNICODE_STRING Wide = {(USHORT)(Length * sizeof(WCHAR)), sizeof(Buffer), Buffer};
    KIRQL OldIrql = KeAcquireSpinLockRaiseToDpc(&IopDeviceLock);
    PIOP_DEVICE Outer = FindByName(&Wide);
    KeReleaseSpinLock(&IopDeviceLock, OldIrql);
    *Device = Outer ? &Outer->Device : NULL;
    return Outer ? STATUS_SUCCESS : STATUS_OBJECT_NAME_NOT_FOUND;
}
