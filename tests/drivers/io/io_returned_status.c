/* io_returned_status.c: a dispatch routine's return value is its caller's, even if the request was completed otherwise;
 * another; for an error that is returned at once the status block and the event stay as they were.
 *
 * expect: completed
 */
#include <ntifs.h>

DRIVER_INITIALIZE DriverEntry;

#define CODE(Function) CTL_CODE(FILE_DEVICE_UNKNOWN, 0x800 + (Function), METHOD_BUFFERED, FILE_ANY_ACCESS)
#define UNTOUCHED 0x5A5A

/* The function number of a code is a row of this table. */
static const struct {
    NTSTATUS Completed, Returned;
    BOOLEAN IsWritten;
} Case[] = {
    {STATUS_SUCCESS, STATUS_SUCCESS, TRUE},
    {STATUS_SUCCESS, STATUS_IO_DEVICE_ERROR, FALSE},
    {STATUS_IO_DEVICE_ERROR, STATUS_IO_DEVICE_ERROR, FALSE},
    {STATUS_IO_DEVICE_ERROR, STATUS_SUCCESS, TRUE},
    {STATUS_BUFFER_OVERFLOW, STATUS_BUFFER_OVERFLOW, TRUE},
    {STATUS_SUCCESS, STATUS_BUFFER_OVERFLOW, TRUE},
};

static NTSTATUS Complete(PIRP Irp, NTSTATUS Status, ULONG_PTR Information) {
    Irp->IoStatus.Status = Status;
    Irp->IoStatus.Information = Information;
    IoCompleteRequest(Irp, IO_NO_INCREMENT);
    return Status;
}

static NTSTATUS OnControl(PDEVICE_OBJECT DeviceObject, PIRP Irp) {
    ULONG Row = IoGetCurrentIrpStackLocation(Irp)->Parameters.DeviceIoControl.IoControlCode >> 2 & 0x7FF;
    UNREFERENCED_PARAMETER(DeviceObject);
    Complete(Irp, Case[Row].Completed, 0);
    return Case[Row].Returned;
}

static NTSTATUS OnOther(PDEVICE_OBJECT DeviceObject, PIRP Irp) {
    UNREFERENCED_PARAMETER(DeviceObject);
    return Complete(Irp, STATUS_SUCCESS, 0);
}

static BOOLEAN IsRight(HANDLE File, HANDLE EventHandle, PKEVENT Event, ULONG Row) {
    IO_STATUS_BLOCK Result = {.Status = UNTOUCHED};
    NTSTATUS Status = ZwDeviceIoControlFile(File, EventHandle, NULL, NULL, &Result, CODE(Row), NULL, 0, NULL, 0);
    NTSTATUS Written = Case[Row].IsWritten ? Case[Row].Completed : UNTOUCHED;
    BOOLEAN IsSet = KeReadStateEvent(Event) != 0, IsRight = Status == Case[Row].Returned && Result.Status == Written;
    IsRight = IsRight && IsSet == Case[Row].IsWritten;
    if (!IsRight) {
        DbgPrint("row %u: returned %08x, status block %08x, event %u\n", Row, Status, Result.Status, IsSet);
    }
    return IsRight;
}

NTSTATUS DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath) {
    UNICODE_STRING Name = RTL_CONSTANT_STRING(L"\\Device\\ReturnedStatus");
    OBJECT_ATTRIBUTES Attributes;
    PDEVICE_OBJECT Device;
    IO_STATUS_BLOCK Opened;
    HANDLE File, EventHandle;
    PVOID Event;
    BOOLEAN IsRightSoFar = TRUE;
    UNREFERENCED_PARAMETER(RegistryPath);
    DriverObject->MajorFunction[IRP_MJ_DEVICE_CONTROL] = OnControl;
    DriverObject->MajorFunction[IRP_MJ_CREATE] = DriverObject->MajorFunction[IRP_MJ_CLOSE] = OnOther;
    DriverObject->MajorFunction[IRP_MJ_CLEANUP] = OnOther;
    NTSTATUS Status = IoCreateDevice(DriverObject, 0, &Name, FILE_DEVICE_UNKNOWN, 0, FALSE, &Device);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    Device->Flags &= ~DO_DEVICE_INITIALIZING;
    InitializeObjectAttributes(&Attributes, &Name, OBJ_KERNEL_HANDLE, NULL, NULL);
    Status = ZwOpenFile(&File, SYNCHRONIZE, &Attributes, &Opened, 0, FILE_SYNCHRONOUS_IO_NONALERT);
    if (NT_SUCCESS(Status)) {
        InitializeObjectAttributes(&Attributes, NULL, OBJ_KERNEL_HANDLE, NULL, NULL);
        ZwCreateEvent(&EventHandle, EVENT_ALL_ACCESS, &Attributes, NotificationEvent, FALSE);
        ObReferenceObjectByHandle(EventHandle, EVENT_ALL_ACCESS, *ExEventObjectType, KernelMode, &Event, NULL);
        for (ULONG Row = 0; Row < RTL_NUMBER_OF(Case); Row++) {
            IsRightSoFar &= IsRight(File, EventHandle, (PKEVENT)Event, Row);
        }
        ObDereferenceObject(Event);
        ZwClose(EventHandle);
        ZwClose(File);
        Status = IsRightSoFar ? STATUS_SUCCESS : STATUS_UNSUCCESSFUL;
    }
    IoDeleteDevice(Device);
    return Status;
}
