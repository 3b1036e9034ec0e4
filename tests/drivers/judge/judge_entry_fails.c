/* judge_entry_fails.c: DriverEntry returns an error; the driver is unloaded again, and that is the verdict.
 *
 * expect: failed 0xC000009A
 */
#include <ntddk.h>

DRIVER_INITIALIZE DriverEntry;

NTSTATUS DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath) {
    UNREFERENCED_PARAMETER(DriverObject);
    UNREFERENCED_PARAMETER(RegistryPath);
    KdPrint(("no resources, says DriverEntry\n"));
    return STATUS_INSUFFICIENT_RESOURCES;
}
