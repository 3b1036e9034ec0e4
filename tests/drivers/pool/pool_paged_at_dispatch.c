/* pool_paged_at_dispatch.c: allocates paged pool while it holds a spin lock.
 *
 * expect: bugcheck 0x000000C2 (8, 2, 1, 64) in pool_paged_at_dispatch!DriverEntry
 */
#include <ntddk.h>

DRIVER_INITIALIZE DriverEntry;

#define TAG 'looP'

NTSTATUS DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath) {
    UNREFERENCED_PARAMETER(DriverObject);
    UNREFERENCED_PARAMETER(RegistryPath);
    KSPIN_LOCK Lock;
    KIRQL OldIrql;
    KeInitializeSpinLock(&Lock);
    KeAcquireSpinLock(&Lock, &OldIrql);
    PVOID Block = ExAllocatePoolWithTag(PagedPool, 64, TAG);
    KeReleaseSpinLock(&Lock, OldIrql);
    ExFreePoolWithTag(Block, TAG);
    return STATUS_SUCCESS;
}
