/* test_resource.c: resources: who gets in, who waits behind whom, who is the owner, and the end of a wrong release. */
#include "ktest.h"
#include <inspect.h>

static ERESOURCE Resource;

static VOID Prepare(VOID) {
    ExInitializeResourceLite(&Resource);
    KeEnterCriticalRegion();
}

static VOID Finish(VOID) {
    KT_EXPECT_EQ(Resource.ActiveEntries, 0);
    KT_EXPECT_EQ(Resource.Flag & ResourceOwnedExclusive, 0);
    KeLeaveCriticalRegion();
    ExDeleteResourceLite(&Resource);
}

/* ---- One thread ---- */

KTEST(resource_is_in_the_list_of_all_resources_until_it_is_deleted) {
    static ERESOURCE Other;
    PLIST_ENTRY Last = ExpSystemResourcesList.Blink;
    ExInitializeResourceLite(&Other);
    KT_EXPECT_EQ(ExpSystemResourcesList.Blink, &Other.SystemResourcesList);
    KT_EXPECT(NT_SUCCESS(ExReinitializeResourceLite(&Other)));
    KT_EXPECT_EQ(ExpSystemResourcesList.Blink, &Other.SystemResourcesList);
    ExDeleteResourceLite(&Other);
    KT_EXPECT_EQ(ExpSystemResourcesList.Blink, Last);
}

KTEST(resource_exclusive_may_be_acquired_again_by_its_owner) {
    Prepare();
    KT_EXPECT(ExAcquireResourceExclusiveLite(&Resource, TRUE));
    KT_EXPECT(ExAcquireResourceExclusiveLite(&Resource, TRUE));
    KT_EXPECT_EQ(Resource.OwnerEntry.OwnerThread, ExGetCurrentResourceThread());
    KT_EXPECT_EQ(Resource.OwnerEntry.OwnerCount, 2);
    KT_EXPECT_EQ(Resource.ActiveEntries, 1);
    KT_EXPECT(Resource.Flag & ResourceOwnedExclusive);
    KT_EXPECT(ExAcquireResourceSharedLite(&Resource, TRUE)); /* counts as another exclusive one */
    KT_EXPECT_EQ(Resource.OwnerEntry.OwnerCount, 3);
    KT_EXPECT_EQ(ExIsResourceAcquiredSharedLite(&Resource), 3);
    KT_EXPECT(ExIsResourceAcquiredExclusiveLite(&Resource));
    for (ULONG i = 0; i < 3; i++) {
        ExReleaseResourceLite(&Resource);
    }
    KT_EXPECT_EQ(ExIsResourceAcquiredLite(&Resource), 0);
    Finish();
}

KTEST(resource_shared_may_be_acquired_again_but_not_turned_exclusive) {
    Prepare();
    KT_EXPECT(ExAcquireResourceSharedLite(&Resource, TRUE));
    KT_EXPECT(ExAcquireResourceSharedLite(&Resource, FALSE));
    KT_EXPECT_EQ(ExIsResourceAcquiredSharedLite(&Resource), 2);
    KT_EXPECT(!ExIsResourceAcquiredExclusiveLite(&Resource));
    KT_EXPECT(!ExAcquireResourceExclusiveLite(&Resource, FALSE));
    KT_EXPECT(!ExTryToAcquireResourceExclusiveLite(&Resource));
    ExReleaseResourceLite(&Resource);
    ExReleaseResourceLite(&Resource);
    Finish();
}

KTEST(resource_conversion_keeps_the_count) {
    Prepare();
    ExAcquireResourceExclusiveLite(&Resource, TRUE);
    ExAcquireResourceExclusiveLite(&Resource, TRUE);
    ExConvertExclusiveToSharedLite(&Resource);
    KT_EXPECT(!ExIsResourceAcquiredExclusiveLite(&Resource));
    KT_EXPECT_EQ(ExIsResourceAcquiredSharedLite(&Resource), 2);
    ExReleaseResourceLite(&Resource);
    ExReleaseResourceLite(&Resource);
    Finish();
}

