/* ioctl_four_methods.c: DeviceIoControl through a symbolic link and a handle with the four transfer methods.
 *
 * expect: completed
 */
#include <ntddk.h>

DRIVER_INITIALIZE DriverEntry;

static NTSTATUS Complete(PIRP Irp, NTSTATUS Status, ULONG_PTR Information) {
    Irp->IoStatus.Status = Status;
    Irp->IoStatus.Information = Information;
    IoCompleteRequest(Irp, IO_NO_INCREMENT);
    return Status;
}

#define CODE(Method) CTL_CODE(FILE_DEVICE_UNKNOWN, 0x800, Method, FILE_ANY_ACCESS)
static UNICODE_STRING DeviceName = RTL_CONSTANT_STRING(L"\\Device\\FourMethods");
static UNICODE_STRING LinkName = RTL_CONSTANT_STRING(L"\\DosDevices\\FourMethods");

static NTSTATUS OnOther(PDEVICE_OBJECT DeviceObject, PIRP Irp) {
    UNREFERENCED_PARAMETER(DeviceObject);
    return Complete(Irp, STATUS_SUCCESS, 0);
}

/* The output is the input plus one. */
static NTSTATUS OnControl(PDEVICE_OBJECT DeviceObject, PIRP Irp) {
    PIO_STACK_LOCATION Stack = IoGetCurrentIrpStackLocation(Irp);
    PULONG Input = (PULONG)Irp->AssociatedIrp.SystemBuffer, Output = Input;
    UNREFERENCED_PARAMETER(DeviceObject);
    switch (METHOD_FROM_CTL_CODE(Stack->Parameters.DeviceIoControl.IoControlCode)) {
    case METHOD_IN_DIRECT:
    case METHOD_OUT_DIRECT:
        Output = (PULONG)MmGetSystemAddressForMdlSafe(Irp->MdlAddress, NormalPagePriority);
        break;
    case METHOD_NEITHER:
        Input = (PULONG)Stack->Parameters.DeviceIoControl.Type3InputBuffer;
        Output = (PULONG)Irp->UserBuffer;
        break;
    }
    if (Output == NULL) {
        return Complete(Irp, STATUS_INSUFFICIENT_RESOURCES, 0);
    }
    *Output = *Input + 1;
    return Complete(Irp, STATUS_SUCCESS, sizeof(ULONG));
}

static VOID Client(PVOID Context) {
    PDEVICE_OBJECT Device = (PDEVICE_OBJECT)Context;
    OBJECT_ATTRIBUTES Attributes;
    IO_STATUS_BLOCK Result;
    HANDLE Handle;
    InitializeObjectAttributes(&Attributes, &LinkName, OBJ_CASE_INSENSITIVE | OBJ_KERNEL_HANDLE, NULL, NULL);
    NTSTATUS Status = ZwCreateFile(&Handle, GENERIC_READ | GENERIC_WRITE, &Attributes, &Result, NULL,
                                   FILE_ATTRIBUTE_NORMAL, 0, FILE_OPEN, FILE_SYNCHRONOUS_IO_NONALERT, NULL, 0);
    for (ULONG Method = 0; Method < 4 && NT_SUCCESS(Status); Method++) {
        ULONG Input = 10 * Method, Output = 0;
        Status = ZwDeviceIoControlFile(Handle, NULL, NULL, NULL, &Result, CODE(Method), &Input, sizeof(Input), &Output,
                                       sizeof(Output));
        DbgPrint("method %u: 0x%08X, %u -> %u\n", Method, Status, Input, Output);
        if (Output != Input + 1) {
            KeBugCheck(0xDEAD0000 + Method);
        }
    }
    if (!NT_SUCCESS(Status)) {
        KeBugCheckEx(0xDEAD0010, (ULONG_PTR)Status, 0, 0, 0);
    }
    ZwClose(Handle);
    IoDeleteSymbolicLink(&LinkName);
    IoDeleteDevice(Device);
}

NTSTATUS DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath) {
    PDEVICE_OBJECT Device;
    HANDLE Thread;
    UNREFERENCED_PARAMETER(RegistryPath);
    DriverObject->MajorFunction[IRP_MJ_CREATE] = OnOther;
    DriverObject->MajorFunction[IRP_MJ_CLEANUP] = OnOther;
    DriverObject->MajorFunction[IRP_MJ_CLOSE] = OnOther;
    DriverObject->MajorFunction[IRP_MJ_DEVICE_CONTROL] = OnControl;
    NTSTATUS Status =
        IoCreateDevice(DriverObject, 0, &DeviceName, FILE_DEVICE_UNKNOWN, FILE_DEVICE_SECURE_OPEN, FALSE, &Device);
    if (NT_SUCCESS(Status)) {
        Device->Flags &= ~DO_DEVICE_INITIALIZING;
        Status = IoCreateSymbolicLink(&LinkName, &DeviceName);
    }
    if (NT_SUCCESS(Status)) {
        Status = PsCreateSystemThread(&Thread, 0, NULL, NULL, NULL, Client, Device);
    }
    if (NT_SUCCESS(Status)) {
        ZwClose(Thread);
    }
    return Status;
}
