/* driver.c: the driver object: what the system knows of a loaded driver, and the table of routines that it fills in.
 *
 * Whatever a DriverEntry leaves out of MajorFunction stays a routine that refuses the request, so IofCallDriver never
 * meets an empty slot. */
#include <kd.h>
#include <ldr.h>
#include "iop.h"

C_ASSERT(sizeof(DRIVER_OBJECT) == 0x150);
C_ASSERT(offsetof(DRIVER_OBJECT, DriverUnload) == 0x68);
C_ASSERT(offsetof(DRIVER_OBJECT, MajorFunction) == 0x70);

/* One piece of pool: driver object, extension, and the text of "\Driver\NAME". */
typedef struct _IOP_DRIVER {
    DRIVER_OBJECT Object;
    DRIVER_EXTENSION Extension;
    WCHAR Name[8 + sizeof(((PKLDR_DATA_TABLE_ENTRY)0)->Name)];
} IOP_DRIVER, *PIOP_DRIVER;

static NTSTATUS IopInvalidDeviceRequest(PDEVICE_OBJECT DeviceObject, PIRP Irp) {
    UNREFERENCED_PARAMETER(DeviceObject);
    Irp->IoStatus.Status = STATUS_INVALID_DEVICE_REQUEST;
    Irp->IoStatus.Information = 0;
    IofCompleteRequest(Irp, IO_NO_INCREMENT);
    return STATUS_INVALID_DEVICE_REQUEST;
}

static VOID MakeName(PIOP_DRIVER Driver, PCSTR ModuleName) {
    static const WCHAR Directory[] = L"\\Driver\\";
    ULONG Length = RTL_NUMBER_OF(Directory) - 1;
    memcpy(Driver->Name, Directory, sizeof(Directory));
    while (*ModuleName && Length + 1 < RTL_NUMBER_OF(Driver->Name)) {
        Driver->Name[Length++] = (UCHAR)*ModuleName++;
    }
    Driver->Name[Length] = 0;
    RtlInitUnicodeString(&Driver->Object.DriverName, Driver->Name);
    Driver->Extension.ServiceKeyName = Driver->Object.DriverName;
}

/* PASSIVE_LEVEL. NULL: no memory. Freed by IopDeleteDriverObject. */
PDRIVER_OBJECT IopCreateDriverObject(PKLDR_DATA_TABLE_ENTRY Module) {
    PAGED_CODE();
    PIOP_DRIVER Driver = ExAllocatePoolWithTag(NonPagedPoolNx, sizeof(*Driver), TAG_IO);
    if (Driver == NULL) {
        return NULL;
    }
    memset(Driver, 0, sizeof(*Driver));
    PDRIVER_OBJECT Object = &Driver->Object;
    Object->Type = IO_TYPE_DRIVER;
    Object->Size = sizeof(*Object);
    Object->DriverStart = Module->DllBase;
    Object->DriverSize = Module->SizeOfImage;
    Object->DriverSection = Module;
    Object->DriverExtension = &Driver->Extension;
    Object->DriverInit = (PDRIVER_INITIALIZE)Module->EntryPoint;
    Driver->Extension.DriverObject = Object;
    for (ULONG Major = 0; Major <= IRP_MJ_MAXIMUM_FUNCTION; Major++) {
        Object->MajorFunction[Major] = IopInvalidDeviceRequest;
    }
    MakeName(Driver, Module->Name);
    return Object;
}

/* PASSIVE_LEVEL, the driver's code is about to go: no routine of it runs any more. Devices that it has forgotten are
 * deleted here and named, because their names would lead to code that is gone. */
VOID IopDeleteDriverObject(PDRIVER_OBJECT DriverObject) {
    PAGED_CODE();
    while (DriverObject->DeviceObject) {
        PDEVICE_OBJECT Device = DriverObject->DeviceObject;
        KdPrintf("io: %wZ has left its device %wZ behind\n", &DriverObject->DriverName, &CONTAINING_RECORD(Device, IOP_DEVICE, Device)->Name);
        IoDeleteDevice(Device);
    }
    ExFreePoolWithTag(CONTAINING_RECORD(DriverObject, IOP_DRIVER, Object), TAG_IO);
}
