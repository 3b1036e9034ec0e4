/* callback_handles.c: a driver takes a right out of each handle to a process, and out of its duplicate, at its altitude alone.
 *
 * expect: completed
 * run: --unload
 */
#include <ntifs.h>

typedef struct _LDR_DATA {
    LIST_ENTRY InLoadOrderLinks;
    PVOID Reserved[4];
    PVOID DllBase, EntryPoint;
    ULONG SizeOfImage;
    UNICODE_STRING FullDllName, BaseDllName;
    ULONG Flags;
} LDR_DATA, *PLDR_DATA;

static PVOID Registration;
static LONG Asked, AskedAgain, Told;

static OB_PREOP_CALLBACK_STATUS Before(PVOID Context, POB_PRE_OPERATION_INFORMATION Information) {
    UNREFERENCED_PARAMETER(Context);
    if (Information->Operation == OB_OPERATION_HANDLE_CREATE && Information->ObjectType == *PsProcessType) {
        Information->Parameters->CreateHandleInformation.DesiredAccess &= ~PROCESS_TERMINATE;
        InterlockedIncrement(&Asked);
    }
    if (Information->Operation == OB_OPERATION_HANDLE_DUPLICATE) {
        POB_PRE_DUPLICATE_HANDLE_INFORMATION Duplicate = &Information->Parameters->DuplicateHandleInformation;
        Duplicate->DesiredAccess &= ~PROCESS_TERMINATE;
        AskedAgain += Duplicate->SourceProcess == PsGetCurrentProcess() && Duplicate->TargetProcess == PsGetCurrentProcess() &&
                      Duplicate->OriginalDesiredAccess == PROCESS_ALL_ACCESS;
    }
    return OB_PREOP_SUCCESS;
}

static VOID After(PVOID Context, POB_POST_OPERATION_INFORMATION Information) {
    UNREFERENCED_PARAMETER(Context);
    if (NT_SUCCESS(Information->ReturnStatus) &&
        (Information->Parameters->CreateHandleInformation.GrantedAccess & PROCESS_TERMINATE) == 0) {
        InterlockedIncrement(&Told);
    }
}

static NTSTATUS Register(PVOID *Handle) {
    OB_OPERATION_REGISTRATION Operation = {PsProcessType, OB_OPERATION_HANDLE_CREATE | OB_OPERATION_HANDLE_DUPLICATE,
                                           Before, After};
    OB_CALLBACK_REGISTRATION Callbacks = {OB_FLT_REGISTRATION_VERSION, 1, RTL_CONSTANT_STRING(L"321000"), NULL,
                                          &Operation};
    return ObRegisterCallbacks(&Callbacks, Handle);
}

static VOID Unload(PDRIVER_OBJECT DriverObject) {
    UNREFERENCED_PARAMETER(DriverObject);
    ObUnRegisterCallbacks(Registration);
}

NTSTATUS DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath) {
    CLIENT_ID System = {(HANDLE)4, NULL};
    OBJECT_ATTRIBUTES Attributes;
    HANDLE Handle, Copy;
    PVOID Second;
    UNREFERENCED_PARAMETER(RegistryPath);
    DriverObject->DriverUnload = Unload;
    if (Register(&Registration) != STATUS_ACCESS_DENIED) {
        return STATUS_UNSUCCESSFUL; /* the image was not linked with /INTEGRITYCHECK */
    }
    ((PLDR_DATA)DriverObject->DriverSection)->Flags |= 0x20;
    NTSTATUS Status = Register(&Registration);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    InitializeObjectAttributes(&Attributes, NULL, OBJ_KERNEL_HANDLE, NULL, NULL);
    Status = ZwOpenProcess(&Handle, PROCESS_TERMINATE | PROCESS_QUERY_INFORMATION, &Attributes, &System);
    if (NT_SUCCESS(Status)) {
        Status = ZwDuplicateObject(ZwCurrentProcess(), Handle, ZwCurrentProcess(), &Copy, PROCESS_ALL_ACCESS,
                                   OBJ_KERNEL_HANDLE, DUPLICATE_CLOSE_SOURCE);
    }
    if (NT_SUCCESS(Status)) {
        ZwClose(Copy);
    }
    if (Register(&Second) != STATUS_FLT_INSTANCE_ALTITUDE_COLLISION || Asked != 1 || AskedAgain != 1 || Told != 2) {
        ObUnRegisterCallbacks(Registration);
        return STATUS_UNSUCCESSFUL;
    }
    return Status;
}
