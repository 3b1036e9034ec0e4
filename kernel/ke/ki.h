/* ki.h: declarations shared by the files of ke/. */
#ifndef _KI_H_
#define _KI_H_

#include "dispatcher.h"

#include <arch.h>
#include <ke.h>

/* ---- wait.c: dispatcher lock held ---- */
NTSTATUS KiSleep(PKTHREAD Thread, PKWAIT_BLOCK First, KIRQL OldIrql, KWAIT_REASON Reason, KPROCESSOR_MODE Mode,
                 BOOLEAN Alertable);
/* The end of alertable waits (alert.c); NULL: nothing ends them. Dispatcher lock held, but for the last. */
typedef struct _KI_ALERTS {
    NTSTATUS (*Test)(PKTHREAD Thread, KPROCESSOR_MODE Mode);            /* STATUS_SUCCESS: the wait may begin */
    VOID (*InsertApc)(PKTHREAD Thread, PKAPC Apc, KPRIORITY Increment); /* one for user mode */
    VOID (*RundownApcs)(PKTHREAD Thread);                               /* the current thread ends; <= APC_LEVEL */
} KI_ALERTS;
extern const KI_ALERTS *KiAlerts;
static FORCEINLINE NTSTATUS KiTestAlert(PKTHREAD Thread, KPROCESSOR_MODE Mode, BOOLEAN Alertable) {
    return Alertable && KiAlerts != NULL ? KiAlerts->Test(Thread, Mode) : STATUS_SUCCESS;
}
VOID KiAlertWait(PKTHREAD Thread, NTSTATUS Status, KPRIORITY Increment);
PKWAIT_BLOCK KiArmTimeout(PKTHREAD Thread, ULONG64 DueTime);
DECLSPEC_NORETURN VOID KiRefuseToBlock(KIRQL Irql, PVOID Object, PLARGE_INTEGER Timeout);

/* ---- dpc.c ---- */
typedef struct _KDPC_CALL {
    PKDPC Dpc;
    PKDEFERRED_ROUTINE Routine;
    PVOID Context, Argument1, Argument2;
    ULONG Kind;
} KDPC_CALL;

/* ---- The queue's lock: taken for some twenty instructions, so it is an exchange here and not a call. At HIGH_LEVEL ---- */

static FORCEINLINE ULONG64 KiRaiseToHigh(VOID) {
    ULONG64 OldIrql = __readcr8();
    KiSetIrql(HIGH_LEVEL); /* also pins us to this CPU */
    return OldIrql;
}

static FORCEINLINE VOID KiLockDpcQueue(KDPC_DATA *Queue) {
    while (__atomic_exchange_n((volatile UCHAR *)&Queue->DpcLock, 1, __ATOMIC_ACQUIRE) != 0) {
        YieldProcessor();
    }
}

static FORCEINLINE VOID KiUnlockDpcQueue(KDPC_DATA *Queue) {
    __atomic_store_n((volatile UCHAR *)&Queue->DpcLock, 0, __ATOMIC_RELEASE);
}
BOOLEAN KiInsertTimerDpc(PRKDPC Dpc, ULONG64 SystemTime);
BOOLEAN KiTakeThreadedDpc(KDPC_DATA *Queue, KDPC_CALL *Call); /* on the queue's CPU, PASSIVE_LEVEL */
VOID KiCheckDpcReturn(const KDPC_CALL *Call, KIRQL Expected, ULONG ApcDisableBefore);

extern volatile ULONG64 KiTickTsc; /* clock.c: the time-stamp counter at the last tick */

/* ---- timer.c: dispatcher lock held; due times are interrupt times ---- */
VOID KiInsertTimer(PKTIMER Timer, ULONG64 DueTime);
VOID KiRemoveTimer(PKTIMER Timer);
ULONG64 KiDueTime(LONGLONG Timeout);
extern LIST_ENTRY KiTimerList; /* in the order of due times */

extern LIST_ENTRY KiThreadObjects; /* autoboost.c: every thread object that is not deleted yet; dispatcher lock */

/* ---- lockwait.c ---- */
PKLOCK_ENTRY KiFindLockEntry(PKTHREAD Thread, PVOID Lock); /* Lock NULL: a free one. NULL: there is none */

/* ---- mutex.c: dispatcher lock held ---- */
VOID KiTakeMutant(PKMUTANT Mutant, PKTHREAD Thread);
VOID KiAbandonMutants(PKTHREAD Thread);

/* ---- apc.c ---- */
KIRQL KiLockAfterApcs(PKTHREAD Thread); /* KiLockDispatcher for a thread that is about to wait or to end */
VOID KiRunApcsUnderLock(PKTHREAD Thread, KIRQL OldIrql); /* the same for one that holds the lock already */
/* Delivers the APCs that were kept out, now or when IRQL falls below APC_LEVEL. */
static FORCEINLINE VOID KiCatchUpApcs(PKTHREAD Thread) {
    if (Thread->ApcPending) {
        HalRequestSoftwareInterrupt(APC_LEVEL);
    }
}

/* ---- thread.c: KiThreadStartup in switch.asm calls it ---- */
DECLSPEC_NORETURN VOID KiStartThread(PKTHREAD Thread);

/* ---- queuedlock.asm: of a handle without a level in it; the lock first, then the level ---- */
VOID KxReleaseQueuedSpinLock(PKLOCK_QUEUE_HANDLE Handle, ULONG64 NewIrql);

#endif
