/* pool_dpc_in_freed_block.c: frees the DPC of a timer that is set; the timer itself lies elsewhere.
 *
 * expect: bugcheck 0x000000C7 (1, nonpaged, nonpaged, nonpaged) in pool_dpc_in_freed_block!DriverEntry
 */
#include <ntddk.h>

DRIVER_INITIALIZE DriverEntry;

#define TAG 'looP'

static KTIMER Timer;
static KDEFERRED_ROUTINE Expired;

static VOID Expired(PKDPC Dpc, PVOID Context, PVOID Argument1, PVOID Argument2) {
    UNREFERENCED_PARAMETER(Dpc);
    UNREFERENCED_PARAMETER(Context);
    UNREFERENCED_PARAMETER(Argument1);
    UNREFERENCED_PARAMETER(Argument2);
}

NTSTATUS DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath) {
    UNREFERENCED_PARAMETER(DriverObject);
    UNREFERENCED_PARAMETER(RegistryPath);
    LARGE_INTEGER Due = {.QuadPart = -10 * 1000 * 1000};
    PKDPC Dpc = ExAllocatePoolWithTag(NonPagedPoolNx, 2 * PAGE_SIZE, TAG);
    KeInitializeDpc(Dpc, Expired, NULL);
    KeInitializeTimer(&Timer);
    KeSetTimer(&Timer, Due, Dpc);
    ExFreePoolWithTag(Dpc, TAG);
    return STATUS_SUCCESS;
}
