/* list_overwritten_fixed.c: takes the entry out first.
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
    RemoveEntryList(&First);
    First.Flink = First.Blink = &First;
    InsertTailList(&Head, &Second);
    return STATUS_SUCCESS;
}
