/* stack_overflow.c: calls itself without an end: the guard page below the stack is hit, and a double fault is all
 * that is left.
 *
 * expect: bugcheck 0x0000007F (8, *, stack, driver) in stack_overflow!Recurse
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
    DbgPrint("%u\n", Recurse(1000000));
    return STATUS_SUCCESS;
}
