/* image_unloaded_with_timer.c: DriverUnload leaves a timer behind that is set, in the driver's own data.
 *
 * expect: bugcheck 0x000000D4 (driver, 2, *, kernel)
 * run: --unload
 */
#include <ntddk.h>

DRIVER_INITIALIZE DriverEntry;
DRIVER_UNLOAD Unload;

static KTIMER Timer;

VOID Unload(PDRIVER_OBJECT DriverObject) {
    LARGE_INTEGER Due = {.QuadPart = -10 * 1000 * 1000};
    UNREFERENCED_PARAMETER(DriverObject);
    KeInitializeTimer(&Timer);
    KeSetTimer(&Timer, Due, NULL);
}

NTSTATUS DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath) {
    UNREFERENCED_PARAMETER(RegistryPath);
    DriverObject->DriverUnload = Unload;
    return STATUS_SUCCESS;
}
