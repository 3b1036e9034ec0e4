/* driver.c: the file system driver's entry: it mounts C: and receives every request for it.
 *
 * An open first looks at the boot sector, through a view that is mapped for it: is this still the volume that was
 * mounted? The disk is no removable one, so later requests of the file do not ask again; but any request at
 * DISPATCH_LEVEL does, and ends there: the view's page is not valid until it is touched, and touching it is a page
 * fault, which is fatal at that level. It happens before any lock is taken, regardless of earlier operations. */
#include "fastfat.h"

#define BOOT_MARK_OFFSET 0x27 /* the serial number of FAT12 and FAT16; of FAT32: flags and the root's cluster */

DRIVER_INITIALIZE DriverEntry;
#pragma alloc_text(INIT, DriverEntry)

static PVCB TheVcb;

static FAT_HANDLER *HandlerOf(UCHAR MajorFunction) {
    switch (MajorFunction) {
    case IRP_MJ_CREATE:
        return FatCommonCreate;
    case IRP_MJ_CLEANUP:
        return FatCommonCleanup;
    case IRP_MJ_CLOSE:
        return FatCommonClose;
    case IRP_MJ_READ:
        return FatCommonRead;
    case IRP_MJ_WRITE:
        return FatCommonWrite;
    case IRP_MJ_QUERY_INFORMATION:
        return FatCommonQuery;
    case IRP_MJ_SET_INFORMATION:
        return FatCommonSet;
    case IRP_MJ_QUERY_VOLUME_INFORMATION:
        return FatCommonQueryVolume;
    case IRP_MJ_DIRECTORY_CONTROL:
        return FatCommonDirectory;
    default:
        return FatCommonFlush;
    }
}

/* Any IRQL at which the caller may be; at <= APC_LEVEL it returns. STATUS_WRONG_VOLUME: the disk holds another one. */
static NTSTATUS FatVerifyVolume(PVCB Vcb) {
    DISK_VIEW View;
    NTSTATUS Status = MmMapDiskView(Vcb->Disk, BOOT_MARK_OFFSET, &View);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    ULONG Mark = View.Data[0] | (ULONG)View.Data[1] << 8 | (ULONG)View.Data[2] << 16 | (ULONG)View.Data[3] << 24;
    MmUnmapDiskView(&View);
    return Mark == Vcb->BootMark ? STATUS_SUCCESS : STATUS_WRONG_VOLUME;
}

static BOOLEAN MustVerify(UCHAR MajorFunction) {
    return MajorFunction == IRP_MJ_CREATE || KeGetCurrentIrql() >= DISPATCH_LEVEL;
}

/* The one dispatch routine; nonpaged. */
static NTSTATUS FatFsdDispatch(PDEVICE_OBJECT DeviceObject, PIRP Irp) {
    PVCB Vcb = DeviceObject->DeviceExtension;
    PIO_STACK_LOCATION Stack = IoGetCurrentIrpStackLocation(Irp);
    UCHAR Major = Stack->MajorFunction;
    NTSTATUS Status = MustVerify(Major) ? FatVerifyVolume(Vcb) : STATUS_SUCCESS;
    Irp->IoStatus.Information = 0;
    if (NT_SUCCESS(Status)) {
        FsRtlEnterFileSystem();
        ExAcquireResourceExclusiveLite(&Vcb->Resource, TRUE);
        Status = HandlerOf(Major)(Vcb, Irp, Stack);
        ExReleaseResourceLite(&Vcb->Resource);
        FsRtlExitFileSystem();
    }
    Irp->IoStatus.Status = Status;
    IoCompleteRequest(Irp, IO_DISK_INCREMENT);
    return Status;
}

PAGEABLE static NTSTATUS ReadBootMark(PVCB Vcb) {
    UCHAR Bytes[4];
    NTSTATUS Status = MmReadDisk(Vcb->Disk, BOOT_MARK_OFFSET, Bytes, sizeof(Bytes));
    Vcb->BootMark = Bytes[0] | (ULONG)Bytes[1] << 8 | (ULONG)Bytes[2] << 16 | (ULONG)Bytes[3] << 24;
    return Status;
}

PAGEABLE static NTSTATUS Mount(PVCB Vcb) {
    Vcb->Disk = IoGetVolumeDisk();
    FatInitializeFcbs(Vcb);
    InitializeListHead(&Vcb->Pages);
    Vcb->Volume = ExAllocatePoolWithTag(PagedPool, sizeof(FAT_VOLUME), TAG_FAT);
    if (Vcb->Disk == NULL || Vcb->Volume == NULL) {
        return Vcb->Disk == NULL ? STATUS_NO_SUCH_DEVICE : STATUS_INSUFFICIENT_RESOURCES;
    }
    NTSTATUS Status = FatMount(Vcb->Volume, Vcb->Disk);
    if (NT_SUCCESS(Status)) {
        Status = ReadBootMark(Vcb);
    }
    if (NT_SUCCESS(Status)) {
        Status = ExInitializeResourceLite(&Vcb->Resource);
    }
    return Status;
}

/* C: is gone for good. */
PAGEABLE static NTSTATUS Refuse(PDEVICE_OBJECT Device, NTSTATUS Status) {
    DbgPrint("fastfat: C: cannot be used: status 0x%08X\n", Status);
    PVCB Vcb = Device->DeviceExtension;
    if (Vcb->Volume) {
        ExFreePoolWithTag(Vcb->Volume, TAG_FAT);
    }
    IoDeleteDevice(Device);
    return Status;
}

PAGEABLE static NTSTATUS NameVolume(VOID) {
    UNICODE_STRING Link, Target;
    RtlInitUnicodeString(&Link, L"\\??\\C:");
    RtlInitUnicodeString(&Target, L"\\Device\\HarddiskVolume1");
    return IoCreateSymbolicLink(&Link, &Target);
}

/* The volume stays mounted forever, so there is no way to unload. */
NTSTATUS DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath) {
    static const UCHAR Majors[] = {
        IRP_MJ_CREATE,        IRP_MJ_CLEANUP,           IRP_MJ_CLOSE,           IRP_MJ_READ,
        IRP_MJ_WRITE,         IRP_MJ_QUERY_INFORMATION, IRP_MJ_SET_INFORMATION, IRP_MJ_QUERY_VOLUME_INFORMATION,
        IRP_MJ_FLUSH_BUFFERS, IRP_MJ_DIRECTORY_CONTROL};
    UNICODE_STRING Name;
    PDEVICE_OBJECT Device;
    UNREFERENCED_PARAMETER(RegistryPath);
    RtlInitUnicodeString(&Name, L"\\Device\\HarddiskVolume1");
    NTSTATUS Status = IoCreateDevice(DriverObject, sizeof(VCB), &Name, FILE_DEVICE_DISK_FILE_SYSTEM, 0, FALSE, &Device);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    TheVcb = Device->DeviceExtension;
    Status = Mount(TheVcb);
    if (NT_SUCCESS(Status)) {
        Status = FatInitializeLazyWriter(TheVcb, Device);
    }
    if (NT_SUCCESS(Status)) {
        Status = NameVolume();
    }
    if (!NT_SUCCESS(Status)) {
        return Refuse(Device, Status);
    }
    for (ULONG i = 0; i < sizeof(Majors); i++) {
        DriverObject->MajorFunction[Majors[i]] = FatFsdDispatch;
    }
    Device->Flags &= ~DO_DEVICE_INITIALIZING;
    return STATUS_SUCCESS;
}
