/* thread_wait_for_each_other.c: two threads wait for each other's end.
 *
 * expect: deadlock waits for the end of thread
 */
#include <ntddk.h>

DRIVER_INITIALIZE DriverEntry;

static PKTHREAD First, Second;
static KEVENT BothKnown;

static VOID WaitForSecond(PVOID Context) {
    UNREFERENCED_PARAMETER(Context);
    KeWaitForSingleObject(&BothKnown, Executive, KernelMode, FALSE, NULL);
    KeWaitForSingleObject(Second, Executive, KernelMode, FALSE, NULL);
}

static VOID WaitForFirst(PVOID Context) {
    UNREFERENCED_PARAMETER(Context);
    KeWaitForSingleObject(&BothKnown, Executive, KernelMode, FALSE, NULL);
    KeWaitForSingleObject(First, Executive, KernelMode, FALSE, NULL);
}

/* The object of a new thread, with a reference that is never given back. */
static PKTHREAD Start(PKSTART_ROUTINE Routine) {
    HANDLE Handle;
    PVOID Thread = NULL;
    if (NT_SUCCESS(PsCreateSystemThread(&Handle, THREAD_ALL_ACCESS, NULL, NULL, NULL, Routine, NULL))) {
        ObReferenceObjectByHandle(Handle, THREAD_ALL_ACCESS, *PsThreadType, KernelMode, &Thread, NULL);
        ZwClose(Handle);
    }
    return Thread;
}

NTSTATUS DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath) {
    UNREFERENCED_PARAMETER(DriverObject);
    UNREFERENCED_PARAMETER(RegistryPath);
    KeInitializeEvent(&BothKnown, NotificationEvent, FALSE);
    First = Start(WaitForSecond);
    Second = Start(WaitForFirst);
    KeSetEvent(&BothKnown, IO_NO_INCREMENT, FALSE);
    return First != NULL && Second != NULL ? STATUS_SUCCESS : STATUS_INSUFFICIENT_RESOURCES;
}
