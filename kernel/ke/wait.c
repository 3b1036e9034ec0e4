/* wait.c: waiting: one wait block on each object, until an object's signal releases the thread.
 *
 *      KTHREAD                        KWAIT_BLOCK (one per object)              object
 *      WaitBlockList --------------> [0] Object, WaitKey 0, WaitListEntry <---> WaitListHead of an event
 *                                     | NextWaitBlock
 *                                    [1] Object, WaitKey 1, WaitListEntry <---> WaitListHead of a semaphore
 *                                     | NextWaitBlock
 *                                    [3] the thread's timer, STATUS_TIMEOUT <-> WaitListHead of KTHREAD.Timer
 *                                     | NextWaitBlock: back to [0]
 *
 * A time-out is nothing special: it is a wait for one object more, the timer in the thread, with STATUS_TIMEOUT as its
 * key. The signalling thread satisfies the wait on behalf of the waiter (an event is reset, a mutex gets its owner),
 * takes it off all its objects and makes it ready, all under the dispatcher lock: when a thread wakes up, the object is
 * its own, and no other thread can have come in between. A wake-up is not lost either, because the thread looks at the
 * object and queues itself there under one hold of the same lock. A block in a WaitAll wait satisfies nothing until all
 * its objects are signalled at the same instant. tests/models/wait.pml tries every order of waiting and waking. */
#include "ki.h"
#include <ex.h>
#include <trace.h>

const KI_ALERTS *KiAlerts; /* alert.c's; NULL without the ring */

static BOOLEAN IsSignalledFor(const DISPATCHER_HEADER *Object, const KTHREAD *Thread) {
    return Object->SignalState > 0 ||
           (Object->Type == MutantObject && CONTAINING_RECORD(Object, KMUTANT, Header)->OwnerThread == Thread);
}

/* A satisfied wait's effect on the object. Returns 0, or STATUS_ABANDONED for a mutex whose owner has died with it. */
static NTSTATUS SatisfyFor(DISPATCHER_HEADER *Object, PKTHREAD Thread) {
    switch (Object->Type) {
    case EventSynchronizationObject:
    case TimerSynchronizationObject:
        Object->SignalState = 0;
        return STATUS_SUCCESS;
    case SemaphoreObject:
        Object->SignalState--;
        return STATUS_SUCCESS;
    case MutantObject: {
        PKMUTANT Mutant = CONTAINING_RECORD(Object, KMUTANT, Header);
        if (--Object->SignalState == 0) {
            KiTakeMutant(Mutant, Thread);
        }
        NTSTATUS Status = Mutant->Abandoned ? STATUS_ABANDONED : STATUS_SUCCESS;
        Mutant->Abandoned = FALSE;
        return Status;
    }
    default: /* notification events and timers, threads: they stay signalled */
        return STATUS_SUCCESS;
    }
}

/* ---- Waking ---- */

/* A thread that wakes up runs for a while at a higher priority, so that the event it waited for is used soon. */
static VOID BoostPriority(PKTHREAD Thread, KPRIORITY Increment) {
    KPRIORITY Priority = Thread->BasePriority + Increment;
    if (Priority >= LOW_REALTIME_PRIORITY) {
        Priority = LOW_REALTIME_PRIORITY - 1;
    }
    if (Increment > 0 && Thread->BasePriority < LOW_REALTIME_PRIORITY && Priority > Thread->Priority) {
        Thread->Priority = (SCHAR)Priority;
        Thread->PriorityDecrement = (SCHAR)(Priority - Thread->BasePriority);
    }
}

