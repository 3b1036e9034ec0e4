/* sample_ramdisk.c: a disk in pool: direct I/O in whole sectors within its size, and the IOCTLs that tell what disk it is.
 *
 * expect: completed
 * run: --verifier --unload
 */
#include <ntddk.h>
#include <ntdddisk.h>
#include <ntstrsafe.h>

#define TAG 'kdmR'
#define SECTOR_SIZE 512
#define SECTORS 64
#define DISK_BYTES (SECTOR_SIZE * SECTORS)

typedef struct _DISK_EXTENSION {
    PUCHAR Image;
    FAST_MUTEX Mutex;
    DISK_GEOMETRY Geometry;
} DISK_EXTENSION, *PDISK_EXTENSION;

DRIVER_INITIALIZE DriverEntry;
DRIVER_UNLOAD Unload;
DRIVER_DISPATCH CreateClose, ReadWrite, DeviceControl;

#ifdef ALLOC_PRAGMA
#pragma alloc_text(INIT, DriverEntry)
#pragma alloc_text(PAGE, Unload)
#pragma alloc_text(PAGE, DeviceControl)
#endif

static NTSTATUS CompleteRequest(PIRP Irp, NTSTATUS Status, ULONG_PTR Information) {
    Irp->IoStatus.Status = Status;
    Irp->IoStatus.Information = Information;
    IoCompleteRequest(Irp, NT_SUCCESS(Status) ? IO_DISK_INCREMENT : IO_NO_INCREMENT);
    return Status;
}

NTSTATUS CreateClose(PDEVICE_OBJECT DeviceObject, PIRP Irp) {
    UNREFERENCED_PARAMETER(DeviceObject);
    return CompleteRequest(Irp, STATUS_SUCCESS, FILE_OPENED);
}

NTSTATUS ReadWrite(PDEVICE_OBJECT DeviceObject, PIRP Irp) {
    PDISK_EXTENSION Disk = (PDISK_EXTENSION)DeviceObject->DeviceExtension;
    PIO_STACK_LOCATION Stack = IoGetCurrentIrpStackLocation(Irp);
    ULONG Length = Stack->Parameters.Read.Length;
    LONGLONG Offset = Stack->Parameters.Read.ByteOffset.QuadPart;
    if (Offset < 0 || Offset > DISK_BYTES || Length > DISK_BYTES - Offset || (Offset | Length) % SECTOR_SIZE != 0) {
        return CompleteRequest(Irp, STATUS_INVALID_PARAMETER, 0);
    }
    if (Length == 0) {
        return CompleteRequest(Irp, STATUS_SUCCESS, 0);
    }
    PVOID Buffer = MmGetSystemAddressForMdlSafe(Irp->MdlAddress, NormalPagePriority | MdlMappingNoExecute);
    if (Buffer == NULL) {
        return CompleteRequest(Irp, STATUS_INSUFFICIENT_RESOURCES, 0);
    }
    ExAcquireFastMutex(&Disk->Mutex);
    if (Stack->MajorFunction == IRP_MJ_READ) {
        RtlCopyMemory(Buffer, Disk->Image + Offset, Length);
    } else {
        RtlCopyMemory(Disk->Image + Offset, Buffer, Length);
    }
    ExReleaseFastMutex(&Disk->Mutex);
    return CompleteRequest(Irp, STATUS_SUCCESS, Length);
}

/* Data for an IOCTL, if there is room for it. */
static NTSTATUS Answer(PIRP Irp, const VOID *Data, ULONG Bytes) {
    if (IoGetCurrentIrpStackLocation(Irp)->Parameters.DeviceIoControl.OutputBufferLength < Bytes) {
        return CompleteRequest(Irp, STATUS_BUFFER_TOO_SMALL, 0);
    }
    RtlCopyMemory(Irp->AssociatedIrp.SystemBuffer, Data, Bytes);
    return CompleteRequest(Irp, STATUS_SUCCESS, Bytes);
}

NTSTATUS DeviceControl(PDEVICE_OBJECT DeviceObject, PIRP Irp) {
    PDISK_EXTENSION Disk = (PDISK_EXTENSION)DeviceObject->DeviceExtension;
    GET_LENGTH_INFORMATION Length = {.Length.QuadPart = DISK_BYTES};
    PARTITION_INFORMATION Partition = {.PartitionLength.QuadPart = DISK_BYTES, .PartitionType = PARTITION_FAT_12};
    PAGED_CODE();
    switch (IoGetCurrentIrpStackLocation(Irp)->Parameters.DeviceIoControl.IoControlCode) {
    case IOCTL_DISK_GET_DRIVE_GEOMETRY:
        return Answer(Irp, &Disk->Geometry, sizeof(Disk->Geometry));
    case IOCTL_DISK_GET_LENGTH_INFO:
        return Answer(Irp, &Length, sizeof(Length));
    case IOCTL_DISK_GET_PARTITION_INFO:
        return Answer(Irp, &Partition, sizeof(Partition));
    case IOCTL_DISK_CHECK_VERIFY:
    case IOCTL_STORAGE_CHECK_VERIFY:
    case IOCTL_DISK_IS_WRITABLE:
        return CompleteRequest(Irp, STATUS_SUCCESS, 0);
    default:
        return CompleteRequest(Irp, STATUS_INVALID_DEVICE_REQUEST, 0);
    }
}

