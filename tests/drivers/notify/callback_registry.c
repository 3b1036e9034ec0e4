/* callback_registry.c: a registry callback is registered, never called, and unregistered once.
 *
 * expect: completed
 */
#include <wdm.h>

static NTSTATUS Callback(PVOID Context, PVOID Argument1, PVOID Argument2) {
    REG_NOTIFY_CLASS Class = (REG_NOTIFY_CLASS)(ULONG_PTR)Argument1;
    UNREFERENCED_PARAMETER(Context);
    switch (Class) {
    case RegNtSetValueKey: {
        PREG_SET_VALUE_KEY_INFORMATION Information = (PREG_SET_VALUE_KEY_INFORMATION)Argument2;
        if (Information->Type == REG_DWORD) {
            DbgPrint("%wZ = %u\n", Information->ValueName, *(PULONG)Information->Data);
        }
        break;
    }
    case RegNtDeleteKey:
        DbgPrint("a key goes\n");
        break;
    default:
        break;
    }
    return STATUS_SUCCESS;
}

NTSTATUS DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath) {
    LARGE_INTEGER Cookie, Other;
    UNICODE_STRING Altitude;
    UNREFERENCED_PARAMETER(RegistryPath);
    NTSTATUS Status = CmRegisterCallback(Callback, NULL, &Cookie);
    RtlInitUnicodeString(&Altitude, L"360000.5");
    if (!NT_SUCCESS(Status) ||
        !NT_SUCCESS(CmRegisterCallbackEx(Callback, &Altitude, DriverObject, NULL, &Other, NULL)) ||
        CmRegisterCallbackEx(Callback, &Altitude, DriverObject, NULL, &Other, NULL) !=
            STATUS_FLT_INSTANCE_ALTITUDE_COLLISION) {
        return STATUS_UNSUCCESSFUL;
    }
    Status = CmUnRegisterCallback(Cookie);
    if (CmUnRegisterCallback(Cookie) != STATUS_INVALID_PARAMETER || !NT_SUCCESS(CmUnRegisterCallback(Other))) {
        return STATUS_UNSUCCESSFUL;
    }
    return Status;
}
