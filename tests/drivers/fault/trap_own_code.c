/* trap_own_code.c: stops the machine with a code and parameters of its own.
 *
 * expect: bugcheck 0x0BADCAFE (0x11, 0x22, 0x33, 0x44) in trap_own_code!DriverEntry
 */
#include <ntddk.h>

DRIVER_INITIALIZE DriverEntry;

NTSTATUS DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath) {
    UNREFERENCED_PARAMETER(DriverObject);
    UNREFERENCED_PARAMETER(RegistryPath);
    KeBugCheckEx(0x0BADCAFE, 0x11, 0x22, 0x33, 0x44);
    return STATUS_SUCCESS;
}
