/* trap_fast_fail_fixed.c: counts from one.
 *
 * expect: completed
 */
#include <ntddk.h>

DRIVER_INITIALIZE DriverEntry;

NTSTATUS DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath) {
    UNREFERENCED_PARAMETER(DriverObject);
    UNREFERENCED_PARAMETER(RegistryPath);
    volatile LONG References = 1;
    if (InterlockedDecrement(&References) < 0) {
        RtlFailFast(FAST_FAIL_INVALID_REFERENCE_COUNT);
    }
    return STATUS_SUCCESS;
}
