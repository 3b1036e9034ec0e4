/* stack_variable_array_fixed.c: the routine looks at what is left of the stack before it makes room there.
 *
 * expect: completed
 */
#include <ntddk.h>

DRIVER_INITIALIZE DriverEntry;

static volatile ULONG Wanted = 30000;
static KDPC Dpc;
static KEVENT Done;

static UCHAR CopyOf(ULONG Bytes) {
    if (IoGetRemainingStackSize() < Bytes + 4096) {
        return 0;
    }
    UCHAR Array[Bytes];
    RtlFillMemory(Array, 16, 7);
    return Array[15];
}

static VOID Routine(PKDPC Deferred, PVOID Context, PVOID Argument1, PVOID Argument2) {
    UNREFERENCED_PARAMETER(Deferred);
    UNREFERENCED_PARAMETER(Context);
    UNREFERENCED_PARAMETER(Argument1);
    UNREFERENCED_PARAMETER(Argument2);
    DbgPrint("%u\n", CopyOf(Wanted));
    KeSetEvent(&Done, IO_NO_INCREMENT, FALSE);
}

NTSTATUS DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath) {
    UNREFERENCED_PARAMETER(DriverObject);
    UNREFERENCED_PARAMETER(RegistryPath);
    KeInitializeEvent(&Done, NotificationEvent, FALSE);
    KeInitializeDpc(&Dpc, Routine, NULL);
    KeInsertQueueDpc(&Dpc, NULL, NULL);
    return KeWaitForSingleObject(&Done, Executive, KernelMode, FALSE, NULL);
}
