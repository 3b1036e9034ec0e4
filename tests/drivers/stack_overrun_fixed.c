/* stack_overrun_fixed.c: keeps to the array.
 *
 * expect: completed
 */
#include <ntddk.h>

DRIVER_INITIALIZE DriverEntry;

static VOID Fill(SIZE_T Bytes) {
    CHAR Array[16];
    RtlFillMemory(Array, Bytes, 'A');
    DbgPrint("%c\n", Array[0]);
}

NTSTATUS DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath) {
    UNREFERENCED_PARAMETER(DriverObject);
    UNREFERENCED_PARAMETER(RegistryPath);
    Fill(16);
    return STATUS_SUCCESS;
}
