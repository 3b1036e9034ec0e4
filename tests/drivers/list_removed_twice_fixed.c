/* list_removed_twice_fixed.c: removes it once.
 *
 * expect: completed
 */
#include <ntddk.h>

DRIVER_INITIALIZE DriverEntry;

NTSTATUS DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath) {
    UNREFERENCED_PARAMETER(DriverObject);
    UNREFERENCED_PARAMETER(RegistryPath);
    LIST_ENTRY Head, First, Second;
    InitializeListHead(&Head);
    InsertTailList(&Head, &First);
    InsertTailList(&Head, &Second);
    RemoveEntryList(&First);
    RemoveEntryList(&Second);
    return STATUS_SUCCESS;
}
