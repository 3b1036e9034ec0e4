/* page_section_unlocked_twice_fixed.c: once each.
 *
 * expect: completed
 */
#include <ntddk.h>

DRIVER_INITIALIZE DriverEntry;

VOID Pageable(VOID);
#pragma alloc_text(PAGE, Pageable)

VOID Pageable(VOID) {
    DbgPrint("pageable code runs\n");
}

NTSTATUS DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath) {
    UNREFERENCED_PARAMETER(DriverObject);
    UNREFERENCED_PARAMETER(RegistryPath);
    PVOID Section = MmLockPagableCodeSection(Pageable);
    MmUnlockPagableImageSection(Section);
    return STATUS_SUCCESS;
}