static BOOLEAN CheckTransfers(HANDLE Handle) {
    UCHAR Sector[SECTOR_SIZE], Back[SECTOR_SIZE] = {0};
    IO_STATUS_BLOCK Result;
    LARGE_INTEGER Last = {.QuadPart = DISK_BYTES - SECTOR_SIZE}, End = {.QuadPart = DISK_BYTES}, Odd = {.QuadPart = 100};
    RtlFillMemory(Sector, sizeof(Sector), 0x5A);
    return ZwWriteFile(Handle, NULL, NULL, NULL, &Result, Sector, sizeof(Sector), &Last, NULL) == STATUS_SUCCESS &&
           ZwReadFile(Handle, NULL, NULL, NULL, &Result, Back, sizeof(Back), &Last, NULL) == STATUS_SUCCESS &&
           Result.Information == SECTOR_SIZE && RtlEqualMemory(Sector, Back, SECTOR_SIZE) &&
           ZwReadFile(Handle, NULL, NULL, NULL, &Result, Back, sizeof(Back), &End, NULL) == STATUS_INVALID_PARAMETER &&
           ZwReadFile(Handle, NULL, NULL, NULL, &Result, Back, sizeof(Back), &Odd, NULL) == STATUS_INVALID_PARAMETER;
}

static BOOLEAN CheckControl(HANDLE Handle) {
    DISK_GEOMETRY Geometry = {0};
    GET_LENGTH_INFORMATION Length = {0};
    IO_STATUS_BLOCK Result;
    return ZwDeviceIoControlFile(Handle, NULL, NULL, NULL, &Result, IOCTL_DISK_GET_DRIVE_GEOMETRY, NULL, 0, &Geometry,
                                 sizeof(Geometry)) == STATUS_SUCCESS &&
           Geometry.BytesPerSector == SECTOR_SIZE && Geometry.MediaType == RemovableMedia &&
           ZwDeviceIoControlFile(Handle, NULL, NULL, NULL, &Result, IOCTL_DISK_GET_LENGTH_INFO, NULL, 0, &Length,
                                 sizeof(Length)) == STATUS_SUCCESS &&
           Length.Length.QuadPart == DISK_BYTES &&
           ZwDeviceIoControlFile(Handle, NULL, NULL, NULL, &Result, IOCTL_DISK_GET_DRIVE_GEOMETRY, NULL, 0, &Geometry,
                                 4) == STATUS_BUFFER_TOO_SMALL;
}

/* As an application would. */
static NTSTATUS UseDisk(PUNICODE_STRING Name) {
    OBJECT_ATTRIBUTES Attributes;
    IO_STATUS_BLOCK Result;
    HANDLE Handle;
    InitializeObjectAttributes(&Attributes, Name, OBJ_CASE_INSENSITIVE | OBJ_KERNEL_HANDLE, NULL, NULL);
    NTSTATUS Status = ZwCreateFile(&Handle, GENERIC_READ | GENERIC_WRITE | SYNCHRONIZE, &Attributes, &Result, NULL, 0,
                                   FILE_SHARE_READ, FILE_OPEN, FILE_SYNCHRONOUS_IO_NONALERT, NULL, 0);
    if (NT_SUCCESS(Status)) {
        Status = CheckTransfers(Handle) && CheckControl(Handle) ? STATUS_SUCCESS : STATUS_UNSUCCESSFUL;
        ZwClose(Handle);
    }
    return Status;
}

VOID Unload(PDRIVER_OBJECT DriverObject) {
    PDISK_EXTENSION Disk = (PDISK_EXTENSION)DriverObject->DeviceObject->DeviceExtension;
    PAGED_CODE();
    ExFreePoolWithTag(Disk->Image, TAG);
    IoDeleteDevice(DriverObject->DeviceObject);
}

NTSTATUS DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath) {
    DECLARE_UNICODE_STRING_SIZE(Name, 64);
    PDEVICE_OBJECT DeviceObject;
    UNREFERENCED_PARAMETER(RegistryPath);
    NTSTATUS Status = RtlUnicodeStringPrintf(&Name, L"\\Device\\SampleRamdisk%u", 0);
    if (NT_SUCCESS(Status)) {
        Status = IoCreateDevice(DriverObject, sizeof(DISK_EXTENSION), &Name, FILE_DEVICE_DISK,
                                FILE_REMOVABLE_MEDIA | FILE_DEVICE_SECURE_OPEN, FALSE, &DeviceObject);
    }
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    PDISK_EXTENSION Disk = (PDISK_EXTENSION)DeviceObject->DeviceExtension;
    ExInitializeFastMutex(&Disk->Mutex);
    Disk->Geometry.Cylinders.QuadPart = 1;
    Disk->Geometry.MediaType = RemovableMedia;
    Disk->Geometry.TracksPerCylinder = 1;
    Disk->Geometry.SectorsPerTrack = SECTORS;
    Disk->Geometry.BytesPerSector = SECTOR_SIZE;
    Disk->Image = (PUCHAR)ExAllocatePool2(POOL_FLAG_PAGED, DISK_BYTES, TAG);
    if (Disk->Image == NULL) {
        IoDeleteDevice(DeviceObject);
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    DriverObject->MajorFunction[IRP_MJ_CREATE] = DriverObject->MajorFunction[IRP_MJ_CLOSE] = CreateClose;
    DriverObject->MajorFunction[IRP_MJ_READ] = DriverObject->MajorFunction[IRP_MJ_WRITE] = ReadWrite;
    DriverObject->MajorFunction[IRP_MJ_DEVICE_CONTROL] = DeviceControl;
    DriverObject->DriverUnload = Unload;
    DeviceObject->Flags |= DO_DIRECT_IO;
    DeviceObject->AlignmentRequirement = FILE_WORD_ALIGNMENT;
    DeviceObject->Flags &= ~DO_DEVICE_INITIALIZING;
    Status = UseDisk(&Name);
    if (!NT_SUCCESS(Status)) {
        Unload(DriverObject);
    }
    return Status;
}
