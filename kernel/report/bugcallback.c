/* bugcallback.c: drivers' bugcheck callbacks: to save the state of a device, or to add data.
 *
 * Callbacks run last, on the dying CPU, at HIGH_LEVEL, after the report is out, so one that faults costs only itself and
 * those behind it. The lists may be damaged by then, and a driver may have gone without its record: each link, and each
 * record's checksum, is checked before it is followed. */
#include <bugcheck.h>

#include <arch.h>
#include <kd.h>
#include <mm.h>

#define MAXIMUM_RECORDS 256 /* a damaged list may be a ring without its head */
#define SECONDARY_BYTES 0x1000

KE_DECLARE_LOCK(KiBugCallbackLock, RANK_OBJECT, "the lists of bugcheck callbacks");
static LIST_ENTRY Callbacks = {&Callbacks, &Callbacks};
static LIST_ENTRY ReasonCallbacks = {&ReasonCallbacks, &ReasonCallbacks};
static UCHAR SecondaryBuffer[SECONDARY_BYTES];

/* ---- Registering ---- */

static ULONG_PTR SumOf(const KBUGCHECK_CALLBACK_RECORD *Record) {
    return (ULONG_PTR)Record->CallbackRoutine + (ULONG_PTR)Record->Buffer + Record->Length +
           (ULONG_PTR)Record->Component;
}

static ULONG_PTR SumOfReason(const KBUGCHECK_REASON_CALLBACK_RECORD *Record) {
    return (ULONG_PTR)Record->CallbackRoutine + Record->Reason + (ULONG_PTR)Record->Component;
}

/* <= DISPATCH_LEVEL. FALSE: the record is registered already. Record, Buffer and Component stay resident until it is
 * deregistered. wdm.h: KeRegisterBugCheckCallback. */
BOOLEAN KeRegisterBugCheckCallback(PKBUGCHECK_CALLBACK_RECORD CallbackRecord,
                                   PKBUGCHECK_CALLBACK_ROUTINE CallbackRoutine, PVOID Buffer, ULONG Length,
                                   PUCHAR Component) {
    KIRQL OldIrql;
    KeAcquireSpinLock(&KiBugCallbackLock, &OldIrql);
    BOOLEAN IsFree = CallbackRecord->State == BufferEmpty;
    if (IsFree) {
        CallbackRecord->CallbackRoutine = CallbackRoutine;
        CallbackRecord->Buffer = Buffer;
        CallbackRecord->Length = Length;
        CallbackRecord->Component = Component;
        CallbackRecord->Checksum = SumOf(CallbackRecord);
        CallbackRecord->State = BufferInserted;
        InsertTailList(&Callbacks, &CallbackRecord->Entry);
    }
    KeReleaseSpinLock(&KiBugCallbackLock, OldIrql);
    return IsFree;
}

/* <= DISPATCH_LEVEL. FALSE: the record is not registered. wdm.h: KeDeregisterBugCheckCallback. */
BOOLEAN KeDeregisterBugCheckCallback(PKBUGCHECK_CALLBACK_RECORD CallbackRecord) {
    KIRQL OldIrql;
    KeAcquireSpinLock(&KiBugCallbackLock, &OldIrql);
    BOOLEAN IsThere = CallbackRecord->State == BufferInserted;
    if (IsThere) {
        RemoveEntryList(&CallbackRecord->Entry);
        CallbackRecord->State = BufferEmpty;
    }
    KeReleaseSpinLock(&KiBugCallbackLock, OldIrql);
    return IsThere;
}