KTEST(resource_belongs_to_its_owner_pointer) {
    static ULONG64 Owner;
    ERESOURCE_THREAD Id = (ERESOURCE_THREAD)&Owner | 3;
    Prepare();
    ExAcquireResourceSharedLite(&Resource, TRUE);
    ExSetResourceOwnerPointer(&Resource, (PVOID)Id);
    KT_EXPECT_EQ(ExIsResourceAcquiredSharedLite(&Resource), 0);
    KT_EXPECT_EQ(Resource.ActiveEntries, 1);
    ExAcquireResourceSharedLite(&Resource, TRUE); /* the thread itself, beside it */
    KT_EXPECT_EQ(Resource.ActiveEntries, 2);
    ExSetResourceOwnerPointer(&Resource, (PVOID)Id);
    KT_EXPECT_EQ(Resource.ActiveEntries, 1);
    ExReleaseResourceForThreadLite(&Resource, Id);
    KT_EXPECT_EQ(Resource.ActiveEntries, 1);
    ExReleaseResourceForThreadLite(&Resource, Id);
    Finish();
}

KTEST(resource_calls_with_a_critical_region_enter_and_leave_it) {
    ExInitializeResourceLite(&Resource);
    ExEnterCriticalRegionAndAcquireResourceExclusive(&Resource);
    KT_EXPECT(KeAreApcsDisabled());
    ExReleaseResourceAndLeaveCriticalRegion(&Resource);
    ExEnterCriticalRegionAndAcquireResourceShared(&Resource);
    ExReleaseResourceAndLeaveCriticalRegion(&Resource);
    ExEnterCriticalRegionAndAcquireSharedWaitForExclusive(&Resource);
    ExReleaseResourceAndLeaveCriticalRegion(&Resource);
    KT_EXPECT(!KeAreApcsDisabled());
    ExDeleteResourceLite(&Resource);
}

/* ---- Several threads, and the order of their arrival ---- */

typedef struct _VISITOR {
    KT_THREAD Thread;
    BOOLEAN (*Acquire)(PERESOURCE Resource, BOOLEAN Wait);
    volatile LONG Arrival; /* 1, 2, ... */
    KEVENT Leave;
} VISITOR;

static volatile LONG Arrivals;

static VOID Visit(PVOID Context) {
    VISITOR *Visitor = Context;
    KeEnterCriticalRegion();
    Visitor->Acquire(&Resource, TRUE);
    Visitor->Arrival = InterlockedIncrement(&Arrivals);
    KeWaitForSingleObject(&Visitor->Leave, Executive, KernelMode, FALSE, NULL);
    ExReleaseResourceLite(&Resource);
    KeLeaveCriticalRegion();
}

static VOID Send(VISITOR *Visitor, BOOLEAN (*Acquire)(PERESOURCE Resource, BOOLEAN Wait)) {
    Visitor->Acquire = Acquire;
    Visitor->Arrival = 0;
    KeInitializeEvent(&Visitor->Leave, NotificationEvent, FALSE);
    KtCreateThread(&Visitor->Thread, "visitor", 8, KT_ANY_PROCESSOR, Visit, Visitor);
}

static VOID SendAway(VISITOR *Visitor) {
    KeSetEvent(&Visitor->Leave, IO_NO_INCREMENT, FALSE);
    KtJoin(&Visitor->Thread);
}

static BOOLEAN WaitsFor(VISITOR *Visitor, KLOCK_KIND Kind) {
    PKTHREAD Thread = &Visitor->Thread.Thread->Tcb;
    return Thread->State == Waiting && Thread->WaitReason == WrResource && Thread->BlockingLock == &Resource &&
           Thread->BlockingKind == Kind;
}

#define READERS 7
static volatile LONG ReadersIn;

static VOID ReadAndLeave(PVOID Context) {
    UNREFERENCED_PARAMETER(Context);
    KeEnterCriticalRegion();
    ExAcquireResourceSharedLite(&Resource, TRUE);
    InterlockedIncrement(&ReadersIn);
    ExReleaseResourceLite(&Resource);
    KeLeaveCriticalRegion();
}

static BOOLEAN StartReaders(KT_THREAD *Reader) {
    ReadersIn = 0;
    for (ULONG i = 0; i < READERS; i++) {
        if (!KtCreateThread(&Reader[i], "reader", 9, KT_ANY_PROCESSOR, ReadAndLeave, NULL)) {
            return FALSE;
        }
    }
    KT_WAIT_UNTIL(Resource.NumberOfSharedWaiters == READERS);
    return TRUE;
}

