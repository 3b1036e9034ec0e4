/* notify.c: drivers' notify routines for processes, threads and images.
 *
 * Processes never come or go here. Threads: every system thread, told in the context of the one that creates it, and of
 * the thread itself at its end. Images: drivers, before DriverEntry. All routines run at PASSIVE_LEVEL. */
#include "psp.h"
#include <ldr.h>

enum { PlainRoutine, ExRoutine }; /* of a process routine: its prototype */

static PSP_CALLBACK_SET ProcessCallbacks, ThreadCallbacks, ImageCallbacks;

/* TRUE: the routine lies in an image that was linked with /INTEGRITYCHECK, or says so in its DriverSection. */
BOOLEAN PsIsIntegrityChecked(PVOID Routine) {
    PKLDR_DATA_TABLE_ENTRY Module = LdrFindModule((ULONG64)Routine);
    return Module != NULL && (Module->Flags & LDR_INTEGRITY_CHECKED) != 0;
}

/* Process routines may be registered once; there is no such rule for the others. */
static NTSTATUS SetProcessRoutine(PVOID Routine, ULONG_PTR Kind, BOOLEAN Remove) {
    if (Remove) {
        return PspRemoveCallback(&ProcessCallbacks, Routine, Kind) ? STATUS_SUCCESS : STATUS_PROCEDURE_NOT_FOUND;
    }
    if (PspHasCallback(&ProcessCallbacks, Routine, Kind)) {
        return STATUS_INVALID_PARAMETER;
    }
    return PspAddCallback(&ProcessCallbacks, Routine, Kind) ? STATUS_SUCCESS : STATUS_INVALID_PARAMETER;
}

/* PASSIVE_LEVEL. STATUS_INVALID_PARAMETER: registered already, or 64 are; STATUS_PROCEDURE_NOT_FOUND: not registered.
 * Removing waits until no CPU is inside the routine. wdm.h: PsSetCreateProcessNotifyRoutine. */
NTSTATUS PsSetCreateProcessNotifyRoutine(PCREATE_PROCESS_NOTIFY_ROUTINE NotifyRoutine, BOOLEAN Remove) {
    return SetProcessRoutine((PVOID)NotifyRoutine, PlainRoutine, Remove);
}

/* The same; STATUS_ACCESS_DENIED: the image that holds the routine is not integrity checked (flag 0x20). */
NTSTATUS PsSetCreateProcessNotifyRoutineEx(PCREATE_PROCESS_NOTIFY_ROUTINE_EX NotifyRoutine, BOOLEAN Remove) {
    if (!Remove && !PsIsIntegrityChecked((PVOID)NotifyRoutine)) {
        return STATUS_ACCESS_DENIED;
    }
    return SetProcessRoutine((PVOID)NotifyRoutine, ExRoutine, Remove);
}

/* The same. STATUS_INVALID_PARAMETER: an unknown type. */
NTSTATUS PsSetCreateProcessNotifyRoutineEx2(PSCREATEPROCESSNOTIFYTYPE NotifyType, PVOID NotifyInformation,
                                            BOOLEAN Remove) {
    if (NotifyType != PsCreateProcessNotifySubsystems) {
        return STATUS_INVALID_PARAMETER;
    }
    return PsSetCreateProcessNotifyRoutineEx((PCREATE_PROCESS_NOTIFY_ROUTINE_EX)NotifyInformation, Remove);
}

/* PASSIVE_LEVEL. STATUS_INSUFFICIENT_RESOURCES: there are 64. */
NTSTATUS PsSetCreateThreadNotifyRoutine(PCREATE_THREAD_NOTIFY_ROUTINE NotifyRoutine) {
    return PspAddCallback(&ThreadCallbacks, (PVOID)NotifyRoutine, 0) ? STATUS_SUCCESS : STATUS_INSUFFICIENT_RESOURCES;
}

/* <= APC_LEVEL. STATUS_PROCEDURE_NOT_FOUND. Waits until no CPU is inside the routine. */
NTSTATUS PsRemoveCreateThreadNotifyRoutine(PCREATE_THREAD_NOTIFY_ROUTINE NotifyRoutine) {
    return PspRemoveCallback(&ThreadCallbacks, (PVOID)NotifyRoutine, 0) ? STATUS_SUCCESS : STATUS_PROCEDURE_NOT_FOUND;
}

/* PASSIVE_LEVEL. STATUS_INSUFFICIENT_RESOURCES: there are 64. */
NTSTATUS PsSetLoadImageNotifyRoutine(PLOAD_IMAGE_NOTIFY_ROUTINE NotifyRoutine) {
    return PspAddCallback(&ImageCallbacks, (PVOID)NotifyRoutine, 0) ? STATUS_SUCCESS : STATUS_INSUFFICIENT_RESOURCES;
}

/* <= APC_LEVEL. STATUS_PROCEDURE_NOT_FOUND. Waits until no CPU is inside the routine. */
NTSTATUS PsRemoveLoadImageNotifyRoutine(PLOAD_IMAGE_NOTIFY_ROUTINE NotifyRoutine) {
    return PspRemoveCallback(&ImageCallbacks, (PVOID)NotifyRoutine, 0) ? STATUS_SUCCESS : STATUS_PROCEDURE_NOT_FOUND;
}

/* In the context of the creator, or of the thread that ends. */
static VOID NotifyOfThread(PETHREAD Thread, KE_THREAD_EVENT Event) {
    ULONG_PTR Kind;
    if ((Event != ThreadCreated && Event != ThreadEnds) || ThreadCallbacks.Count == 0 || KiCurrentIrql() > APC_LEVEL) {
        return;
    }
    for (ULONG i = 0; i < PSP_MAXIMUM_CALLBACKS; i++) {
        PCREATE_THREAD_NOTIFY_ROUTINE Routine =
            (PCREATE_THREAD_NOTIFY_ROUTINE)PspEnterCallback(&ThreadCallbacks, i, &Kind);
        if (Routine != NULL) {
            Routine(Thread->Cid.UniqueProcess, Thread->Cid.UniqueThread, Event == ThreadCreated);
            PspLeaveCallback(&ThreadCallbacks, i);
        }
    }
}
KE_THREAD_WATCH(1, NotifyOfThread);

static VOID NotifyOfImage(PUNICODE_STRING Name, PVOID Base, SIZE_T Bytes) {
    ULONG_PTR Kind;
    for (ULONG i = 0; ImageCallbacks.Count != 0 && i < PSP_MAXIMUM_CALLBACKS; i++) {
        IMAGE_INFO Information = {.ImageBase = Base, .ImageSize = Bytes};
        Information.ImageAddressingMode = IMAGE_ADDRESSING_MODE_32BIT;
        Information.SystemModeImage = 1;
        PLOAD_IMAGE_NOTIFY_ROUTINE Routine = (PLOAD_IMAGE_NOTIFY_ROUTINE)PspEnterCallback(&ImageCallbacks, i, &Kind);
        if (Routine != NULL) {
            Routine(Name, NULL, &Information);
            PspLeaveCallback(&ImageCallbacks, i);
        }
    }
}
KE_ATTACH(LdrImageHook, NotifyOfImage);