/* Takes a waiting thread off all its objects and makes it ready; its wait will return Status. */
static VOID UnwaitThread(PKTHREAD Thread, NTSTATUS Status, KPRIORITY Increment) {
    PKWAIT_BLOCK First = Thread->WaitBlockList, Block = First;
    KdTrace(TraceWake, (ULONG)Status, (ULONG64)Thread, (ULONG64)First->Object, 0);
    do {
        RemoveEntryList(&Block->WaitListEntry);
        Block = Block->NextWaitBlock;
    } while (Block != First);
    if (Thread->Timer.Header.Inserted) {
        KiRemoveTimer(&Thread->Timer);
    }
    Thread->WaitBlockList = NULL;
    Thread->WaitStatus = Status;
    Thread->Preempted = FALSE;
    if (Thread->Quantum <= 0) {
        Thread->Quantum = THREAD_QUANTUM;
    }
    BoostPriority(Thread, Increment);
    KiReadyThread(Thread);
}

/* The timer of a wait's time-out is one of its objects, but not one that WaitAll waits for. */
static BOOLEAN IsTimeoutBlock(const KWAIT_BLOCK *Block) {
    return Block->Object == &Block->Thread->Timer.Header;
}

/* Block belongs to a WaitAll wait: are all its objects signalled? */
static BOOLEAN AreAllSignalled(const KWAIT_BLOCK *First) {
    const KWAIT_BLOCK *Block = First;
    do {
        if (!IsTimeoutBlock(Block) && !IsSignalledFor(Block->Object, Block->Thread)) {
            return FALSE;
        }
        Block = Block->NextWaitBlock;
    } while (Block != First);
    return TRUE;
}

static NTSTATUS SatisfyAll(const KWAIT_BLOCK *First) {
    NTSTATUS Status = STATUS_SUCCESS;
    const KWAIT_BLOCK *Block = First;
    do {
        if (!IsTimeoutBlock(Block)) {
            Status |= SatisfyFor(Block->Object, Block->Thread);
        }
        Block = Block->NextWaitBlock;
    } while (Block != First);
    return Status;
}

/* Releases waiters in the order of their arrival, as many as the object's state allows. A release takes all blocks of
 * a thread out of all lists, so the scan starts anew after each. DISPATCH_LEVEL, dispatcher lock held; leave by
 * KiUnlockDispatcher. */
VOID KiSignalWaiters(DISPATCHER_HEADER *Object, KPRIORITY Increment) {
    PLIST_ENTRY Head = &Object->WaitListHead, Entry = Head->Flink;
    while (Entry != Head && Object->SignalState > 0) {
        PKWAIT_BLOCK Block = CONTAINING_RECORD(Entry, KWAIT_BLOCK, WaitListEntry);
        if (Block->WaitType == WaitAny) {
            NTSTATUS Status = SatisfyFor(Object, Block->Thread) | Block->WaitKey;
            UnwaitThread(Block->Thread, Status, Increment);
            Entry = Head->Flink;
        } else if (AreAllSignalled(Block)) {
            UnwaitThread(Block->Thread, SatisfyAll(Block), Increment);
            Entry = Head->Flink;
        } else {
            Entry = Entry->Flink;
        }
    }
}

/* A kernel APC has come for a thread that waits: if it waits at PASSIVE_LEVEL it wakes up, runs the APC on the way out,
 * and begins its wait again, behind those that came meanwhile. Dispatcher lock held. */
VOID KiInterruptWait(PKTHREAD Thread) {
    if (Thread->State == Waiting && Thread->WaitIrql < APC_LEVEL) {
        UnwaitThread(Thread, STATUS_KERNEL_APC, IO_NO_INCREMENT);
    }
}

/* An alert or a user APC ends the wait for good. Dispatcher lock held; the thread is Waiting. */
VOID KiAlertWait(PKTHREAD Thread, NTSTATUS Status, KPRIORITY Increment) {
    UnwaitThread(Thread, Status, Increment);
}

/* The end of KeSetEvent and its like. Wait = TRUE keeps DISPATCH_LEVEL and the dispatcher lock for the KeWait... call
 * that must follow at once, so that no switch comes in between; it restores OldIrql. */
VOID KiLeaveSignal(KIRQL OldIrql, BOOLEAN Wait) {
    if (Wait) {
        PKTHREAD Thread = KiCurrentThread();
        Thread->WaitNext = TRUE;
        Thread->WaitIrql = OldIrql;
        return;
    }
    KiUnlockDispatcher(OldIrql);
}

