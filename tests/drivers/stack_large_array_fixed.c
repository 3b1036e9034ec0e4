/* stack_large_array_fixed.c: the array comes from the pool.
 *
 * expect: completed
 */
#include <ntddk.h>

DRIVER_INITIALIZE DriverEntry;

static ULONG Sum(UCHAR Start) {
    PUCHAR Array = ExAllocatePoolWithTag(NonPagedPoolNx, 40000, 'yrrA');
    if (Array == NULL) {
        return 0;
    }
    RtlFillMemory(Array, 16, Start);
    ULONG Result = Array[0] + Array[15];
    ExFreePoolWithTag(Array, 'yrrA');
    return Result;
}

NTSTATUS DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath) {
    UNREFERENCED_PARAMETER(DriverObject);
    UNREFERENCED_PARAMETER(RegistryPath);
    DbgPrint("%u\n", Sum(3));
    return STATUS_SUCCESS;
}
