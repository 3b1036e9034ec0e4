/* stack_large_array.c: an array of 40,000 bytes on a stack of 24 KiB, of which only the far end is written: below the guard
 * page lies another thread's stack. The compiler touches each page on the way in, so the function ends at its entry.
 *
 * expect: bugcheck 0x0000007F (8, *, stack, driver) in stack_large_array!Sum
 */
#include <ntddk.h>

DRIVER_INITIALIZE DriverEntry;

static ULONG Sum(UCHAR Start) {
    UCHAR Array[40000];
    RtlFillMemory(Array, 16, Start);
    return Array[0] + Array[15];
}

NTSTATUS DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath) {
    UNREFERENCED_PARAMETER(DriverObject);
    UNREFERENCED_PARAMETER(RegistryPath);
    DbgPrint("%u\n", Sum(3));
    return STATUS_SUCCESS;
}
