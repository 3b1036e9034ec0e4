/* fault_increment_at_dispatch_fixed.c: the structure is allocated first.
 *
 * expect: completed
 */
#include <ntddk.h>

DRIVER_INITIALIZE DriverEntry;

typedef struct _STATISTICS {
    LIST_ENTRY Link;
    ULONG Calls;
} STATISTICS;

static KSPIN_LOCK Lock;

static VOID Count(STATISTICS *Where) {
    KIRQL OldIrql;
    KeAcquireSpinLock(&Lock, &OldIrql);
    Where->Calls++;
    KeReleaseSpinLock(&Lock, OldIrql);
}

NTSTATUS DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath) {
    UNREFERENCED_PARAMETER(DriverObject);
    UNREFERENCED_PARAMETER(RegistryPath);
    KeInitializeSpinLock(&Lock);
    STATISTICS *Statistics = ExAllocatePool2(POOL_FLAG_NON_PAGED, sizeof(*Statistics), 'tatS');
    if (Statistics == NULL) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    Count(Statistics);
    ExFreePoolWithTag(Statistics, 'tatS');
    return STATUS_SUCCESS;
}
