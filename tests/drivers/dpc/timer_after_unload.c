/* timer_after_unload.c: DriverUnload sets a timer and returns: it would expire where the code was.
 *
 * expect: bugcheck 0x000000D1 (driver, 2, 8, driver)
 * run: --unload
 */
#include <ntddk.h>

DRIVER_INITIALIZE DriverEntry;

static struct {
    KTIMER Timer;
    KDPC Dpc;
} * Shared;

static VOID Expired(PKDPC DpcObject, PVOID Context, PVOID Argument1, PVOID Argument2) {
    UNREFERENCED_PARAMETER(DpcObject);
    UNREFERENCED_PARAMETER(Context);
    UNREFERENCED_PARAMETER(Argument1);
    UNREFERENCED_PARAMETER(Argument2);
    DbgPrint("expired\n");
}

static VOID Unload(PDRIVER_OBJECT DriverObject) {
    LARGE_INTEGER Later = {.QuadPart = -3000000};
    UNREFERENCED_PARAMETER(DriverObject);
    KeSetTimer(&Shared->Timer, Later, &Shared->Dpc);
    DbgPrint("unloading\n");
}

NTSTATUS DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath) {
    UNREFERENCED_PARAMETER(RegistryPath);
    DriverObject->DriverUnload = Unload;
    Shared = ExAllocatePool2(POOL_FLAG_NON_PAGED, sizeof(*Shared), 'emiT');
    if (Shared == NULL) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    KeInitializeTimer(&Shared->Timer);
    KeInitializeDpc(&Shared->Dpc, Expired, NULL);
    return STATUS_SUCCESS;
}
