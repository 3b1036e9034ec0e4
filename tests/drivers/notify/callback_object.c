/* callback_object.c: two drivers' worth of a callback object: one routine notified at PASSIVE_LEVEL and at DISPATCH_LEVEL.
 *
 * expect: completed
 */
#include <ntddk.h>

static LONG Calls;
static KIRQL Highest;

static VOID Routine(PVOID Context, PVOID Argument1, PVOID Argument2) {
    if (Context == &Calls && Argument1 == (PVOID)1 && Argument2 == (PVOID)2) {
        InterlockedIncrement(&Calls);
    }
    Highest = max(Highest, KeGetCurrentIrql());
}

NTSTATUS DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath) {
    PCALLBACK_OBJECT Object, Same, PowerState;
    UNICODE_STRING Name = RTL_CONSTANT_STRING(L"\\Callback\\OurOwn"),
                   Power = RTL_CONSTANT_STRING(L"\\Callback\\PowerState");
    OBJECT_ATTRIBUTES Attributes;
    KIRQL OldIrql;
    UNREFERENCED_PARAMETER(DriverObject);
    UNREFERENCED_PARAMETER(RegistryPath);
    InitializeObjectAttributes(&Attributes, &Name, OBJ_CASE_INSENSITIVE, NULL, NULL);
    if (ExCreateCallback(&Object, &Attributes, FALSE, TRUE) != STATUS_OBJECT_NAME_NOT_FOUND ||
        !NT_SUCCESS(ExCreateCallback(&Object, &Attributes, TRUE, FALSE)) ||
        !NT_SUCCESS(ExCreateCallback(&Same, &Attributes, FALSE, FALSE)) || Same != Object) {
        return STATUS_UNSUCCESSFUL;
    }
    PVOID Registered = ExRegisterCallback(Object, Routine, &Calls);
    if (Registered == NULL || ExRegisterCallback(Object, Routine, &Calls) != NULL) {
        return STATUS_UNSUCCESSFUL; /* the object allows one */
    }
    ExNotifyCallback(Object, (PVOID)1, (PVOID)2);
    KeRaiseIrql(DISPATCH_LEVEL, &OldIrql);
    ExNotifyCallback(Same, (PVOID)1, (PVOID)2);
    KeLowerIrql(OldIrql);
    ExUnregisterCallback(Registered);
    ExNotifyCallback(Object, (PVOID)1, (PVOID)2);
    ObDereferenceObject(Object);
    ObDereferenceObject(Same);
    InitializeObjectAttributes(&Attributes, &Power, OBJ_CASE_INSENSITIVE, NULL, NULL);
    NTSTATUS Status = ExCreateCallback(&PowerState, &Attributes, FALSE, TRUE);
    if (NT_SUCCESS(Status)) {
        ObDereferenceObject(PowerState);
    }
    return Calls == 2 && Highest == DISPATCH_LEVEL ? Status : STATUS_UNSUCCESSFUL;
}
