/* pool_paged_free_at_dispatch.c: frees paged pool while it holds a spin lock.
 *
 * expect: bugcheck 0x000000C2 (9, 2, 1, paged) in pool_paged_free_at_dispatch!DriverEntry
 */
#include <ntddk.h>

DRIVER_INITIALIZE DriverEntry;

#define TAG 'looP'

NTSTATUS DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath) {
    UNREFERENCED_PARAMETER(DriverObject);
    UNREFERENCED_PARAMETER(RegistryPath);
    KSPIN_LOCK Lock;
    KIRQL OldIrql;
    PVOID Block = ExAllocatePoolWithTag(PagedPool, 64, TAG);
    KeInitializeSpinLock(&Lock);
    KeAcquireSpinLock(&Lock, &OldIrql);
    ExFreePoolWithTag(Block, TAG);
    KeReleaseSpinLock(&Lock, OldIrql);
    return STATUS_SUCCESS;
}
