/* sample_event_share.c: a client gives the handle of its event and a time; the driver references it and sets it from a DPC.
 *
 * expect: completed
 * run: --unload
 */
#include <ntddk.h>
#include <wdmsec.h>

#define IOCTL_REGISTER_EVENT CTL_CODE(FILE_DEVICE_UNKNOWN, 0x900, METHOD_BUFFERED, FILE_WRITE_ACCESS)

/* {5F2D1A10-6B0C-4E55-9C1D-8A5B3E0D7F21} */
static const GUID ClassGuid = {0x5f2d1a10, 0x6b0c, 0x4e55, {0x9c, 0x1d, 0x8a, 0x5b, 0x3e, 0x0d, 0x7f, 0x21}};
DECLARE_CONST_UNICODE_STRING(DeviceName, L"\\Device\\SampleEvent");
DECLARE_CONST_UNICODE_STRING(LinkName, L"\\DosDevices\\SampleEvent");

typedef struct _REGISTER_EVENT {
    HANDLE Event;
    LARGE_INTEGER DueTime;
} REGISTER_EVENT, *PREGISTER_EVENT;

/* A client's wish; freed by the DPC. */
typedef struct _NOTIFICATION {
    KTIMER Timer;
    KDPC Dpc;
    PKEVENT Event;
} NOTIFICATION, *PNOTIFICATION;

DRIVER_INITIALIZE DriverEntry;
DRIVER_UNLOAD Unload;
_Dispatch_type_(IRP_MJ_CREATE) _Dispatch_type_(IRP_MJ_CLOSE) DRIVER_DISPATCH CreateClose;
_Dispatch_type_(IRP_MJ_DEVICE_CONTROL) DRIVER_DISPATCH DeviceControl;
KDEFERRED_ROUTINE Notify;

static NTSTATUS CompleteRequest(PIRP Irp, NTSTATUS Status) {
    Irp->IoStatus.Status = Status;
    Irp->IoStatus.Information = 0;
    IoCompleteRequest(Irp, IO_NO_INCREMENT);
    return Status;
}

NTSTATUS CreateClose(PDEVICE_OBJECT DeviceObject, PIRP Irp) {
    UNREFERENCED_PARAMETER(DeviceObject);
    return CompleteRequest(Irp, STATUS_SUCCESS);
}

VOID Notify(PKDPC Dpc, PVOID DeferredContext, PVOID SystemArgument1, PVOID SystemArgument2) {
    PNOTIFICATION Notification = (PNOTIFICATION)DeferredContext;
    UNREFERENCED_PARAMETER(Dpc);
    UNREFERENCED_PARAMETER(SystemArgument1);
    UNREFERENCED_PARAMETER(SystemArgument2);
    KeSetEvent(Notification->Event, IO_NO_INCREMENT, FALSE);
    ObDereferenceObject(Notification->Event);
    ExFreePoolWithTag(Notification, 'tnvE');
}

static NTSTATUS RegisterEvent(PREGISTER_EVENT Request) {
    PNOTIFICATION Notification =
        (PNOTIFICATION)ExAllocatePool2(POOL_FLAG_NON_PAGED, sizeof(NOTIFICATION), 'tnvE');
    if (Notification == NULL) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    NTSTATUS Status = ObReferenceObjectByHandle(Request->Event, SYNCHRONIZE | EVENT_MODIFY_STATE, *ExEventObjectType,
                                                KernelMode, (PVOID *)&Notification->Event, NULL);
    if (!NT_SUCCESS(Status)) {
        ExFreePoolWithTag(Notification, 'tnvE');
        return Status;
    }
    KeInitializeTimer(&Notification->Timer);
    KeInitializeDpc(&Notification->Dpc, Notify, Notification);
    KeSetTimer(&Notification->Timer, Request->DueTime, &Notification->Dpc);
    return STATUS_SUCCESS;
}

