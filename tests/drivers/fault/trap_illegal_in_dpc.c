/* trap_illegal_in_dpc.c: an exception in a DPC: no thread is to blame.
 *
 * expect: bugcheck 0x0000001E (0xFFFFFFFFC000001D, driver, 0, 0) in trap_illegal_in_dpc!Routine
 */
#include <ntddk.h>

DRIVER_INITIALIZE DriverEntry;

static KDPC Dpc;
static KEVENT Done;

static VOID Routine(PKDPC This, PVOID Context, PVOID Argument1, PVOID Argument2) {
    UNREFERENCED_PARAMETER(This);
    UNREFERENCED_PARAMETER(Argument1);
    UNREFERENCED_PARAMETER(Argument2);
    UNREFERENCED_PARAMETER(Context);
    __asm__ volatile("ud2");
    KeSetEvent(&Done, IO_NO_INCREMENT, FALSE);
}

NTSTATUS DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath) {
    UNREFERENCED_PARAMETER(DriverObject);
    UNREFERENCED_PARAMETER(RegistryPath);
    KeInitializeEvent(&Done, NotificationEvent, FALSE);
    KeInitializeDpc(&Dpc, Routine, NULL);
    KeInsertQueueDpc(&Dpc, NULL, NULL);
    KeWaitForSingleObject(&Done, Executive, KernelMode, FALSE, NULL);
    return STATUS_SUCCESS;
}