/* ---- Waiting ---- */

static KIRQL LockForWait(PKTHREAD Thread) {
    if (Thread->WaitNext) {
        Thread->WaitNext = FALSE;
        KiRunApcsUnderLock(Thread, Thread->WaitIrql);
        return Thread->WaitIrql;
    }
    return KiLockAfterApcs(Thread);
}

static VOID HangBlock(PKWAIT_BLOCK Block, DISPATCHER_HEADER *Object, PKTHREAD Thread, WAIT_TYPE WaitType, ULONG Key) {
    Block->WaitType = (UCHAR)WaitType;
    Block->WaitKey = (USHORT)Key;
    Block->Thread = Thread;
    Block->Object = Object;
    InsertTailList(&Object->WaitListHead, &Block->WaitListEntry);
}

/* Starts the thread's own timer and queues its wait block there: a ring of one, for the caller to extend. */
PKWAIT_BLOCK KiArmTimeout(PKTHREAD Thread, ULONG64 DueTime) {
    PKWAIT_BLOCK Block = &Thread->WaitBlock[TIMER_WAIT_BLOCK];
    HangBlock(Block, &Thread->Timer.Header, Thread, WaitAny, STATUS_TIMEOUT);
    Block->NextWaitBlock = Block;
    KiInsertTimer(&Thread->Timer, DueTime);
    return Block;
}

/* The current thread sleeps on the ring of blocks that begins with First. Lock held in, released out; IRQL is OldIrql
 * then. Returns the Status given to UnwaitThread. */
NTSTATUS KiSleep(PKTHREAD Thread, PKWAIT_BLOCK First, KIRQL OldIrql, KWAIT_REASON Reason, KPROCESSOR_MODE Mode,
                 BOOLEAN Alertable) {
    Thread->WaitBlockList = First;
    Thread->Alertable = Alertable;
    Thread->WaitIrql = OldIrql;
    Thread->WaitReason = (UCHAR)Reason;
    Thread->WaitMode = (UCHAR)Mode;
    Thread->WaitTime = KiTickCount;
    Thread->State = Waiting;
    KdTrace(TraceWait, Reason, (ULONG64)First->Object, (ULONG64)Thread, 0);
    KiBlockThread();
    NTSTATUS Status = Thread->WaitStatus;
    KeReleaseSpinLock(&KiDispatcherLock, OldIrql);
    return Status;
}

/* The current thread would have to wait at DISPATCH_LEVEL. In a DPC that is ATTEMPTED_SWITCH_FROM_DPC, found by the
 * attempt itself. Elsewhere (a spin lock is held) Windows notices only under its verifier, with (0xC4: 0x3B, IRQL,
 * object, time-out); this kernel always does, and the checked build even when the object happens to be signalled. Lock
 * held. */
DECLSPEC_NORETURN VOID KiRefuseToBlock(KIRQL Irql, PVOID Object, PLARGE_INTEGER Timeout) {
    if (KeGetCurrentPrcb()->DpcRoutineActive) {
        KiBlockThread();
    }
    KeReleaseSpinLockFromDpcLevel(&KiDispatcherLock);
    KeBugCheckEx(DRIVER_VERIFIER_DETECTED_VIOLATION, 0x3B, Irql, (ULONG_PTR)Object, (ULONG_PTR)Timeout);
}

/* Acquiring a mutex for the 2^31st time would wrap its count round. Lock held in; released if it raises. */
static VOID CheckRecursion(const DISPATCHER_HEADER *Object, KIRQL OldIrql) {
    if (Object->Type == MutantObject && Object->SignalState == MINLONG) {
        KiUnlockDispatcher(OldIrql);
        ExRaiseStatus(STATUS_MUTANT_LIMIT_EXCEEDED);
    }
}

/* STATUS_TIMEOUT: the wait is over before it began: a time-out of 0, or one in the past, polls. *DueTime is 0 at first,
 * and is kept when the wait is begun again. */
