/* driver.c: the driver object: a loaded driver, and the table of routines that it fills in.
 *
 * Whatever a DriverEntry leaves out of MajorFunction stays a routine that refuses the request, so IofCallDriver never
 * meets an empty slot. */
#include <kd.h>
#include <ldr.h>
#include "iop.h"

C_ASSERT(sizeof(DRIVER_OBJECT) == 0x150);
C_ASSERT(offsetof(DRIVER_OBJECT, DriverUnload) == 0x68);
C_ASSERT(offsetof(DRIVER_OBJECT, MajorFunction) == 0x70);

/* What a driver has hung on its object: IoAllocateDriverObjectExtension. The driver's bytes follow. */
typedef struct DECLSPEC_ALIGN(16) _CLIENT_EXTENSION {
    struct _CLIENT_EXTENSION *Next;
    PVOID Identification;
} CLIENT_EXTENSION, *PCLIENT_EXTENSION;

/* One object: driver object, extension, and the text of "\Driver\NAME". */
typedef struct _IOP_DRIVER {
    DRIVER_OBJECT Object;
    DRIVER_EXTENSION Extension;
    PCLIENT_EXTENSION Clients; /* guarded by IopDeviceLock */
    WCHAR Name[8 + LDR_NAME_BYTES];
} IOP_DRIVER, *PIOP_DRIVER;

static NTSTATUS IopInvalidDeviceRequest(PDEVICE_OBJECT DeviceObject, PIRP Irp) {
    UNREFERENCED_PARAMETER(DeviceObject);
    Irp->IoStatus.Status = STATUS_INVALID_DEVICE_REQUEST;
    Irp->IoStatus.Information = 0;
    IofCompleteRequest(Irp, IO_NO_INCREMENT);
    return STATUS_INVALID_DEVICE_REQUEST;
}

/* The last reference is gone: no device is left. */
static VOID DeleteDriver(PVOID Object) {
    PIOP_DRIVER Driver = Object;
    while (Driver->Clients != NULL) {
        PCLIENT_EXTENSION Client = Driver->Clients;
        Driver->Clients = Client->Next;
        ExFreePoolWithTag(Client, TAG_IO);
    }
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
    RtlInitUnicodeString(&Driver->Object.DriverName, Driver->Name);
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
    ObInsertName(Object, NULL, &Object->DriverName, OBJ_CASE_INSENSITIVE,
                 TRUE); /* a second one of that name has none */
    return Object;
}

/* What to call a device in a message. */
static VOID SayLeftBehind(PDRIVER_OBJECT DriverObject, PDEVICE_OBJECT Device) {
    struct {
        OBJECT_NAME_INFORMATION Information;
        WCHAR Text[64];
    } Name = {};
    ObQueryNameString(Device, &Name.Information, sizeof(Name), NULL);
    KdPrintf("io: %wZ has left its device %wZ behind\n", &DriverObject->DriverName, &Name.Information.Name);
}

/* PASSIVE_LEVEL, the driver's code is about to go: no routine of it runs any more. Devices that it has forgotten are
 * deleted here and named, because their names would lead to code that is gone. */
VOID IopDeleteDriverObject(PDRIVER_OBJECT DriverObject) {
    PAGED_CODE();
    while (DriverObject->DeviceObject) {
        PDEVICE_OBJECT Device = DriverObject->DeviceObject;
        SayLeftBehind(DriverObject, Device);
        IoDeleteDevice(Device);
    }
    ObRemoveName(DriverObject);
    ObfDereferenceObject(DriverObject);
}

static PCLIENT_EXTENSION FindClient(PIOP_DRIVER Driver, PVOID Identification) {
    PCLIENT_EXTENSION Client = Driver->Clients;
    while (Client != NULL && Client->Identification != Identification) {
        Client = Client->Next;
    }
    return Client;
}

/* Zeroed nonpaged memory that lives as long as the driver object. <= DISPATCH_LEVEL. STATUS_OBJECT_NAME_COLLISION when
 * there is one with this identification. wdm.h: IoAllocateDriverObjectExtension. */
NTSTATUS IoAllocateDriverObjectExtension(PDRIVER_OBJECT DriverObject, PVOID ClientIdentificationAddress,
                                         ULONG DriverObjectExtensionSize, PVOID *DriverObjectExtension) {
    PIOP_DRIVER Driver = CONTAINING_RECORD(DriverObject, IOP_DRIVER, Object);
    SIZE_T Bytes = sizeof(CLIENT_EXTENSION) + DriverObjectExtensionSize;
    PCLIENT_EXTENSION Client = ExAllocatePoolWithTag(NonPagedPoolNx, Bytes, TAG_IO);
    *DriverObjectExtension = NULL;
    if (Client == NULL) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    memset(Client, 0, Bytes);
    Client->Identification = ClientIdentificationAddress;
    KIRQL OldIrql = KeAcquireSpinLockRaiseToDpc(&IopDeviceLock);
    BOOLEAN IsNew = FindClient(Driver, ClientIdentificationAddress) == NULL;
    if (IsNew) {
        Client->Next = Driver->Clients;
        Driver->Clients = Client;
    }
    KeReleaseSpinLock(&IopDeviceLock, OldIrql);
    if (!IsNew) {
        ExFreePoolWithTag(Client, TAG_IO);
        return STATUS_OBJECT_NAME_COLLISION;
    }
    *DriverObjectExtension = Client + 1;
    return STATUS_SUCCESS;
}

/* <= DISPATCH_LEVEL. NULL: none. wdm.h: IoGetDriverObjectExtension. */
PVOID IoGetDriverObjectExtension(PDRIVER_OBJECT DriverObject, PVOID ClientIdentificationAddress) {
    KIRQL OldIrql = KeAcquireSpinLockRaiseToDpc(&IopDeviceLock);
    PCLIENT_EXTENSION Client =
        FindClient(CONTAINING_RECORD(DriverObject, IOP_DRIVER, Object), ClientIdentificationAddress);
    KeReleaseSpinLock(&IopDeviceLock, OldIrql);
    return Client == NULL ? NULL : Client + 1;
}
