/* list_overwritten.c: clears an entry that is still in a list, and inserts another one behind it.
 *
 * expect: bugcheck 0x00000139 (3, stack, stack, 0) in list_overwritten
 */
#include <ntddk.h>

DRIVER_INITIALIZE DriverEntry;

NTSTATUS DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath) {
    UNREFERENCED_PARAMETER(DriverObject);
    UNREFERENCED_PARAMETER(RegistryPath);
    LIST_ENTRY Head, First, Second;
    InitializeListHead(&Head);
    InsertTailList(&Head, &First);
    First.Flink = First.Blink = &First;
    InsertTailList(&Head, &Second);
    return STATUS_SUCCESS;
}
