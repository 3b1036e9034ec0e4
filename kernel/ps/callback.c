/* callback.c: a fixed set of routines for one kind of event, removable while others run.
 *
 * A slot is free while Routine is NULL. A caller of a routine holds the slot's rundown protection, so that removing
 * waits until all callers are out: afterwards the driver may go away. A routine that removes itself waits forever, as on
 * Windows. */
#include "psp.h"

KE_DECLARE_LOCK(PspCallbackLock, RANK_OBJECT, "the notify routines for processes, threads and images");

/* See psp.h. */
BOOLEAN PspAddCallback(PPSP_CALLBACK_SET Set, PVOID Routine, ULONG_PTR Kind) {
    KIRQL OldIrql;
    BOOLEAN IsAdded = FALSE;
    KeAcquireSpinLock(&PspCallbackLock, &OldIrql);
    for (ULONG i = 0; Routine != NULL && i < PSP_MAXIMUM_CALLBACKS && !IsAdded; i++) {
        PPSP_CALLBACK Slot = &Set->Slots[i];
        if (Slot->Routine == NULL) {
            ExInitializeRundownProtection(&Slot->Rundown);
            Slot->Kind = Kind;
            Slot->Routine = Routine;
            Set->Count++;
            IsAdded = TRUE;
        }
    }
    KeReleaseSpinLock(&PspCallbackLock, OldIrql);
    return IsAdded;
}

/* The slot of a routine that is not being removed already. Lock held. */
static PPSP_CALLBACK FindSlot(PPSP_CALLBACK_SET Set, PVOID Routine, ULONG_PTR Kind) {
    for (ULONG i = 0; i < PSP_MAXIMUM_CALLBACKS; i++) {
        PPSP_CALLBACK Slot = &Set->Slots[i];
        if (Routine != NULL && Slot->Routine == Routine && Slot->Kind == Kind && !Slot->IsRemoving) {
            return Slot;
        }
    }
    return NULL;
}

/* See psp.h. */
BOOLEAN PspHasCallback(PPSP_CALLBACK_SET Set, PVOID Routine, ULONG_PTR Kind) {
    KIRQL OldIrql;
    KeAcquireSpinLock(&PspCallbackLock, &OldIrql);
    BOOLEAN HasIt = FindSlot(Set, Routine, Kind) != NULL;
    KeReleaseSpinLock(&PspCallbackLock, OldIrql);
    return HasIt;
}

/* See psp.h. */
BOOLEAN PspRemoveCallback(PPSP_CALLBACK_SET Set, PVOID Routine, ULONG_PTR Kind) {
    KIRQL OldIrql;
    KeAcquireSpinLock(&PspCallbackLock, &OldIrql);
    PPSP_CALLBACK Slot = FindSlot(Set, Routine, Kind);
    if (Slot != NULL) {
        Slot->IsRemoving = TRUE;
    }
    KeReleaseSpinLock(&PspCallbackLock, OldIrql);
    if (Slot == NULL) {
        return FALSE;
    }
    ExWaitForRundownProtectionRelease(&Slot->Rundown);
    KeAcquireSpinLock(&PspCallbackLock, &OldIrql);
    Slot->Routine = NULL;
    Slot->IsRemoving = FALSE;
    Set->Count--;
    KeReleaseSpinLock(&PspCallbackLock, OldIrql);
    return TRUE;
}

/* See psp.h. */
PVOID PspEnterCallback(PPSP_CALLBACK_SET Set, ULONG Index, ULONG_PTR *Kind) {
    KIRQL OldIrql;
    PPSP_CALLBACK Slot = &Set->Slots[Index];
    PVOID Routine = NULL;
    if (Slot->Routine == NULL) {
        return NULL;
    }
    KeAcquireSpinLock(&PspCallbackLock, &OldIrql);
    if (Slot->Routine != NULL && !Slot->IsRemoving && ExAcquireRundownProtection(&Slot->Rundown)) {
        Routine = Slot->Routine;
        *Kind = Slot->Kind;
    }
    KeReleaseSpinLock(&PspCallbackLock, OldIrql);
    return Routine;
}

/* See psp.h. */
VOID PspLeaveCallback(PPSP_CALLBACK_SET Set, ULONG Index) {
    ExReleaseRundownProtection(&Set->Slots[Index].Rundown);
}
