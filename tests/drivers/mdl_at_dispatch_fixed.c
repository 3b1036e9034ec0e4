/* mdl_at_dispatch_fixed.c: paged pool is touched at DISPATCH_LEVEL while an MDL keeps it in memory.
 *
 * expect: completed
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
    KeRaiseIrql(DISPATCH_LEVEL, &OldIrql);
    for (ULONG i = 0; i < BYTES; i += PAGE_SIZE) {
        Buffer[i] = (UCHAR)i;
    }
    KeLowerIrql(OldIrql);
    MmUnlockPages(Mdl);
    IoFreeMdl(Mdl);
    ExFreePoolWithTag(Buffer, 'ldM ');
    return STATUS_SUCCESS;
}
