/* event.c: the event: a flag to wait for. A notification event lets everyone through until it is reset, a
 * synchronization event lets one thread through and resets itself. */
#include "dispatcher.h"

/* Any IRQL; the event lies in resident memory. */
VOID KeInitializeEvent(PRKEVENT Event, EVENT_TYPE Type, BOOLEAN State) {
    Event->Header =
        (DISPATCHER_HEADER){.Type = Type == NotificationEvent ? EventNotificationObject : EventSynchronizationObject,
                            .Size = sizeof(KEVENT) / sizeof(ULONG),
                            .SignalState = State != FALSE};
    InitializeListHead(&Event->Header.WaitListHead);
}

/* Returns the previous state. <= DISPATCH_LEVEL; with Wait = TRUE <= APC_LEVEL, and a KeWait... call must follow.
 * wdm.h: KeSetEvent. */
LONG KeSetEvent(PRKEVENT Event, KPRIORITY Increment, BOOLEAN Wait) {
    KIRQL OldIrql = KiLockDispatcher();
    LONG Previous = Event->Header.SignalState;
    Event->Header.SignalState = 1;
    KiSignalWaiters(&Event->Header, Increment);
    KiLeaveSignal(OldIrql, Wait);
    return Previous;
}

/* Returns the previous state. <= DISPATCH_LEVEL. */
LONG KeResetEvent(PRKEVENT Event) {
    KIRQL OldIrql = KiLockDispatcher();
    LONG Previous = Event->Header.SignalState;
    Event->Header.SignalState = 0;
    KiUnlockDispatcher(OldIrql);
    return Previous;
}

/* KeResetEvent for callers that do not need the previous state: one store, no lock. Any IRQL. */
VOID KeClearEvent(PRKEVENT Event) {
    Event->Header.SignalState = 0;
}

/* Releases the threads that wait at this instant (a synchronization event: one of them), and leaves the event
 * reset. As KeSetEvent. */
LONG KePulseEvent(PRKEVENT Event, KPRIORITY Increment, BOOLEAN Wait) {
    KIRQL OldIrql = KiLockDispatcher();
    LONG Previous = Event->Header.SignalState;
    Event->Header.SignalState = 1;
    KiSignalWaiters(&Event->Header, Increment);
    Event->Header.SignalState = 0;
    KiLeaveSignal(OldIrql, Wait);
    return Previous;
}

/* Any IRQL; a snapshot. */
LONG KeReadStateEvent(PRKEVENT Event) {
    return Event->Header.SignalState;
}
