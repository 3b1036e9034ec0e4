/* trap_fast_fail.c: finds its own reference count wrong, and stops the machine at once.
 *
 * expect: bugcheck 0x00000139 (0xE, stack, stack, 0) in trap_fast_fail!DriverEntry
 */
#include <ntddk.h>

DRIVER_INITIALIZE DriverEntry;

NTSTATUS DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath) {
    UNREFERENCED_PARAMETER(DriverObject);
    UNREFERENCED_PARAMETER(RegistryPath);
    volatile LONG References = 0;
    if (InterlockedDecrement(&References) < 0) {
        RtlFailFast(FAST_FAIL_INVALID_REFERENCE_COUNT);
    }
    return STATUS_SUCCESS;
}
