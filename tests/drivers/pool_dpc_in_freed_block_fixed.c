/* pool_dpc_in_freed_block_fixed.c: waits until the DPC cannot come any more.
 *
 * expect: completed
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
    KeCancelTimer(&Timer);
    KeFlushQueuedDpcs();
    ExFreePoolWithTag(Dpc, TAG);
    return STATUS_SUCCESS;
}
