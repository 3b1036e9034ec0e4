/* driver.c: the driver object: a loaded driver, and the table of routines that it fills in.
 *
 * Each slot of MajorFunction that a DriverEntry leaves alone holds a routine that refuses the request, so
 * IofCallDriver never meets an empty one. */
#include <ldr.h>
#include "iop.h"

C_ASSERT(sizeof(DRIVER_OBJECT) == 0x150);
C_ASSERT(offsetof(DRIVER_OBJECT, DriverUnload) == 0x68);
C_ASSERT(offsetof(DRIVER_OBJECT, MajorFunction) == 0x70);

static NTSTATUS IopInvalidDeviceRequest(PDEVICE_OBJECT DeviceObject, PIRP Irp) {
    UNREFERENCED_PARAMETER(DeviceObject);
    Irp->IoStatus.Status = STATUS_INVALID_DEVICE_REQUEST;
    Irp->IoStatus.Information = 0;
    IofCompleteRequest(Irp, IO_NO_INCREMENT);
    return STATUS_INVALID_DEVICE_REQUEST;
}

/* The last reference is gone: no device is left. */
static VOID DeleteDriver(PVOID Object) {
    IopTellOfObject(Object, DriverGone);
}

struct _OBJECT_TYPE IopDriverType = {
    .Name = "Driver", .Delete = DeleteDriver, .ValidAccess = FILE_ALL_ACCESS, .WaitOffset = OB_NOT_WAITABLE};
static POBJECT_TYPE DriverTypePointer = &IopDriverType;
POBJECT_TYPE *IoDriverObjectType = &DriverTypePointer;

static VOID MakeName(PIOP_DRIVER Driver, PCSTR ModuleName) {
    static const WCHAR Directory[] = L"\\Driver\\";
    ULONG Length = RTL_NUMBER_OF(Directory) - 1;
    memcpy(Driver->Name, Directory, sizeof(Directory));
    while (*ModuleName && Length + 1 < RTL_NUMBER_OF(Driver->Name)) {
        Driver->Name[Length++] = (UCHAR)*ModuleName++;
    }
    Driver->Name[Length] = 0;
    USHORT Bytes = (USHORT)(Length * sizeof(WCHAR));
    Driver->Object.DriverName = (UNICODE_STRING){Bytes, (USHORT)(Bytes + sizeof(WCHAR)), Driver->Name};
    Driver->Extension.ServiceKeyName = Driver->Object.DriverName;
}

/* PASSIVE_LEVEL. NULL: no memory. Freed by IopDeleteDriverObject. */
PDRIVER_OBJECT IopCreateDriverObject(PKLDR_DATA_TABLE_ENTRY Module) {
    PAGED_CODE();
    PIOP_DRIVER Driver = ObCreateObject(&IopDriverType, sizeof(*Driver));
    if (Driver == NULL) {
        return NULL;
    }
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
    IopTellOfObject(Object, DriverCreated);
    return Object;
}

/* PASSIVE_LEVEL; the driver's code is about to go, and none of it runs any more. Devices that it has forgotten are
 * deleted here, with a message, because their names would lead to code that is gone. */
VOID IopDeleteDriverObject(PDRIVER_OBJECT DriverObject) {
    PAGED_CODE();
    while (DriverObject->DeviceObject) {
        PDEVICE_OBJECT Device = DriverObject->DeviceObject;
        IopTellOfObject(Device, DeviceForgotten);
        IoDeleteDevice(Device);
    }
    IopTellOfObject(DriverObject, DriverDeleted);
    ObfDereferenceObject(DriverObject);
}