NTSTATUS DeviceControl(PDEVICE_OBJECT DeviceObject, PIRP Irp) {
    PIO_STACK_LOCATION Stack = IoGetCurrentIrpStackLocation(Irp);
    UNREFERENCED_PARAMETER(DeviceObject);
    if (Stack->Parameters.DeviceIoControl.IoControlCode != IOCTL_REGISTER_EVENT) {
        return CompleteRequest(Irp, STATUS_INVALID_DEVICE_REQUEST);
    }
    if (Stack->Parameters.DeviceIoControl.InputBufferLength < sizeof(REGISTER_EVENT)) {
        return CompleteRequest(Irp, STATUS_INVALID_PARAMETER);
    }
    NTSTATUS Status = IoValidateDeviceIoControlAccess(Irp, FILE_WRITE_ACCESS);
    if (NT_SUCCESS(Status)) {
        Status = RegisterEvent((PREGISTER_EVENT)Irp->AssociatedIrp.SystemBuffer);
    }
    return CompleteRequest(Irp, Status);
}

static NTSTATUS Ask(HANDLE Device, HANDLE Event, LONGLONG DueTime, ULONG Bytes) {
    REGISTER_EVENT Request = {Event, {.QuadPart = DueTime}};
    IO_STATUS_BLOCK Result;
    return ZwDeviceIoControlFile(Device, NULL, NULL, NULL, &Result, IOCTL_REGISTER_EVENT, &Request, Bytes, NULL, 0);
}

/* As an application would. */
static NTSTATUS UseDevice(VOID) {
    OBJECT_ATTRIBUTES Attributes;
    IO_STATUS_BLOCK Result;
    HANDLE Device, Event;
    InitializeObjectAttributes(&Attributes, (PUNICODE_STRING)&LinkName, OBJ_CASE_INSENSITIVE | OBJ_KERNEL_HANDLE, NULL, NULL);
    NTSTATUS Status = ZwOpenFile(&Device, GENERIC_WRITE | SYNCHRONIZE, &Attributes, &Result, 0,
                                 FILE_SYNCHRONOUS_IO_NONALERT);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    InitializeObjectAttributes(&Attributes, NULL, OBJ_KERNEL_HANDLE, NULL, NULL);
    Status = ZwCreateEvent(&Event, EVENT_ALL_ACCESS, &Attributes, NotificationEvent, FALSE);
    if (NT_SUCCESS(Status)) {
        BOOLEAN IsRight = Ask(Device, Event, 0, 4) == STATUS_INVALID_PARAMETER &&
                          Ask(Device, Device, 0, sizeof(REGISTER_EVENT)) == STATUS_OBJECT_TYPE_MISMATCH &&
                          Ask(Device, (HANDLE)0x7770, 0, sizeof(REGISTER_EVENT)) == STATUS_INVALID_HANDLE &&
                          Ask(Device, Event, -10000LL * 50, sizeof(REGISTER_EVENT)) == STATUS_SUCCESS;
        Status = IsRight ? ZwWaitForSingleObject(Event, FALSE, NULL) : STATUS_UNSUCCESSFUL;
        ZwClose(Event);
    }
    ZwClose(Device);
    return Status;
}

VOID Unload(PDRIVER_OBJECT DriverObject) {
    IoDeleteSymbolicLink((PUNICODE_STRING)&LinkName);
    KeFlushQueuedDpcs();
    IoDeleteDevice(DriverObject->DeviceObject);
}

NTSTATUS DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath) {
    PDEVICE_OBJECT DeviceObject;
    UNREFERENCED_PARAMETER(RegistryPath);
    NTSTATUS Status = IoCreateDeviceSecure(DriverObject, 0, (PUNICODE_STRING)&DeviceName, FILE_DEVICE_UNKNOWN,
                                           FILE_DEVICE_SECURE_OPEN, FALSE, &SDDL_DEVOBJ_SYS_ALL_ADM_ALL, &ClassGuid,
                                           &DeviceObject);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    DriverObject->MajorFunction[IRP_MJ_CREATE] = CreateClose;
    DriverObject->MajorFunction[IRP_MJ_CLOSE] = CreateClose;
    DriverObject->MajorFunction[IRP_MJ_DEVICE_CONTROL] = DeviceControl;
    DriverObject->DriverUnload = Unload;
    Status = IoCreateSymbolicLink((PUNICODE_STRING)&LinkName, (PUNICODE_STRING)&DeviceName);
    if (NT_SUCCESS(Status)) {
        DeviceObject->Flags &= ~DO_DEVICE_INITIALIZING; /* the client of this sample runs before DriverEntry returns */
        Status = UseDevice();
    }
    if (!NT_SUCCESS(Status)) {
        Unload(DriverObject);
    }
    return Status;
}
