/* pair_client.c: opens the device of pair_server.c, and has it add 20 and 22. */
#include <ntddk.h>

#define IOCTL_PAIR_ADD CTL_CODE(FILE_DEVICE_UNKNOWN, 0x801, METHOD_BUFFERED, FILE_ANY_ACCESS)

DRIVER_INITIALIZE DriverEntry;

NTSTATUS DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath) {
    UNICODE_STRING Name = RTL_CONSTANT_STRING(L"\\Device\\PairServer");
    ULONG Numbers[2] = {20, 22}, Sum = 0;
    PFILE_OBJECT File;
    PDEVICE_OBJECT Device;
    IO_STATUS_BLOCK Result;
    KEVENT Done;
    UNREFERENCED_PARAMETER(DriverObject);
    UNREFERENCED_PARAMETER(RegistryPath);
    NTSTATUS Status = IoGetDeviceObjectPointer(&Name, FILE_READ_DATA, &File, &Device);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    KeInitializeEvent(&Done, NotificationEvent, FALSE);
    PIRP Irp = IoBuildDeviceIoControlRequest(IOCTL_PAIR_ADD, Device, Numbers, sizeof(Numbers), &Sum, sizeof(Sum), FALSE,
                                             &Done, &Result);
    Status = STATUS_INSUFFICIENT_RESOURCES;
    if (Irp != NULL) {
        Status = IoCallDriver(Device, Irp);
        if (Status == STATUS_PENDING) {
            KeWaitForSingleObject(&Done, Executive, KernelMode, FALSE, NULL);
            Status = Result.Status;
        }
    }
    DbgPrint("20 + 22 = %lu\n", Sum);
    ObDereferenceObject(File);
    return NT_SUCCESS(Status) && Sum != 42 ? STATUS_DATA_ERROR : Status;
}