static VOID JoinReaders(KT_THREAD *Reader) {
    for (ULONG i = 0; i < READERS; i++) {
        KtJoin(&Reader[i]);
    }
    KT_EXPECT_EQ(ReadersIn, READERS);
}

/* The writer's release lets all of them in at once, and cannot make room for them then. */
KTEST(resource_has_room_for_all_who_wait) {
    static KT_THREAD Reader[READERS];
    Prepare();
    ExAcquireResourceExclusiveLite(&Resource, TRUE);
    KT_REQUIRE(StartReaders(Reader));
    ExReleaseResourceLite(&Resource);
    JoinReaders(Reader);
    Finish();
}

KTEST(resource_that_is_converted_lets_the_readers_in) {
    static KT_THREAD Reader[READERS];
    Prepare();
    ExAcquireResourceExclusiveLite(&Resource, TRUE);
    KT_REQUIRE(StartReaders(Reader));
    ExConvertExclusiveToSharedLite(&Resource);
    JoinReaders(Reader); /* while this thread is still a reader */
    ExReleaseResourceLite(&Resource);
    Finish();
}

KTEST(resource_lets_readers_in_together_and_a_writer_alone) {
    static VISITOR Reader[5], Writer[2];
    Arrivals = 0;
    Prepare();
    for (ULONG i = 0; i < 5; i++) { /* more than there are entries at first */
        Send(&Reader[i], ExAcquireResourceSharedLite);
        KT_WAIT_UNTIL(Reader[i].Arrival != 0);
    }
    KT_EXPECT_EQ(Resource.ActiveEntries, 5);
    for (ULONG i = 0; i < 2; i++) {
        Send(&Writer[i], ExAcquireResourceExclusiveLite);
        KT_WAIT_UNTIL(WaitsFor(&Writer[i], LockResourceExclusive));
        KT_EXPECT_EQ(ExGetExclusiveWaiterCount(&Resource), i + 1);
    }
    for (ULONG i = 0; i < 5; i++) {
        KT_EXPECT_EQ(Writer[0].Arrival, 0);
        SendAway(&Reader[i]);
    }
    KT_WAIT_UNTIL(Writer[0].Arrival != 0);
    KT_EXPECT_EQ(Resource.ContentionCount, 2);
    Send(&Reader[0], ExAcquireResourceSharedLite);
    KT_WAIT_UNTIL(WaitsFor(&Reader[0], LockResourceShared));
    KT_EXPECT_EQ(ExGetSharedWaiterCount(&Resource), 1);
    SendAway(&Writer[0]); /* after a writer the readers come first, although a writer was there before them */
    KT_WAIT_UNTIL(Reader[0].Arrival != 0);
    KT_EXPECT_EQ(Writer[1].Arrival, 0);
    SendAway(&Reader[0]);
    KT_WAIT_UNTIL(Writer[1].Arrival != 0);
    SendAway(&Writer[1]);
    Finish();
}

KTEST(resource_three_kinds_of_readers_meet_a_waiting_writer) {
    static VISITOR Writer, Late;
    Arrivals = 0;
    Prepare();
    ExAcquireResourceSharedLite(&Resource, TRUE);
    Send(&Writer, ExAcquireResourceExclusiveLite);
    KT_WAIT_UNTIL(WaitsFor(&Writer, LockResourceExclusive));
    KT_EXPECT(ExAcquireResourceSharedLite(&Resource, FALSE)); /* for it is an owner already */
    KT_EXPECT(ExAcquireSharedStarveExclusive(&Resource, FALSE));
    KT_EXPECT(!ExAcquireSharedWaitForExclusive(&Resource, FALSE)); /* an owner too, but this one waits for any writer */
    Send(&Late, ExAcquireSharedStarveExclusive);
    KT_WAIT_UNTIL(Late.Arrival == 1); /* past the writer */
    SendAway(&Late);
    Send(&Late, ExAcquireResourceSharedLite);
    KT_WAIT_UNTIL(WaitsFor(&Late, LockResourceShared));
    for (ULONG i = 0; i < 3; i++) {
        ExReleaseResourceLite(&Resource);
    }
    KT_WAIT_UNTIL(Writer.Arrival == 2);
    SendAway(&Writer);
    KT_WAIT_UNTIL(Late.Arrival == 3);
    SendAway(&Late);
    Finish();
}

