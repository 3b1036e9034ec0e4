/* handlecalls.c: calls that take a handle of any kind: to make a second one, and to describe it. */
#include "obp.h"
#include <ps.h>

/* Whether a handle is that of a process, of which there is one: System. */
static NTSTATUS CheckProcess(HANDLE Process) {
    PVOID Object;
    NTSTATUS Status = ObReferenceHandleWithAccess(Process, *PsProcessType, PROCESS_DUP_HANDLE, NULL, &Object);
    if (NT_SUCCESS(Status)) {
        ObfDereferenceObject(Object);
    }
    return Status;
}

/* PASSIVE_LEVEL. The new handle has DesiredAccess, or with DUPLICATE_SAME_ACCESS that of the source, whose attributes
 * DUPLICATE_SAME_ATTRIBUTES takes over. DUPLICATE_CLOSE_SOURCE closes the source in any case; with it TargetHandle may
 * be NULL. Runs the handle callbacks. STATUS_INVALID_HANDLE, STATUS_OBJECT_TYPE_MISMATCH, STATUS_ACCESS_DENIED (a
 * process handle without PROCESS_DUP_HANDLE), STATUS_INSUFFICIENT_RESOURCES. ntifs.h: ZwDuplicateObject. */
NTSTATUS ZwDuplicateObject(HANDLE SourceProcessHandle, HANDLE SourceHandle, HANDLE TargetProcessHandle,
                           PHANDLE TargetHandle, ACCESS_MASK DesiredAccess, ULONG HandleAttributes, ULONG Options) {
    PVOID Object;
    OBJECT_HANDLE_INFORMATION Source;
    if (TargetHandle != NULL) {
        *TargetHandle = NULL;
    }
    NTSTATUS Status = CheckProcess(SourceProcessHandle);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    Status = ObReferenceObjectByHandle(SourceHandle, 0, NULL, KernelMode, &Object, &Source);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    if (TargetHandle != NULL) {
        Status = CheckProcess(TargetProcessHandle);
        DesiredAccess = Options & DUPLICATE_SAME_ACCESS ? Source.GrantedAccess : DesiredAccess;
        HandleAttributes |= Options & DUPLICATE_SAME_ATTRIBUTES ? Source.HandleAttributes : 0;
        if (NT_SUCCESS(Status)) {
            Status =
                ObpInsertHandle(Object, DesiredAccess, HandleAttributes, OB_OPERATION_HANDLE_DUPLICATE, TargetHandle);
        }
    } else if (!(Options & DUPLICATE_CLOSE_SOURCE)) {
        Status = STATUS_INVALID_PARAMETER;
    }
    if (Options & DUPLICATE_CLOSE_SOURCE) {
        ZwClose(SourceHandle);
    }
    ObfDereferenceObject(Object);
    return Status;
}

static NTSTATUS QueryBasic(PVOID Object, const OBJECT_HANDLE_INFORMATION *Handle, PVOID Buffer, ULONG Length,
                           PULONG Needed) {
    *Needed = sizeof(PUBLIC_OBJECT_BASIC_INFORMATION);
    if (Length != sizeof(PUBLIC_OBJECT_BASIC_INFORMATION)) {
        return STATUS_INFO_LENGTH_MISMATCH;
    }
    *(PPUBLIC_OBJECT_BASIC_INFORMATION)Buffer = (PUBLIC_OBJECT_BASIC_INFORMATION){
        .Attributes = Handle->HandleAttributes,
        .GrantedAccess = Handle->GrantedAccess,
        .HandleCount = (ULONG)ObpHeader(Object)->HandleCount,
        .PointerCount = (ULONG)ObpHeader(Object)->PointerCount - 1, /* without the caller's */
    };
    return STATUS_SUCCESS;
}

/* The structure, and behind it the text of the type's name with a terminator. */
static NTSTATUS QueryType(PVOID Object, PVOID Buffer, ULONG Length, PULONG Needed) {
    PCSTR Name = ObGetType(Object)->Name;
    USHORT Characters = (USHORT)strlen(Name);
    PPUBLIC_OBJECT_TYPE_INFORMATION Type = Buffer;
    *Needed = sizeof(*Type) + (Characters + 1U) * (ULONG)sizeof(WCHAR);
    if (Length < *Needed) {
        return STATUS_INFO_LENGTH_MISMATCH;
    }
    PWCH Text = (PWCH)(Type + 1);
    *Type = (PUBLIC_OBJECT_TYPE_INFORMATION){
        .TypeName = {Characters * sizeof(WCHAR), (Characters + 1) * sizeof(WCHAR), Text}};
    for (USHORT i = 0; i <= Characters; i++) {
        Text[i] = (WCHAR)Name[i];
    }
    return STATUS_SUCCESS;
}

/* PASSIVE_LEVEL. Basic information wants just its length. ReturnLength may be NULL. STATUS_INFO_LENGTH_MISMATCH, with the
 * bytes that it takes; STATUS_INVALID_HANDLE; STATUS_INVALID_INFO_CLASS. ntifs.h: ZwQueryObject. */
NTSTATUS ZwQueryObject(HANDLE Handle, OBJECT_INFORMATION_CLASS ObjectInformationClass, PVOID ObjectInformation,
                       ULONG ObjectInformationLength, PULONG ReturnLength) {
    PVOID Object;
    OBJECT_HANDLE_INFORMATION Information;
    ULONG Needed = 0;
    NTSTATUS Status = ObReferenceObjectByHandle(Handle, 0, NULL, KernelMode, &Object, &Information);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    switch (ObjectInformationClass) {
    case ObjectBasicInformation:
        Status = QueryBasic(Object, &Information, ObjectInformation, ObjectInformationLength, &Needed);
        break;
    case ObjectNameInformation:
        Status = ObQueryNameString(Object, ObjectInformation, ObjectInformationLength, &Needed);
        break;
    case ObjectTypeInformation:
        Status = QueryType(Object, ObjectInformation, ObjectInformationLength, &Needed);
        break;
    default:
        Status = STATUS_INVALID_INFO_CLASS;
    }
    ObfDereferenceObject(Object);
    if (ReturnLength != NULL && Status != STATUS_INVALID_INFO_CLASS) {
        *ReturnLength = Needed;
    }
    return Status;
}
