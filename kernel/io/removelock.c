/* removelock.c: remove locks: a count of requests inside a driver, and the wait for the last to leave. */
#include "iop.h"

/* PASSIVE_LEVEL. wdm.h: IoInitializeRemoveLock. */
VOID IoInitializeRemoveLockEx(PIO_REMOVE_LOCK Lock, ULONG AllocateTag, ULONG MaxLockedMinutes, ULONG HighWatermark,
                              ULONG RemlockSize) {
    UNREFERENCED_PARAMETER(AllocateTag); /* the last four are for checks of checked drivers */
    UNREFERENCED_PARAMETER(MaxLockedMinutes);
    UNREFERENCED_PARAMETER(HighWatermark);
    UNREFERENCED_PARAMETER(RemlockSize);
    Lock->Removed = FALSE;
    Lock->IoCount = 1; /* taken back by IoReleaseRemoveLockAndWait */
    KeInitializeEvent(&Lock->RemoveEvent, SynchronizationEvent, FALSE);
}

static VOID Leave(PIO_REMOVE_LOCK Lock) {
    if (InterlockedDecrement(&Lock->IoCount) == 0) {
        KeSetEvent(&Lock->RemoveEvent, IO_NO_INCREMENT, FALSE);
    }
}

/* <= DISPATCH_LEVEL. STATUS_DELETE_PENDING: the device goes; the lock is not taken. wdm.h: IoAcquireRemoveLock. */
NTSTATUS IoAcquireRemoveLockEx(PIO_REMOVE_LOCK Lock, PVOID Tag, PCSTR File, ULONG Line, ULONG RemlockSize) {
    UNREFERENCED_PARAMETER(Tag);
    UNREFERENCED_PARAMETER(File);
    UNREFERENCED_PARAMETER(Line);
    UNREFERENCED_PARAMETER(RemlockSize);
    InterlockedIncrement(&Lock->IoCount);
    if (!__atomic_load_n(&Lock->Removed, __ATOMIC_SEQ_CST)) {
        return STATUS_SUCCESS;
    }
    Leave(Lock);
    return STATUS_DELETE_PENDING;
}

/* <= DISPATCH_LEVEL. wdm.h: IoReleaseRemoveLock. */
VOID IoReleaseRemoveLockEx(PIO_REMOVE_LOCK Lock, PVOID Tag, ULONG RemlockSize) {
    UNREFERENCED_PARAMETER(Tag);
    UNREFERENCED_PARAMETER(RemlockSize);
    Leave(Lock);
}

/* PASSIVE_LEVEL; the caller has the lock. Waits until all others have left. wdm.h: IoReleaseRemoveLockAndWait. */
VOID IoReleaseRemoveLockAndWaitEx(PIO_REMOVE_LOCK Lock, PVOID Tag, ULONG RemlockSize) {
    UNREFERENCED_PARAMETER(Tag);
    UNREFERENCED_PARAMETER(RemlockSize);
    __atomic_store_n(&Lock->Removed, TRUE, __ATOMIC_SEQ_CST);
    InterlockedDecrement(&Lock->IoCount);
    if (InterlockedDecrement(&Lock->IoCount) > 0) {
        KeWaitForSingleObject(&Lock->RemoveEvent, Executive, KernelMode, FALSE, NULL);
    }
}
