/* trap_illegal.c: comes to an instruction that does not exist.
 *
 * expect: bugcheck 0x0000007E (0xFFFFFFFFC000001D, driver, stack, stack) in trap_illegal!DriverEntry
 */
#include <ntddk.h>

DRIVER_INITIALIZE DriverEntry;

NTSTATUS DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath) {
    UNREFERENCED_PARAMETER(DriverObject);
    UNREFERENCED_PARAMETER(RegistryPath);
    __asm__ volatile("ud2");
    return STATUS_SUCCESS;
}