KTEST(resource_waiter_lends_its_priority_and_an_IO_boost_to_the_owner) {
    static VISITOR Writer;
    PKTHREAD Me = KeGetCurrentThread();
    Arrivals = 0;
    Prepare();
    ExAcquireResourceExclusiveLite(&Resource, TRUE);
    Writer.Acquire = ExAcquireResourceExclusiveLite;
    Writer.Arrival = 0;
    KeInitializeEvent(&Writer.Leave, NotificationEvent, TRUE);
    KT_REQUIRE(KtCreateThread(&Writer.Thread, "writer", 12, KT_ANY_PROCESSOR, Visit, &Writer));
    KT_WAIT_UNTIL(WaitsFor(&Writer, LockResourceExclusive));
    KT_EXPECT_EQ(Me->IoBoostCount, 1);
    KT_EXPECT(Resource.OwnerEntry.IoPriorityBoosted);
    KT_WAIT_UNTIL(KeQueryPriorityThread(Me) > 8); /* at the latest when the wait has lasted for half a second */
    ExReleaseResourceLite(&Resource);
    KT_EXPECT_EQ(Me->IoBoostCount, 0);
    KtJoin(&Writer.Thread);
    Finish();
}

KTEST(resource_owner_is_known_to_who_asks) {
    static VISITOR Writer;
    Prepare();
    KT_EXPECT_EQ(ExQueryResourceOwner(&Resource), NULL);
    Send(&Writer, ExAcquireResourceExclusiveLite);
    KT_WAIT_UNTIL(Writer.Arrival != 0);
    KT_EXPECT_EQ(ExQueryResourceOwner(&Resource), &Writer.Thread.Thread->Tcb);
    KIRQL OldIrql = KeAcquireSpinLockRaiseToDpc(&KiDispatcherLock);
    PKTHREAD Owner = ExQueryLockOwner(&Resource, LockResourceShared);
    KeReleaseSpinLock(&KiDispatcherLock, OldIrql);
    KT_EXPECT_EQ(Owner, &Writer.Thread.Thread->Tcb);
    SendAway(&Writer);
    Finish();
}

/* Owner pointers make many owners without as many threads. */
KTEST(resource_owners_are_found_in_a_table_that_has_been_replaced) {
    const ULONG Owners = 20;
    Prepare();
    POWNER_ENTRY First = NULL;
    for (ULONG i = 1; i <= Owners; i++) {
        ExAcquireResourceSharedLite(&Resource, TRUE);
        ExSetResourceOwnerPointer(&Resource, (PVOID)(ULONG64)(16 * i | 3));
        First = First == NULL ? Resource.OwnerTable : First;
    }
    KT_REQUIRE(First != NULL && Resource.OwnerTable != First);
    POWNER_ENTRY Smaller = Resource.OwnerTable;
    while (Smaller != NULL && Smaller != First) {
        Smaller = (POWNER_ENTRY)Smaller[0].OwnerThread;
    }
    KT_EXPECT_EQ(Smaller, First);
    KT_EXPECT_EQ(First[1].OwnerThread, 16 * 2 | 3);
    for (ULONG i = 1; i <= Owners; i++) {
        ExReleaseResourceForThreadLite(&Resource, 16 * i | 3);
    }
    Finish();
}

/* ---- Under load ---- */

static volatile LONG Readers, Writers;
static volatile ULONG Total, Writes;

static VOID ReadOrWrite(PVOID Context) {
    KT_RANDOM Random;
    KtSeedRandom(&Random, (ULONG64)Context);
    KeEnterCriticalRegion();
    for (ULONG i = 0; i < KtRendezvous(1500); i++) { /* each owner is waited for */
        ULONG Way = KtRandom(&Random, 8);
        if (Way < 3) {
            ExAcquireResourceExclusiveLite(&Resource, TRUE);
            KT_EXPECT_EQ(InterlockedIncrement(&Writers), 1);
            KT_EXPECT_EQ(Readers, 0);
            ULONG Seen = Total;
            if (Way == 0) {
                KeYieldThread();
            }
            Total = Seen + 1;
            InterlockedIncrement((volatile LONG *)&Writes);
            InterlockedDecrement(&Writers);
            if (Way == 1) {
                ExConvertExclusiveToSharedLite(&Resource);
                InterlockedIncrement(&Readers);
                InterlockedDecrement(&Readers);
            }
        } else {
            BOOLEAN(*Acquire)
            (PERESOURCE, BOOLEAN) = Way == 3   ? ExAcquireSharedStarveExclusive
                                    : Way == 4 ? ExAcquireSharedWaitForExclusive
                                               : ExAcquireResourceSharedLite;
            Acquire(&Resource, TRUE);
            InterlockedIncrement(&Readers);
            KT_EXPECT_EQ(Writers, 0);
            if (Way == 5) {
                KeYieldThread();
            }
            InterlockedDecrement(&Readers);
        }
        ExReleaseResourceLite(&Resource);
    }
    KeLeaveCriticalRegion();
}

