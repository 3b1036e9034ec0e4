/* attach.c: device stacks: a device on top of another receives that one's requests first.
 *
 *      AttachedDevice leads up, IOP_DEVICE.AttachedTo down. Requests are sent to the top; each driver passes them on
 *      to the device that its attach call returned, which was the top before. */
#include "iop.h"

/* The top of the stack that Device is in. IopDeviceLock held. */
static PDEVICE_OBJECT FindTop(PDEVICE_OBJECT Device) {
    while (Device->AttachedDevice != NULL) {
        Device = Device->AttachedDevice;
    }
    return Device;
}

/* NULL: the device at the top is going away. *AttachedTo, if given, is set before a request can come through. */
static PDEVICE_OBJECT Attach(PDEVICE_OBJECT Source, PDEVICE_OBJECT Target, PDEVICE_OBJECT *AttachedTo) {
    KIRQL OldIrql = KeAcquireSpinLockRaiseToDpc(&IopDeviceLock);
    PDEVICE_OBJECT Top = FindTop(Target);
    if (IopGetDeviceExtension(Top)->IsDeletePending) {
        Top = NULL;
    } else {
        Source->StackSize = (CCHAR)(Top->StackSize + 1);
        Source->AlignmentRequirement = Top->AlignmentRequirement;
        Source->SectorSize = Top->SectorSize;
        IopGetDeviceExtension(Source)->AttachedTo = Top;
        if (AttachedTo != NULL) {
            *AttachedTo = Top;
        }
        Top->AttachedDevice = Source;
    }
    KeReleaseSpinLock(&IopDeviceLock, OldIrql);
    return Top;
}

/* <= DISPATCH_LEVEL. Returns the device that was the top, to which Source passes its requests; NULL: none.
 * wdm.h: IoAttachDeviceToDeviceStack. */
PDEVICE_OBJECT IoAttachDeviceToDeviceStack(PDEVICE_OBJECT SourceDevice, PDEVICE_OBJECT TargetDevice) {
    return Attach(SourceDevice, TargetDevice, NULL);
}

/* The same, but *AttachedToDeviceObject is set before a request can come.
 * wdm.h: IoAttachDeviceToDeviceStackSafe. */
NTSTATUS IoAttachDeviceToDeviceStackSafe(PDEVICE_OBJECT SourceDevice, PDEVICE_OBJECT TargetDevice,
                                         PDEVICE_OBJECT *AttachedToDeviceObject) {
    return Attach(SourceDevice, TargetDevice, AttachedToDeviceObject) ? STATUS_SUCCESS : STATUS_NO_SUCH_DEVICE;
}

/* PASSIVE_LEVEL; the target's driver sees an open and a close. wdm.h: IoAttachDevice. */
NTSTATUS IoAttachDevice(PDEVICE_OBJECT SourceDevice, PUNICODE_STRING TargetDevice, PDEVICE_OBJECT *AttachedDevice) {
    PFILE_OBJECT File;
    PDEVICE_OBJECT Target;
    NTSTATUS Status = IoGetDeviceObjectPointer(TargetDevice, FILE_READ_ATTRIBUTES, &File, &Target);
    if (NT_SUCCESS(Status)) {
        Status = IoAttachDeviceToDeviceStackSafe(SourceDevice, Target, AttachedDevice);
        ObDereferenceObject(File);
    }
    return Status;
}

/* Detaches the device on top of TargetDevice, which the attach call returned. <= DISPATCH_LEVEL.
 * wdm.h: IoDetachDevice. */
VOID IoDetachDevice(PDEVICE_OBJECT TargetDevice) {
    KIRQL OldIrql = KeAcquireSpinLockRaiseToDpc(&IopDeviceLock);
    PDEVICE_OBJECT Source = TargetDevice->AttachedDevice;
    TargetDevice->AttachedDevice = NULL;
    if (Source != NULL) {
        IopGetDeviceExtension(Source)->AttachedTo = NULL;
    }
    KeReleaseSpinLock(&IopDeviceLock, OldIrql);
}

/* <= DISPATCH_LEVEL. Without a reference. ntifs.h: IoGetAttachedDevice. */
PDEVICE_OBJECT IoGetAttachedDevice(PDEVICE_OBJECT DeviceObject) {
    return FindTop(DeviceObject);
}

/* <= DISPATCH_LEVEL. With a reference. wdm.h: IoGetAttachedDeviceReference. */
PDEVICE_OBJECT IoGetAttachedDeviceReference(PDEVICE_OBJECT DeviceObject) {
    KIRQL OldIrql = KeAcquireSpinLockRaiseToDpc(&IopDeviceLock);
    PDEVICE_OBJECT Top = FindTop(DeviceObject);
    ObfReferenceObject(Top);
    KeReleaseSpinLock(&IopDeviceLock, OldIrql);
    return Top;
}

/* <= DISPATCH_LEVEL. The device below, with a reference; NULL: none. ntifs.h: IoGetLowerDeviceObject. */
PDEVICE_OBJECT IoGetLowerDeviceObject(PDEVICE_OBJECT DeviceObject) {
    KIRQL OldIrql = KeAcquireSpinLockRaiseToDpc(&IopDeviceLock);
    PDEVICE_OBJECT Lower = IopGetDeviceExtension(DeviceObject)->AttachedTo;
    if (Lower != NULL) {
        ObfReferenceObject(Lower);
    }
    KeReleaseSpinLock(&IopDeviceLock, OldIrql);
    return Lower;
}

/* The top of the stack of a file's device. <= DISPATCH_LEVEL. wdm.h: IoGetRelatedDeviceObject. */
PDEVICE_OBJECT IoGetRelatedDeviceObject(PFILE_OBJECT FileObject) {
    return FindTop(FileObject->DeviceObject);
}
