/* fileobject.c: the file object: one open of a device, or of a file on it, from CREATE to CLOSE.
 *
 * The driver sees three requests: CREATE, which it may refuse; CLEANUP when the last handle is closed, in the context
 * and at the IRQL of that ZwClose; CLOSE when the last reference is dropped. */
#include "iop.h"

/* The last handle is closed. The status matters if a file system has put off a write until now. It is the one that the
 * driver returns: an error that is returned at once leaves the status block alone. */
static NTSTATUS CleanUpFile(PVOID Object) {
    PFILE_OBJECT File = Object;
    IO_STATUS_BLOCK Result;
    if (!(File->Flags & FO_FILE_OPEN) || (File->Flags & FO_CLEANUP_COMPLETE)) {
        return STATUS_SUCCESS;
    }
    PDEVICE_OBJECT Device = IoGetRelatedDeviceObject(File);
    PIRP Irp = IopAllocateFileIrp(File, Device, IRP_MJ_CLEANUP);
    NTSTATUS Status = STATUS_INSUFFICIENT_RESOURCES;
    if (Irp != NULL) {
        Irp->Flags |= IRP_CLOSE_OPERATION;
        Status = IopSendAndWait(Device, Irp, &Result);
    }
    File->Flags |= FO_CLEANUP_COMPLETE;
    BOOLEAN IsFileSystem = Device->DeviceType == FILE_DEVICE_DISK_FILE_SYSTEM;
    return IsFileSystem ? Status : STATUS_SUCCESS;
}

/* The last reference is gone. PASSIVE_LEVEL. */
static VOID DeleteFile(PVOID Object) {
    PFILE_OBJECT File = Object;
    IO_STATUS_BLOCK Result;
    if (File->Flags & FO_FILE_OPEN) {
        CleanUpFile(File); /* there never was a handle */
        PDEVICE_OBJECT Device = IoGetRelatedDeviceObject(File);
        PIRP Irp = IopAllocateFileIrp(File, Device, IRP_MJ_CLOSE);
        if (Irp != NULL) {
            Irp->Flags |= IRP_CLOSE_OPERATION;
            IopSendAndWait(Device, Irp, &Result);
        }
    }
    if (File->FileName.Buffer != NULL) {
        ExFreePool(File->FileName.Buffer);
    }
    if (File->DeviceObject != NULL) {
        IopDereferenceDevice(File->DeviceObject);
    }
}

/* The path on the device; the owner of the first part of the name is the device. See OBJECT_TYPE. */
static ULONG QueryFileName(PVOID Object, PVOID *Owner, PWCH Buffer, ULONG Bytes) {
    PFILE_OBJECT File = Object;
    if (Owner != NULL) {
        *Owner = File->DeviceObject;
    }
    if (Buffer != NULL) {
        memcpy(Buffer, File->FileName.Buffer, Bytes < File->FileName.Length ? Bytes : File->FileName.Length);
    }
    return File->FileName.Length;
}

struct _OBJECT_TYPE IopFileType = {
    .Name = "File",
    .Delete = DeleteFile,
    .Close = CleanUpFile,
    .QueryName = QueryFileName,
    .Mapping = {FILE_GENERIC_READ, FILE_GENERIC_WRITE, FILE_GENERIC_EXECUTE, FILE_ALL_ACCESS},
    .ValidAccess = FILE_ALL_ACCESS,
    .WaitOffset = offsetof(FILE_OBJECT, Event)};
static POBJECT_TYPE FileTypePointer = &IopFileType;
POBJECT_TYPE *IoFileObjectType = &FileTypePointer;

/* The lock of a synchronous file. An uncontended one never waits, so it can be taken at DISPATCH_LEVEL. */
VOID IopAcquireFileLock(PFILE_OBJECT File) {
    if (__atomic_exchange_n(&File->Busy, 1, __ATOMIC_ACQUIRE) == 0) {
        return;
    }
    __atomic_add_fetch(&File->Waiters, 1, __ATOMIC_SEQ_CST);
    while (__atomic_exchange_n(&File->Busy, 1, __ATOMIC_SEQ_CST) != 0) {
        KeWaitForSingleObject(&File->Lock, Executive, KernelMode, FALSE, NULL);
    }
    __atomic_sub_fetch(&File->Waiters, 1, __ATOMIC_SEQ_CST);
}

/* Partner of the exchange above: a thread that has counted itself as a waiter finds Busy clear or gets the event. */
VOID IopReleaseFileLock(PFILE_OBJECT File) {
    __atomic_store_n(&File->Busy, 0, __ATOMIC_SEQ_CST);
    if (__atomic_load_n(&File->Waiters, __ATOMIC_SEQ_CST) != 0) {
        KeSetEvent(&File->Lock, IO_NO_INCREMENT, FALSE);
    }
}

/* ---- Open files of a device ---- */

NTSTATUS IopReferenceDevice(PDEVICE_OBJECT Device, BOOLEAN IsRelative) {
    NTSTATUS Status = STATUS_SUCCESS;
    KIRQL OldIrql = KeAcquireSpinLockRaiseToDpc(&IopDeviceLock);
    if (IopGetDeviceExtension(Device)->IsDeletePending || (Device->Flags & DO_DEVICE_INITIALIZING)) {
        Status = STATUS_NO_SUCH_DEVICE;
    } else if ((Device->Flags & DO_EXCLUSIVE) && Device->ReferenceCount > 0 && !IsRelative) {
        Status = STATUS_ACCESS_DENIED;
    } else {
        Device->ReferenceCount++;
    }
    KeReleaseSpinLock(&IopDeviceLock, OldIrql);
    return Status;
}

VOID IopDereferenceDevice(PDEVICE_OBJECT Device) {
    KIRQL OldIrql = KeAcquireSpinLockRaiseToDpc(&IopDeviceLock);
    BOOLEAN IsFree = --Device->ReferenceCount == 0 && IopGetDeviceExtension(Device)->IsDeletePending;
    KeReleaseSpinLock(&IopDeviceLock, OldIrql);
    if (IsFree) {
        ObfDereferenceObject(Device);
    }
}
