/* interlocked.c: one step on a list or a number under the caller's spin lock, at any IRQL.
 *
 * They disable interrupts instead of raising the IRQL, so interrupt service routines may use them too. The lock must not be
 * used with the ordinary spin lock calls at the same time, and everything touched must be resident. */
#include <ex.h>

/* Returns whether interrupts were enabled. */
static BOOLEAN LockWithoutInterrupts(PKSPIN_LOCK Lock) {
    ULONG64 Flags;
    __asm__ volatile("pushfq\n\tpop %0\n\tcli" : "=r"(Flags) : : "memory");
    KeAcquireSpinLockAtDpcLevel(Lock);
    return (Flags & EFLAGS_IF) != 0;
}

static VOID Unlock(PKSPIN_LOCK Lock, BOOLEAN WereEnabled) {
    KeReleaseSpinLockFromDpcLevel(Lock);
    if (WereEnabled) {
        _enable();
    }
}

/* Returns what was first before, NULL: the list was empty. Any IRQL. wdm.h: ExInterlockedInsertHeadList. */
PLIST_ENTRY ExInterlockedInsertHeadList(PLIST_ENTRY ListHead, PLIST_ENTRY ListEntry, PKSPIN_LOCK Lock) {
    BOOLEAN WereEnabled = LockWithoutInterrupts(Lock);
    PLIST_ENTRY First = IsListEmpty(ListHead) ? NULL : ListHead->Flink;
    InsertHeadList(ListHead, ListEntry);
    Unlock(Lock, WereEnabled);
    return First;
}

/* Returns what was last before. wdm.h: ExInterlockedInsertTailList. */
PLIST_ENTRY ExInterlockedInsertTailList(PLIST_ENTRY ListHead, PLIST_ENTRY ListEntry, PKSPIN_LOCK Lock) {
    BOOLEAN WereEnabled = LockWithoutInterrupts(Lock);
    PLIST_ENTRY Last = IsListEmpty(ListHead) ? NULL : ListHead->Blink;
    InsertTailList(ListHead, ListEntry);
    Unlock(Lock, WereEnabled);
    return Last;
}

/* NULL: it is empty. wdm.h: ExInterlockedRemoveHeadList. */
PLIST_ENTRY ExInterlockedRemoveHeadList(PLIST_ENTRY ListHead, PKSPIN_LOCK Lock) {
    BOOLEAN WereEnabled = LockWithoutInterrupts(Lock);
    PLIST_ENTRY Entry = IsListEmpty(ListHead) ? NULL : RemoveHeadList(ListHead);
    Unlock(Lock, WereEnabled);
    return Entry;
}

/* Returns what was first before. wdm.h: ExInterlockedPushEntryList. */
PSINGLE_LIST_ENTRY ExInterlockedPushEntryList(PSINGLE_LIST_ENTRY ListHead, PSINGLE_LIST_ENTRY ListEntry,
                                              PKSPIN_LOCK Lock) {
    BOOLEAN WereEnabled = LockWithoutInterrupts(Lock);
    PSINGLE_LIST_ENTRY First = ListHead->Next;
    PushEntryList(ListHead, ListEntry);
    Unlock(Lock, WereEnabled);
    return First;
}

PSINGLE_LIST_ENTRY ExInterlockedPopEntryList(PSINGLE_LIST_ENTRY ListHead, PKSPIN_LOCK Lock) {
    BOOLEAN WereEnabled = LockWithoutInterrupts(Lock);
    PSINGLE_LIST_ENTRY First = PopEntryList(ListHead);
    Unlock(Lock, WereEnabled);
    return First;
}

/* Returns the old value. wdm.h: ExInterlockedAddLargeInteger. */
LARGE_INTEGER ExInterlockedAddLargeInteger(PLARGE_INTEGER Addend, LARGE_INTEGER Increment, PKSPIN_LOCK Lock) {
    BOOLEAN WereEnabled = LockWithoutInterrupts(Lock);
    LARGE_INTEGER Old = *Addend;
    Addend->QuadPart = (LONGLONG)((ULONGLONG)Old.QuadPart + (ULONGLONG)Increment.QuadPart);
    Unlock(Lock, WereEnabled);
    return Old;
}

ULONG ExInterlockedAddUlong(PULONG Addend, ULONG Increment, PKSPIN_LOCK Lock) {
    BOOLEAN WereEnabled = LockWithoutInterrupts(Lock);
    ULONG Old = *Addend;
    *Addend = Old + Increment;
    Unlock(Lock, WereEnabled);
    return Old;
}