static NTSTATUS TestTimeout(PLARGE_INTEGER Timeout, ULONG64 *DueTime) {
    if (Timeout == NULL) {
        return STATUS_SUCCESS;
    }
    if (*DueTime == 0) {
        *DueTime = KiDueTime(Timeout->QuadPart);
    }
    return *DueTime <= KiInterruptTime ? STATUS_TIMEOUT : STATUS_SUCCESS;
}

static BOOLEAN IsPoll(PLARGE_INTEGER Timeout) {
    return Timeout != NULL && Timeout->QuadPart == 0;
}

/* One attempt; STATUS_KERNEL_APC: begin again. */
static NTSTATUS WaitForOne(DISPATCHER_HEADER *Object, KWAIT_REASON WaitReason, KPROCESSOR_MODE WaitMode,
                           BOOLEAN Alertable, PLARGE_INTEGER Timeout, ULONG64 *DueTime) {
    PKTHREAD Thread = KiCurrentThread();
    NTSTATUS Status = STATUS_TIMEOUT;
    KIRQL OldIrql = LockForWait(Thread);
    if (DBG && OldIrql >= DISPATCH_LEVEL && !IsPoll(Timeout)) {
        KiRefuseToBlock(OldIrql, Object, Timeout); /* even if it would not block this time */
    }
    if (IsSignalledFor(Object, Thread)) {
        CheckRecursion(Object, OldIrql);
        Status = SatisfyFor(Object, Thread);
    } else if ((Status = KiTestAlert(Thread, WaitMode, Alertable)) == STATUS_SUCCESS &&
               (Status = TestTimeout(Timeout, DueTime)) == STATUS_SUCCESS) {
        if (OldIrql >= DISPATCH_LEVEL) {
            KiRefuseToBlock(OldIrql, Object, Timeout);
        }
        PKWAIT_BLOCK Block = &Thread->WaitBlock[0];
        HangBlock(Block, Object, Thread, WaitAny, 0);
        Block->NextWaitBlock = Block;
        if (Timeout != NULL) {
            Block->NextWaitBlock = KiArmTimeout(Thread, *DueTime);
            Block->NextWaitBlock->NextWaitBlock = Block;
        }
        return KiSleep(Thread, Block, OldIrql, WaitReason, WaitMode, Alertable);
    }
    KiUnlockDispatcher(OldIrql);
    return Status;
}

/* <= APC_LEVEL, or DISPATCH_LEVEL with a time-out of 0. STATUS_SUCCESS, STATUS_ABANDONED_WAIT_0, STATUS_TIMEOUT;
 * if Alertable STATUS_ALERTED, STATUS_USER_APC. The object must be resident. wdm.h: KeWaitForSingleObject. */
NTSTATUS KeWaitForSingleObject(PVOID Object, KWAIT_REASON WaitReason, KPROCESSOR_MODE WaitMode, BOOLEAN Alertable,
                               PLARGE_INTEGER Timeout) {
    ULONG64 DueTime = 0;
    NTSTATUS Status;
    do {
        Status = WaitForOne(Object, WaitReason, WaitMode, Alertable, Timeout, &DueTime);
    } while (Status == STATUS_KERNEL_APC);
    return Status;
}

/* Takes the first signalled object, or all if all are. FALSE: none is taken. */
static BOOLEAN TakeAtOnce(ULONG Count, PVOID Object[], WAIT_TYPE WaitType, PKTHREAD Thread, KIRQL OldIrql,
                          NTSTATUS *Status) {
    ULONG Signalled = 0;
    for (ULONG i = 0; i < Count; i++) {
        if (!IsSignalledFor(Object[i], Thread)) {
            continue;
        }
        CheckRecursion(Object[i], OldIrql);
        if (WaitType == WaitAny) {
            *Status = (NTSTATUS)i | SatisfyFor(Object[i], Thread);
            return TRUE;
        }
        Signalled++;
    }
    if (WaitType == WaitAny || Signalled < Count) {
        return FALSE;
    }
    *Status = STATUS_SUCCESS;
    for (ULONG i = 0; i < Count; i++) {
        *Status |= SatisfyFor(Object[i], Thread);
    }
    return TRUE;
}

