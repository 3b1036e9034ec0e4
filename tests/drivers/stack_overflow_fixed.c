/* stack_overflow_fixed.c: stops in time.
 *
 * expect: completed
 */
#include <ntddk.h>

DRIVER_INITIALIZE DriverEntry;

static ULONG Recurse(ULONG Depth) {
    volatile UCHAR Room[256];
    Room[0] = (UCHAR)Depth;
    return Depth == 0 ? 0 : Recurse(Depth - 1) + Room[0];
}

NTSTATUS DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath) {
    UNREFERENCED_PARAMETER(DriverObject);
    UNREFERENCED_PARAMETER(RegistryPath);
    DbgPrint("%u\n", Recurse(10));
    return STATUS_SUCCESS;
}
