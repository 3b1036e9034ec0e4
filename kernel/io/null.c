/* null.c: the device \Device\Null, NUL to DOS: it swallows all writes and reads as an empty file.
 *
 * A driver without a module of its own: its routines are a part of the kernel's image. */
#include <ldr.h>
#include <ring.h>
#include "iop.h"

static KLDR_DATA_TABLE_ENTRY Module = {.Name = "Null"};

static NTSTATUS Complete(PIRP Irp, NTSTATUS Status, ULONG_PTR Information) {
    Irp->IoStatus = (IO_STATUS_BLOCK){.Status = Status, .Information = Information};
    IofCompleteRequest(Irp, IO_NO_INCREMENT);
    return Status;
}

static NTSTATUS Succeed(PDEVICE_OBJECT Device, PIRP Irp) {
    UNREFERENCED_PARAMETER(Device);
    return Complete(Irp, STATUS_SUCCESS, 0);
}

static NTSTATUS Read(PDEVICE_OBJECT Device, PIRP Irp) {
    UNREFERENCED_PARAMETER(Device);
    return Complete(Irp, STATUS_END_OF_FILE, 0);
}

static NTSTATUS Write(PDEVICE_OBJECT Device, PIRP Irp) {
    UNREFERENCED_PARAMETER(Device);
    return Complete(Irp, STATUS_SUCCESS, IoGetCurrentIrpStackLocation(Irp)->Parameters.Write.Length);
}

/* An empty file at any position. The I/O manager has compared the length with the class. */
static NTSTATUS QueryInformation(PDEVICE_OBJECT Device, PIRP Irp) {
    UNREFERENCED_PARAMETER(Device);
    PVOID Buffer = Irp->AssociatedIrp.SystemBuffer;
    switch (IoGetCurrentIrpStackLocation(Irp)->Parameters.QueryFile.FileInformationClass) {
    case FileStandardInformation:
        *(PFILE_STANDARD_INFORMATION)Buffer = (FILE_STANDARD_INFORMATION){.NumberOfLinks = 1};
        return Complete(Irp, STATUS_SUCCESS, sizeof(FILE_STANDARD_INFORMATION));
    case FilePositionInformation:
        *(PFILE_POSITION_INFORMATION)Buffer = (FILE_POSITION_INFORMATION){};
        return Complete(Irp, STATUS_SUCCESS, sizeof(FILE_POSITION_INFORMATION));
    default:
        return Complete(Irp, STATUS_INVALID_PARAMETER, 0);
    }
}

/* Buffers are of no interest here: the device asks for neither method. */
static VOID CreateNullDevice(VOID) {
    UNICODE_STRING Name = RTL_CONSTANT_STRING(L"\\Device\\Null"), Link = RTL_CONSTANT_STRING(L"\\GLOBAL??\\NUL");
    PDRIVER_OBJECT Driver = IopCreateDriverObject(&Module);
    PDEVICE_OBJECT Device;
    NTSTATUS Status = Driver == NULL
                          ? STATUS_INSUFFICIENT_RESOURCES
                          : IoCreateDevice(Driver, 0, &Name, FILE_DEVICE_NULL, FILE_DEVICE_SECURE_OPEN, FALSE, &Device);
    if (NT_SUCCESS(Status)) {
        Status = IoCreateSymbolicLink(&Link, &Name);
    }
    if (!NT_SUCCESS(Status)) {
        KeBugCheckEx(PHASE1_INITIALIZATION_FAILED, (ULONG_PTR)(LONG_PTR)Status, 0, 0, 0);
    }
    Driver->MajorFunction[IRP_MJ_CREATE] = Driver->MajorFunction[IRP_MJ_CLEANUP] = Succeed;
    Driver->MajorFunction[IRP_MJ_CLOSE] = Driver->MajorFunction[IRP_MJ_FLUSH_BUFFERS] = Succeed;
    Driver->MajorFunction[IRP_MJ_READ] = Read;
    Driver->MajorFunction[IRP_MJ_WRITE] = Write;
    Driver->MajorFunction[IRP_MJ_QUERY_INFORMATION] = QueryInformation;
    IopReadyDevices(Driver);
}
KE_STARTUP_STEP(StartAfterDisks, CreateNullDevice);
