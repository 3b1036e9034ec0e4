/* page_section_unlocked_twice.c: unlocks its pageable section more often than it locked it.
 *
 * expect: bugcheck 0x0000001A (0x1010, *, 0, 0) in page_section_unlocked_twice!DriverEntry
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
    MmUnlockPagableImageSection(Section);
    return STATUS_SUCCESS;
}
