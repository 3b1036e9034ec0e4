/* driverextension.c: memory that a driver attaches to its driver object, found again by a key. */
#include "iop.h"

/* One of a driver's extensions (IoAllocateDriverObjectExtension). The driver's bytes follow. */
typedef struct DECLSPEC_ALIGN(16) _IOP_CLIENT {
    struct _IOP_CLIENT *Next;
    PVOID Identification;
} CLIENT_EXTENSION, *PCLIENT_EXTENSION;

static VOID FreeClients(PIOP_DRIVER Driver) {
    while (Driver->Clients != NULL) {
        PCLIENT_EXTENSION Client = Driver->Clients;
        Driver->Clients = Client->Next;
        ExFreePoolWithTag(Client, TAG_IO);
    }
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

/* The last reference is gone: no device is left. */
static VOID WatchObject(PVOID Object, IOP_OBJECT_EVENT Event) {
    if (Event == DriverGone) {
        FreeClients(Object);
    }
}
IOP_OBJECT_WATCH(WatchObject);
