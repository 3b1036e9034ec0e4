/* stack_overrun.c: writes past the end of an array on its stack: the cookie before the return address is gone.
 *
 * expect: bugcheck 0x00000139 (2, stack, stack, 0) in stack_overrun!Fill
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
    Fill(64);
    return STATUS_SUCCESS;
}