/* Queues one block at each object and closes the ring. */
static VOID HangBlocks(PKWAIT_BLOCK Blocks, ULONG Count, PVOID Object[], WAIT_TYPE WaitType, PKTHREAD Thread) {
    for (ULONG i = 0; i < Count; i++) {
        HangBlock(&Blocks[i], Object[i], Thread, WaitType, i);
        Blocks[i].NextWaitBlock = &Blocks[i + 1 < Count ? i + 1 : 0];
    }
}

/* One attempt; STATUS_KERNEL_APC: begin again. */
static NTSTATUS WaitForMany(ULONG Count, PVOID Object[], WAIT_TYPE WaitType, KWAIT_REASON WaitReason,
                            KPROCESSOR_MODE WaitMode, BOOLEAN Alertable, PLARGE_INTEGER Timeout, PKWAIT_BLOCK Blocks,
                            ULONG64 *DueTime) {
    PKTHREAD Thread = KiCurrentThread();
    NTSTATUS Status = STATUS_TIMEOUT;
    KIRQL OldIrql = LockForWait(Thread);
    if (DBG && OldIrql >= DISPATCH_LEVEL && !IsPoll(Timeout)) {
        KiRefuseToBlock(OldIrql, Object[0], Timeout);
    }
    if (!TakeAtOnce(Count, Object, WaitType, Thread, OldIrql, &Status) &&
        (Status = KiTestAlert(Thread, WaitMode, Alertable)) == STATUS_SUCCESS &&
        (Status = TestTimeout(Timeout, DueTime)) == STATUS_SUCCESS) {
        if (OldIrql >= DISPATCH_LEVEL) {
            KiRefuseToBlock(OldIrql, Object[0], Timeout);
        }
        HangBlocks(Blocks, Count, Object, WaitType, Thread);
        if (Timeout != NULL) {
            PKWAIT_BLOCK TimerBlock = KiArmTimeout(Thread, *DueTime);
            TimerBlock->NextWaitBlock = Blocks;
            Blocks[Count - 1].NextWaitBlock = TimerBlock;
        }
        return KiSleep(Thread, Blocks, OldIrql, WaitReason, WaitMode, Alertable);
    }
    KiUnlockDispatcher(OldIrql);
    return Status;
}

/* As KeWaitForSingleObject, for up to THREAD_WAIT_OBJECTS objects, or MAXIMUM_WAIT_OBJECTS with the caller's
 * WaitBlockArray (resident, untouched until the wait is over). WaitAny: the index of the object; WaitAll:
 * STATUS_SUCCESS; both plus STATUS_ABANDONED. Too many objects stop the machine (0x0C). wdm.h:
 * KeWaitForMultipleObjects. */
NTSTATUS KeWaitForMultipleObjects(ULONG Count, PVOID Object[], WAIT_TYPE WaitType, KWAIT_REASON WaitReason,
                                  KPROCESSOR_MODE WaitMode, BOOLEAN Alertable, PLARGE_INTEGER Timeout,
                                  PKWAIT_BLOCK WaitBlockArray) {
    PKWAIT_BLOCK Blocks = WaitBlockArray ? WaitBlockArray : KiCurrentThread()->WaitBlock;
    if (Count == 0 || Count > (WaitBlockArray ? MAXIMUM_WAIT_OBJECTS : THREAD_WAIT_OBJECTS)) {
        KeBugCheckEx(MAXIMUM_WAIT_OBJECTS_EXCEEDED, 0, 0, 0, 0);
    }
    ULONG64 DueTime = 0;
    NTSTATUS Status;
    do {
        Status = WaitForMany(Count, Object, WaitType, WaitReason, WaitMode, Alertable, Timeout, Blocks, &DueTime);
    } while (Status == STATUS_KERNEL_APC);
    return Status;
}
