/* mdl_at_dispatch.c: paged pool is touched at DISPATCH_LEVEL after its MDL was unlocked, and the pages were taken.
 *
 * expect: bugcheck 0x000000D1 (paged, 2, *, driver) in mdl_at_dispatch
 * run: --verifier=irql
 */
#include <ntddk.h>

DRIVER_INITIALIZE DriverEntry;

#define BYTES (4 * PAGE_SIZE)

NTSTATUS DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath) {
    KIRQL OldIrql;
    UNREFERENCED_PARAMETER(DriverObject);
    UNREFERENCED_PARAMETER(RegistryPath);
    PUCHAR Buffer = (PUCHAR)ExAllocatePoolWithTag(PagedPool, BYTES, 'ldM ');
    PMDL Mdl = Buffer == NULL ? NULL : IoAllocateMdl(Buffer, BYTES, FALSE, FALSE, NULL);
    if (Mdl == NULL) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    MmProbeAndLockPages(Mdl, KernelMode, IoWriteAccess);
    MmUnlockPages(Mdl);
    KeRaiseIrql(DISPATCH_LEVEL, &OldIrql);
    for (ULONG i = 0; i < BYTES; i += PAGE_SIZE) {
        Buffer[i] = (UCHAR)i;
    }
    KeLowerIrql(OldIrql);
    IoFreeMdl(Mdl);
    ExFreePoolWithTag(Buffer, 'ldM ');
    return STATUS_SUCCESS;
}