KTEST(resource_keeps_writers_apart_from_everybody) {
    static KT_THREAD Thread[8];
    Readers = Writers = 0;
    Total = Writes = 0;
    Prepare();
    for (ULONG64 i = 0; i < 8; i++) {
        KT_REQUIRE(KtCreateThread(&Thread[i], "visitor", 8, KT_ANY_PROCESSOR, ReadOrWrite, (PVOID)i));
    }
    for (ULONG i = 0; i < 8; i++) {
        KtJoin(&Thread[i]);
    }
    KT_EXPECT_EQ(Total, Writes);
    Finish();
}

/* ---- Stops of the machine ---- */

static volatile BOOLEAN HasIt;

static VOID TakeAndStay(PVOID Context) {
    KEVENT *Go = Context;
    KeEnterCriticalRegion();
    ExAcquireResourceExclusiveLite(&Resource, TRUE);
    HasIt = TRUE;
    KeWaitForSingleObject(Go, Executive, KernelMode, FALSE, NULL);
    ExReleaseResourceLite(&Resource); /* another thread has done so: the innocent one is caught */
    KeLeaveCriticalRegion();
}

KTEST_CRASH(resource_released_by_a_stranger) {
    static KT_THREAD Thread;
    static KEVENT Go;
    KeInitializeEvent(&Go, NotificationEvent, FALSE);
    Prepare();
    KtCreateThread(&Thread, "owner", 8, KT_ANY_PROCESSOR, TakeAndStay, &Go);
    KT_WAIT_UNTIL(HasIt);
    ExReleaseResourceLite(&Resource);
    KeSetEvent(&Go, IO_NO_INCREMENT, FALSE);
    KtSleep(1000);
}

KTEST_CRASH(resource_released_without_being_owned) {
    Prepare();
    ExReleaseResourceLite(&Resource);
}

KTEST_CRASH(resource_released_for_a_thread_that_does_not_own_it) {
    Prepare();
    ExAcquireResourceExclusiveLite(&Resource, TRUE);
    ExReleaseResourceForThreadLite(&Resource, (ERESOURCE_THREAD)&Resource);
}

KTEST_CRASH(resource_owner_pointer_that_is_none) {
    Prepare();
    ExAcquireResourceExclusiveLite(&Resource, TRUE);
    ExSetResourceOwnerPointer(&Resource, &Resource);
}

static VOID TakeAndEnd(PVOID Context) {
    KEVENT *Go = Context;
    KeEnterCriticalRegion();
    ExAcquireResourceExclusiveLite(&Resource, TRUE);
    HasIt = TRUE;
    KeWaitForSingleObject(Go, Executive, KernelMode, FALSE, NULL);
    KeLeaveCriticalRegion();
}

KTEST_CRASH(resource_owner_ends_while_another_waits) {
    static KT_THREAD Thread;
    static VISITOR Writer;
    static KEVENT Go;
    KeInitializeEvent(&Go, NotificationEvent, FALSE);
    Prepare();
    KtCreateThread(&Thread, "owner", 8, KT_ANY_PROCESSOR, TakeAndEnd, &Go);
    KT_WAIT_UNTIL(HasIt);
    Send(&Writer, ExAcquireResourceExclusiveLite);
    KT_WAIT_UNTIL(WaitsFor(&Writer, LockResourceExclusive));
    KeSetEvent(&Go, IO_NO_INCREMENT, FALSE);
    KtJoin(&Thread);
    KtSleep(1000);
}
