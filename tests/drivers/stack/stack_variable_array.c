/* stack_variable_array.c: a DPC makes room on its stack for as many elements as a caller asked for: 30,000 bytes of 24 KiB.
 *
 * expect: bugcheck 0x0000007F (8, *, *, driver) in stack_variable_array!CopyOf
 */
#include <ntddk.h>

DRIVER_INITIALIZE DriverEntry;

static volatile ULONG Wanted = 30000;
static KDPC Dpc;
static KEVENT Done;

static UCHAR CopyOf(ULONG Bytes) {
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
