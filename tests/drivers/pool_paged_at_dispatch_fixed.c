/* pool_paged_at_dispatch_fixed.c: allocates before it takes the lock.
 *
 * expect: completed
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
    KeReleaseSpinLock(&Lock, OldIrql);
    if (Block != NULL) {
        ExFreePoolWithTag(Block, TAG);
    }
    return STATUS_SUCCESS;
}
