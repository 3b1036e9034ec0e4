/* list_removed_twice.c: removes an entry from its list twice.
 *
 * expect: bugcheck 0x00000139 (3, stack, stack, 0) in list_removed_twice
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
    RemoveEntryList(&First);
    return STATUS_SUCCESS;
}
