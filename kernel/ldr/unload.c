/* unload.c: unloading a driver: its DriverUnload, everything that could still call it, its memory. */
#include "ldrp.h"
#include <io.h>
#include <kd.h>
#include <mm.h>
#include <ring.h>

/* PASSIVE. Only the verifier finds a timer or a DPC that is left behind, as on Windows; otherwise the walk of its list
 * falls into the hole (0xD4), or its routine is called there (0xD1). First the addresses count as "was a driver", then
 * they are unmapped: a late call ends in 0xCE. */
VOID LdrpRemoveModule(PKLDR_DATA_TABLE_ENTRY Module) {
    KeFlushQueuedDpcs(); /* a DPC that was queued before its timer was cancelled runs while its code is there */
    PVOID Base = Module->DllBase;
    SIZE_T Bytes = Module->SizeOfImage;
    if (KeVerifier != NULL) {
        KeVerifier->DriverUnloaded(Module);
    }
    Module->DriverObject = NULL;
    LdrpRetireModule(Module);
    MmReleaseDriverImage(Base, Bytes);
}

/* PASSIVE, on a worker thread. */
NTSTATUS LdrpUnloadDriver(PDRIVER_OBJECT DriverObject) {
    PKLDR_DATA_TABLE_ENTRY Module = DriverObject->DriverSection;
    if (DriverObject->DriverUnload == NULL) {
        return STATUS_INVALID_DEVICE_REQUEST;
    }
    DriverObject->DriverUnload(DriverObject);
    if (DriverObject->DeviceObject != NULL) {
        /* Each device refers to its driver: the image stays, as on Windows, until the last one is deleted. */
        KdPrintf("ldr: %s.sys: stays loaded: DriverUnload left a device object behind\n", Module->Name);
        return STATUS_DEVICE_NOT_READY;
    }
    IopDeleteDriverObject(DriverObject);
    LdrpRemoveModule(Module);
    return STATUS_SUCCESS;
}
