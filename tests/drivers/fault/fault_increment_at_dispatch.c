/* fault_increment_at_dispatch.c: counts in a structure that is not there, under a spin lock: an instruction that reads and
 * writes is a write, and the same read alone is a read.
 *
 * expect: bugcheck 0x000000D1 (0x10, 2, 1, driver) in fault_increment_at_dispatch!Count
 */
#include <ntddk.h>

DRIVER_INITIALIZE DriverEntry;

typedef struct _STATISTICS {
    LIST_ENTRY Link;
    ULONG Calls;
} STATISTICS;

static STATISTICS *volatile Statistics;
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
    Count(Statistics);
    return STATUS_SUCCESS;
}
