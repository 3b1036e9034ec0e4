/* iotest.h: a driver with two stacked devices that the I/O tests send requests to. */
#ifndef _IOTEST_H_
#define _IOTEST_H_

#include <io.h>
#include <ldr.h>
#include "ktest.h"

#define CONTROL_BUFFERED CTL_CODE(0x8000, 0x800, METHOD_BUFFERED, FILE_ANY_ACCESS)
#define CONTROL_NEITHER CTL_CODE(0x8000, 0x801, METHOD_NEITHER, FILE_ANY_ACCESS)
#define CONTROL_OUT_DIRECT CTL_CODE(0x8000, 0x802, METHOD_OUT_DIRECT, FILE_ANY_ACCESS)
#define CONTROL_IN_DIRECT CTL_CODE(0x8000, 0x803, METHOD_IN_DIRECT, FILE_ANY_ACCESS)

/* The driver object belongs to the test module, under its own name. NULL, and the test has failed: no memory. */
static inline PDRIVER_OBJECT IotCreateDriver(VOID) {
    PDRIVER_OBJECT Driver = IopCreateDriverObject(LdrFindModule((ULONG64)IotCreateDriver));
    KT_EXPECT(Driver != NULL);
    return Driver;
}

/* Name may be NULL. */
static inline PDEVICE_OBJECT IotCreateDevice(PDRIVER_OBJECT Driver, PCWSTR Name, CCHAR StackSize) {
    UNICODE_STRING Text;
    PDEVICE_OBJECT Device = NULL;
    RtlInitUnicodeString(&Text, Name);
    KT_EXPECT_EQ(IoCreateDevice(Driver, 64, Name ? &Text : NULL, FILE_DEVICE_UNKNOWN, 0, FALSE, &Device),
                 STATUS_SUCCESS);
    Device->StackSize = StackSize;
    Device->Flags &= ~DO_DEVICE_INITIALIZING; /* there is no DriverEntry whose end would do it */
    return Device;
}

/* Sends a control request and waits for it. */
static inline IO_STATUS_BLOCK IotControl(PDEVICE_OBJECT Device, ULONG Code, PVOID Input, ULONG InputLength,
                                         PVOID Output, ULONG OutputLength) {
    KEVENT Done;
    IO_STATUS_BLOCK Result = {0};
    KeInitializeEvent(&Done, NotificationEvent, FALSE);
    PIRP Irp =
        IoBuildDeviceIoControlRequest(Code, Device, Input, InputLength, Output, OutputLength, FALSE, &Done, &Result);
    if (Irp == NULL) {
        KT_EXPECT(Irp != NULL);
        return Result;
    }
    NTSTATUS Status = IoCallDriver(Device, Irp);
    if (Status == STATUS_PENDING) {
        KeWaitForSingleObject(&Done, Executive, KernelMode, FALSE, NULL);
    } else if (NT_ERROR(Status)) {
        Result.Status = Status; /* nothing else tells it */
    }
    return Result;
}

static inline NTSTATUS IotComplete(PIRP Irp, NTSTATUS Status, ULONG_PTR Information) {
    Irp->IoStatus.Status = Status;
    Irp->IoStatus.Information = Information;
    IoCompleteRequest(Irp, IO_NO_INCREMENT);
    return Status;
}

static inline NTSTATUS IotSucceed(PDEVICE_OBJECT Device, PIRP Irp) {
    UNREFERENCED_PARAMETER(Device);
    return IotComplete(Irp, STATUS_SUCCESS, 0);
}

/* A driver whose device, \Device\KtControl, can be opened and closed, and nothing else. */
static inline PDRIVER_OBJECT IotCreateOpenable(PDEVICE_OBJECT *Device) {
    PDRIVER_OBJECT Driver = IotCreateDriver();
    Driver->MajorFunction[IRP_MJ_CREATE] = Driver->MajorFunction[IRP_MJ_CLEANUP] = Driver->MajorFunction[IRP_MJ_CLOSE] =
        IotSucceed;
    *Device = IotCreateDevice(Driver, L"\\Device\\KtControl", 1);
    return Driver;
}

static inline NTSTATUS IotOpen(PCWSTR Path, ACCESS_MASK Access, ULONG Options, PHANDLE Handle) {
    UNICODE_STRING Name;
    OBJECT_ATTRIBUTES Attributes;
    IO_STATUS_BLOCK Result;
    RtlInitUnicodeString(&Name, Path);
    InitializeObjectAttributes(&Attributes, &Name, OBJ_CASE_INSENSITIVE | OBJ_KERNEL_HANDLE, NULL, NULL);
    return ZwOpenFile(Handle, Access, &Attributes, &Result, 0, Options);
}

#endif