/* As KeRegisterBugCheckCallback. FALSE, too: no such reason. wdm.h: KeRegisterBugCheckReasonCallback. */
BOOLEAN KeRegisterBugCheckReasonCallback(PKBUGCHECK_REASON_CALLBACK_RECORD CallbackRecord,
                                         PKBUGCHECK_REASON_CALLBACK_ROUTINE CallbackRoutine,
                                         KBUGCHECK_CALLBACK_REASON Reason, PUCHAR Component) {
    KIRQL OldIrql;
    KeAcquireSpinLock(&KiBugCallbackLock, &OldIrql);
    BOOLEAN IsGood = CallbackRecord->State == BufferEmpty && Reason > KbCallbackInvalid && Reason < KbCallbackReserved2;
    if (IsGood) {
        CallbackRecord->CallbackRoutine = CallbackRoutine;
        CallbackRecord->Component = Component;
        CallbackRecord->Reason = Reason;
        CallbackRecord->Checksum = SumOfReason(CallbackRecord);
        CallbackRecord->State = BufferInserted;
        InsertTailList(&ReasonCallbacks, &CallbackRecord->Entry);
    }
    KeReleaseSpinLock(&KiBugCallbackLock, OldIrql);
    return IsGood;
}

/* As KeDeregisterBugCheckCallback. */
BOOLEAN KeDeregisterBugCheckReasonCallback(PKBUGCHECK_REASON_CALLBACK_RECORD CallbackRecord) {
    KIRQL OldIrql;
    KeAcquireSpinLock(&KiBugCallbackLock, &OldIrql);
    BOOLEAN IsThere = CallbackRecord->State == BufferInserted;
    if (IsThere) {
        RemoveEntryList(&CallbackRecord->Entry);
        CallbackRecord->State = BufferEmpty;
    }
    KeReleaseSpinLock(&KiBugCallbackLock, OldIrql);
    return IsThere;
}

/* ---- Dying ---- */

static BOOLEAN IsCallable(PVOID Routine) {
    return MmIsAddressValid(Routine);
}

static PCSTR ComponentName(PUCHAR Component) {
    return Component != NULL && MmIsAddressValid(Component) ? (PCSTR)Component : "(no name)";
}

static VOID RunCallback(PKBUGCHECK_CALLBACK_RECORD Record) {
    if (Record->State != BufferInserted || Record->Checksum != SumOf(Record) || !IsCallable(Record->CallbackRoutine)) {
        return;
    }
    KdPrintf("*** bugcheck callback of %.40s\n", ComponentName(Record->Component));
    Record->State = BufferStarted;
    Record->CallbackRoutine(Record->Buffer, Record->Length);
    Record->State = BufferFinished;
}

/* The dump has no room for secondary data: the callback runs, and the report says how much it would have added. */
static VOID RunReasonCallback(PKBUGCHECK_REASON_CALLBACK_RECORD Record) {
    KBUGCHECK_SECONDARY_DUMP_DATA Data = {.InBuffer = SecondaryBuffer,
                                          .InBufferLength = sizeof(SecondaryBuffer),
                                          .MaximumAllowed = sizeof(SecondaryBuffer)};
    if (Record->State != BufferInserted || Record->Checksum != SumOfReason(Record) ||
        Record->Reason != KbCallbackSecondaryDumpData || !IsCallable(Record->CallbackRoutine)) {
        return;
    }
    Record->State = BufferStarted;
    Record->CallbackRoutine(Record->Reason, Record, &Data, sizeof(Data));
    Record->State = BufferFinished;
    KdPrintf("*** bugcheck data of %.40s: %u bytes\n", ComponentName(Record->Component), Data.OutBufferLength);
}

static VOID RunCallbacks(VOID) {
    PLIST_ENTRY Entry = Callbacks.Flink;
    for (ULONG i = 0; i < MAXIMUM_RECORDS && Entry != &Callbacks && MmIsAddressValid(Entry); i++) {
        PLIST_ENTRY Next = Entry->Flink;
        RunCallback(CONTAINING_RECORD(Entry, KBUGCHECK_CALLBACK_RECORD, Entry));
        Entry = Next;
    }
    Entry = ReasonCallbacks.Flink;
    for (ULONG i = 0; i < MAXIMUM_RECORDS && Entry != &ReasonCallbacks && MmIsAddressValid(Entry); i++) {
        PLIST_ENTRY Next = Entry->Flink;
        RunReasonCallback(CONTAINING_RECORD(Entry, KBUGCHECK_REASON_CALLBACK_RECORD, Entry));
        Entry = Next;
    }
}
KE_BUG_STEP(50, RunCallbacks, NULL);
