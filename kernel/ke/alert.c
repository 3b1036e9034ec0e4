/* alert.c: alerts: per-mode flags in a thread that end an alertable wait.
 *
 *      wait says               ended by
 *      not Alertable           nothing but its objects and its time-out
 *      Alertable, KernelMode   an alert of kernel mode
 *      Alertable, UserMode     an alert of either mode, a user APC
 */
#include "ki.h"
#include <ring.h>

/* STATUS_ALERTED or STATUS_USER_APC: a wait of this kind must not begin; an alert is used up. Dispatcher lock held. */
static NTSTATUS TestAlert(PKTHREAD Thread, KPROCESSOR_MODE Mode) {
    if (Thread->Alerted[(ULONG)Mode]) {
        Thread->Alerted[(ULONG)Mode] = FALSE;
        return STATUS_ALERTED;
    }
    if (Mode == UserMode && !IsListEmpty(&Thread->UserApcListHead)) {
        Thread->UserApcPending = TRUE;
        return STATUS_USER_APC;
    }
    if (Thread->Alerted[KernelMode]) {
        Thread->Alerted[KernelMode] = FALSE;
        return STATUS_ALERTED;
    }
    return STATUS_SUCCESS;
}
/* Returns whether the thread was alerted already. A wait that it may end returns STATUS_ALERTED; otherwise the next one
 * does. <= DISPATCH_LEVEL. NT exports it, but no header declares it. */
BOOLEAN KeAlertThread(PKTHREAD Thread, KPROCESSOR_MODE AlertMode) {
    KIRQL OldIrql = KiLockDispatcher();
    BOOLEAN WasAlerted = Thread->Alerted[(ULONG)AlertMode];
    if (!WasAlerted && Thread->State == Waiting && Thread->Alertable &&
        AlertMode <= (KPROCESSOR_MODE)Thread->WaitMode) {
        KiAlertWait(Thread, STATUS_ALERTED, EVENT_INCREMENT);
    } else {
        Thread->Alerted[(ULONG)AlertMode] = TRUE;
    }
    KiUnlockDispatcher(OldIrql);
    return WasAlerted;
}

/* Whether the current thread was alerted for this mode; the alert is used up. <= DISPATCH_LEVEL. */
BOOLEAN KeTestAlertThread(KPROCESSOR_MODE AlertMode) {
    PKTHREAD Thread = KiCurrentThread();
    KIRQL OldIrql = KiLockDispatcher();
    BOOLEAN WasAlerted = Thread->Alerted[(ULONG)AlertMode];
    Thread->Alerted[(ULONG)AlertMode] = FALSE;
    KiUnlockDispatcher(OldIrql);
    return WasAlerted;
}

/* ---- User APCs, which wait for user mode: no thread here ever enters it ---- */

/* Lock held; a wait that it ends returns STATUS_USER_APC. */
static VOID InsertApc(PKTHREAD Thread, PKAPC Apc, KPRIORITY Increment) {
    InsertTailList(&Thread->UserApcListHead, &Apc->ApcListEntry);
    Apc->Inserted = TRUE;
    if (Thread->State == Waiting && Thread->Alertable && Thread->WaitMode == UserMode) {
        Thread->UserApcPending = TRUE;
        KiAlertWait(Thread, STATUS_USER_APC, Increment);
    }
}

static PKAPC TakeUserApc(PKTHREAD Thread) {
    PKAPC Apc = NULL;
    KIRQL OldIrql = KiLockDispatcher();
    if (!IsListEmpty(&Thread->UserApcListHead)) {
        Apc = CONTAINING_RECORD(RemoveHeadList(&Thread->UserApcListHead), KAPC, ApcListEntry);
        Apc->Inserted = FALSE;
    }
    KiUnlockDispatcher(OldIrql);
    return Apc;
}

/* Each user APC goes back to its owner; one without a RundownRoutine is pool, which the system frees, as on NT. */
static VOID RundownApcs(PKTHREAD Thread) {
    for (PKAPC Apc = TakeUserApc(Thread); Apc != NULL; Apc = TakeUserApc(Thread)) {
        if (Apc->RundownRoutine != NULL) {
            Apc->RundownRoutine(Apc);
        } else {
            ExFreePool(Apc);
        }
    }
}

static const KI_ALERTS Alerts = {TestAlert, InsertApc, RundownApcs};
KE_ATTACH(KiAlerts, &Alerts);
