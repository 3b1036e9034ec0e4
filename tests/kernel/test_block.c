/* test_block.c: the disk: writes are read back, many requests at once, completing in any order.
 *
 * The first disk holds the page file, which stays in use: the tests write to page-file slots that they have
 * allocated. */
#include <io.h>
#include "ktest.h"

#define SECTORS_PER_PAGE (PAGE_SIZE / BLOCK_SECTOR_SIZE)
#define MANY 200 /* more than a queue of 256 descriptors has slots for, so that some must wait */

/* The page file's allocator (mm/pagefile.c); guarded by MmPfnLock. */
extern KSPIN_LOCK MmPfnLock;
ULONG MiAllocateSlot(VOID);
VOID MiFreeSlot(ULONG Slot);

static ULONG AllocateSlot(VOID) {
    KIRQL OldIrql = KeAcquireSpinLockRaiseToDpc(&MmPfnLock);
    ULONG Slot = MiAllocateSlot();
    KeReleaseSpinLock(&MmPfnLock, OldIrql);
    return Slot;
}

static VOID FreeSlot(ULONG Slot) {
    KIRQL OldIrql = KeAcquireSpinLockRaiseToDpc(&MmPfnLock);
    MiFreeSlot(Slot);
    KeReleaseSpinLock(&MmPfnLock, OldIrql);
}

/* ---- One page of disk with one page of memory ---- */

typedef struct _TRANSFER {
    BLOCK_REQUEST Request;
    KEVENT Done;
    ULONG Slot;
    ULONG64 Frame;       /* physical address */
    volatile LONG Calls; /* of Complete */
    KIRQL Irql;
    BOOLEAN IsDpcActive;
    NTSTATUS StatusSeen;
    volatile LONG *Counter; /* of a group, or NULL */
    LONG Place;             /* among the group's completed ones, from 1 */
    ULONG RoundsLeft;       /* Complete starts the request again */
} TRANSFER;

static VOID Complete(PBLOCK_REQUEST Request) {
    TRANSFER *Transfer = Request->Context;
    Transfer->Irql = KeGetCurrentIrql();
    Transfer->IsDpcActive = KeIsDpcActive();
    Transfer->StatusSeen = Request->Status;
    InterlockedIncrement(&Transfer->Calls);
    if (Transfer->RoundsLeft != 0) {
        Transfer->RoundsLeft--;
        PBLOCK_DEVICE Disk = IoGetBlockDevice(0);
        Disk->Submit(Disk, Request);
        return;
    }
    if (Transfer->Counter) {
        Transfer->Place = InterlockedIncrement(Transfer->Counter);
    }
    KeSetEvent(&Transfer->Done, IO_DISK_INCREMENT, FALSE);
}

static BOOLEAN Prepare(TRANSFER *Transfer) {
    *Transfer = (TRANSFER){0};
    KeInitializeEvent(&Transfer->Done, SynchronizationEvent, FALSE);
    Transfer->Slot = AllocateSlot();
    Transfer->Frame = MmAllocatePhysicalPages(1);
    Transfer->Request.Sector = (ULONG64)Transfer->Slot * SECTORS_PER_PAGE;
    Transfer->Request.PhysicalAddress = Transfer->Frame;
    Transfer->Request.LengthBytes = PAGE_SIZE;
    Transfer->Request.Complete = Complete;
    Transfer->Request.Context = Transfer;
    return Transfer->Slot != 0 && Transfer->Frame != 0;
}

static VOID Dispose(TRANSFER *Transfer) {
    if (Transfer->Slot) {
        FreeSlot(Transfer->Slot);
    }
    if (Transfer->Frame) {
        MmFreePhysicalPages(Transfer->Frame, 1);
    }
}

static VOID Start(TRANSFER *Transfer, BOOLEAN IsWrite) {
    PBLOCK_DEVICE Disk = IoGetBlockDevice(0);
    Transfer->Request.IsWrite = IsWrite;
    Disk->Submit(Disk, &Transfer->Request);
}

static NTSTATUS Await(TRANSFER *Transfer) {
    KeWaitForSingleObject(&Transfer->Done, Executive, KernelMode, FALSE, NULL);
    return Transfer->Request.Status;
}

static NTSTATUS Run(TRANSFER *Transfer, BOOLEAN IsWrite) {
    Start(Transfer, IsWrite);
    return Await(Transfer);
}

static VOID Fill(TRANSFER *Transfer, ULONG64 Value) {
    ULONG64 *Words = MmPhysicalToVirtual(Transfer->Frame);
    for (ULONG Index = 0; Index < PAGE_SIZE / 8; Index++) {
        Words[Index] = Value * 0x9E3779B97F4A7C15 + Index;
    }
}

static BOOLEAN Holds(TRANSFER *Transfer, ULONG64 Value) {
    const ULONG64 *Words = MmPhysicalToVirtual(Transfer->Frame);
    for (ULONG Index = 0; Index < PAGE_SIZE / 8; Index++) {
        if (Words[Index] != Value * 0x9E3779B97F4A7C15 + Index) {
            return FALSE;
        }
    }
    return TRUE;
}

static VOID Wipe(TRANSFER *Transfer) {
    memset(MmPhysicalToVirtual(Transfer->Frame), 0xEE, PAGE_SIZE);
}

/* ---- One request ---- */

KTEST(block_what_is_written_is_read_back) {
    TRANSFER Transfer;
    KT_EXPECT(Prepare(&Transfer));
    Fill(&Transfer, 1);
    KT_EXPECT_EQ(Run(&Transfer, TRUE), STATUS_SUCCESS);
    Wipe(&Transfer);
    KT_EXPECT_EQ(Run(&Transfer, FALSE), STATUS_SUCCESS);
    KT_EXPECT(Holds(&Transfer, 1));
    Dispose(&Transfer);
}

KTEST(block_a_single_sector_leaves_its_neighbours) {
    TRANSFER Transfer;
    KT_EXPECT(Prepare(&Transfer));
    PUCHAR Bytes = MmPhysicalToVirtual(Transfer.Frame);
    Fill(&Transfer, 2);
    KT_EXPECT_EQ(Run(&Transfer, TRUE), STATUS_SUCCESS);
    memset(Bytes + 3 * BLOCK_SECTOR_SIZE, 0x77, BLOCK_SECTOR_SIZE);
    Transfer.Request.Sector += 3;
    Transfer.Request.PhysicalAddress += 3 * BLOCK_SECTOR_SIZE;
    Transfer.Request.LengthBytes = BLOCK_SECTOR_SIZE;
    KT_EXPECT_EQ(Run(&Transfer, TRUE), STATUS_SUCCESS);
    Transfer.Request.Sector -= 3;
    Transfer.Request.PhysicalAddress -= 3 * BLOCK_SECTOR_SIZE;
    Transfer.Request.LengthBytes = PAGE_SIZE;
    Wipe(&Transfer);
    KT_EXPECT_EQ(Run(&Transfer, FALSE), STATUS_SUCCESS);
    for (ULONG Index = 0; Index < BLOCK_SECTOR_SIZE; Index++) {
        KT_EXPECT_EQ(Bytes[3 * BLOCK_SECTOR_SIZE + Index], 0x77);
    }
    TRANSFER Other;
    KT_EXPECT(Prepare(&Other));
    Fill(&Other, 2);
    memset((PUCHAR)MmPhysicalToVirtual(Other.Frame) + 3 * BLOCK_SECTOR_SIZE, 0x77, BLOCK_SECTOR_SIZE);
    KT_EXPECT(memcmp(Bytes, MmPhysicalToVirtual(Other.Frame), PAGE_SIZE) == 0);
    Dispose(&Other);
    Dispose(&Transfer);
}

KTEST(block_completes_once_in_a_dpc_at_DISPATCH_LEVEL) {
    TRANSFER Transfer;
    KT_EXPECT(Prepare(&Transfer));
    KT_EXPECT_EQ(Run(&Transfer, FALSE), STATUS_SUCCESS);
    KT_EXPECT_EQ(Transfer.Irql, DISPATCH_LEVEL);
    KT_EXPECT(Transfer.IsDpcActive);
    KT_EXPECT_EQ(Transfer.StatusSeen, STATUS_SUCCESS);
    KeFlushQueuedDpcs();
    KT_EXPECT_EQ(Transfer.Calls, 1);
    Dispose(&Transfer);
}

KTEST(block_completion_routine_may_start_the_request_again) {
    TRANSFER Transfer;
    KT_EXPECT(Prepare(&Transfer));
    Transfer.RoundsLeft = 9;
    KT_EXPECT_EQ(Run(&Transfer, FALSE), STATUS_SUCCESS);
    KT_EXPECT_EQ(Transfer.Calls, 10);
    Dispose(&Transfer);
}

KTEST(block_can_be_submitted_at_DISPATCH_LEVEL) {
    TRANSFER Transfer;
    KT_EXPECT(Prepare(&Transfer));
    KIRQL OldIrql = KeRaiseIrqlToDpcLevel();
    Start(&Transfer, FALSE);
    KT_EXPECT_EQ(KeGetCurrentIrql(), DISPATCH_LEVEL);
    KeLowerIrql(OldIrql);
    KT_EXPECT_EQ(Await(&Transfer), STATUS_SUCCESS);
    Dispose(&Transfer);
}

/* A request that cannot be is completed like any other, from a DPC, because Submit's caller may hold locks. */
static VOID ExpectRefusal(ULONG64 Sector, ULONG LengthBytes) {
    TRANSFER Transfer;
    KT_EXPECT(Prepare(&Transfer));
    Transfer.Request.Sector = Sector;
    Transfer.Request.LengthBytes = LengthBytes;
    KT_EXPECT_EQ(Run(&Transfer, FALSE), STATUS_INVALID_PARAMETER);
    KT_EXPECT(Transfer.IsDpcActive);
    KT_EXPECT_EQ(Transfer.Calls, 1);
    Dispose(&Transfer);
}

KTEST(block_refuses_what_is_not_wholly_on_the_disk) {
    ULONG64 Sectors = IoGetBlockDevice(0)->SectorCount;
    ExpectRefusal(Sectors, PAGE_SIZE);
    ExpectRefusal(Sectors - 1, PAGE_SIZE);
    ExpectRefusal(~0ULL, PAGE_SIZE);
    ExpectRefusal(~0ULL - 7, PAGE_SIZE);
}

KTEST(block_refuses_lengths_that_are_no_sectors) {
    ExpectRefusal(SECTORS_PER_PAGE, 0);
    ExpectRefusal(SECTORS_PER_PAGE, 100);
    ExpectRefusal(SECTORS_PER_PAGE, BLOCK_SECTOR_SIZE + 1);
}

KTEST(block_reads_to_the_last_sector) {
    TRANSFER Transfer;
    KT_EXPECT(Prepare(&Transfer));
    Transfer.Request.Sector = IoGetBlockDevice(0)->SectorCount - SECTORS_PER_PAGE;
    KT_EXPECT_EQ(Run(&Transfer, FALSE), STATUS_SUCCESS);
    Dispose(&Transfer);
}

/* ---- Many requests ---- */

static VOID AwaitAll(TRANSFER *Transfers, ULONG Count, ULONG64 ExpectedValue, BOOLEAN IsRead) {
    for (ULONG Index = 0; Index < Count; Index++) {
        KT_EXPECT_EQ(Await(&Transfers[Index]), STATUS_SUCCESS);
        KT_EXPECT(!IsRead || Holds(&Transfers[Index], ExpectedValue + Index));
    }
}

static ULONG PrepareMany(TRANSFER *Transfers, ULONG Wanted) {
    for (ULONG Index = 0; Index < Wanted; Index++) {
        if (!Prepare(&Transfers[Index])) {
            Dispose(&Transfers[Index]);
            return Index;
        }
    }
    return Wanted;
}

static VOID WriteThenReadMany(ULONG Wanted) {
    TRANSFER *Transfers = ExAllocatePoolWithTag(NonPagedPoolNx, Wanted * sizeof(TRANSFER), 0x6B6C4254);
    KT_REQUIRE(Transfers != NULL);
    ULONG Count = PrepareMany(Transfers, Wanted); /* fewer on a small machine */
    KT_EXPECT(Count > 0);
    for (ULONG Index = 0; Index < Count; Index++) {
        Fill(&Transfers[Index], 1000 + Index);
        Start(&Transfers[Index], TRUE);
    }
    AwaitAll(Transfers, Count, 0, FALSE);
    for (ULONG Index = 0; Index < Count; Index++) {
        Wipe(&Transfers[Index]);
        Start(&Transfers[Index], FALSE);
    }
    AwaitAll(Transfers, Count, 1000, TRUE);
    for (ULONG Index = 0; Index < Count; Index++) {
        KT_EXPECT_EQ(Transfers[Index].Calls, 2);
        Dispose(&Transfers[Index]);
    }
    ExFreePoolWithTag(Transfers, 0x6B6C4254);
}

KTEST(block_64_requests_are_in_flight_together) {
    WriteThenReadMany(64);
}

KTEST(block_more_requests_than_the_queue_has_room_for_wait_and_complete) {
    WriteThenReadMany(MANY);
}

/* A CPU at DISPATCH_LEVEL takes no DPC, but the others do: on one CPU nothing completes before the level falls. */
KTEST(block_nothing_completes_while_the_only_cpu_is_at_DISPATCH_LEVEL) {
    if (KeNumberProcessors != 1) {
        KtSkip("needs a machine with one CPU");
        return;
    }
    TRANSFER Transfers[8];
    volatile LONG Completed = 0;
    KT_REQUIRE(PrepareMany(Transfers, 8) == 8);
    KIRQL OldIrql = KeRaiseIrqlToDpcLevel();
    for (ULONG Index = 0; Index < 8; Index++) {
        Transfers[Index].Counter = &Completed;
        Start(&Transfers[Index], FALSE);
    }
    KeStallExecutionProcessor(2000);
    KT_EXPECT_EQ(Completed, 0);
    KeLowerIrql(OldIrql);
    AwaitAll(Transfers, 8, 0, FALSE);
    KT_EXPECT_EQ(Completed, 8);
    for (ULONG Index = 0; Index < 8; Index++) {
        Dispose(&Transfers[Index]);
    }
}

static VOID StressOneCpu(ULONG Processor, PVOID Context) {
    KT_RANDOM Random;
    TRANSFER Transfers[4];
    ULONG64 Value[4] = {0};
    UNREFERENCED_PARAMETER(Context);
    KtSeedRandom(&Random, Processor);
    ULONG Count = PrepareMany(Transfers, 4);
    ULONG Rounds = KtStress(400);
    for (ULONG Round = 0; Round < Rounds && Count > 0; Round++) {
        ULONG Index = KtRandom(&Random, Count);
        TRANSFER *Transfer = &Transfers[Index];
        if (Value[Index] == 0 || KtRandom(&Random, 2) == 0) {
            Value[Index] = (ULONG64)(Processor + 1) << 32 | Round;
            Fill(Transfer, Value[Index]);
            KT_EXPECT_EQ(Run(Transfer, TRUE), STATUS_SUCCESS);
        } else {
            Wipe(Transfer);
            KT_EXPECT_EQ(Run(Transfer, FALSE), STATUS_SUCCESS);
            KT_EXPECT(Holds(Transfer, Value[Index]));
        }
    }
    for (ULONG Index = 0; Index < Count; Index++) {
        Dispose(&Transfers[Index]);
    }
}

KTEST(block_requests_of_all_cpus_do_not_mix) {
    KtRunOnAllCpus(StressOneCpu, NULL);
}

KTEST(block_virtio_completes_by_interrupts) {
    if (strncmp(IoGetBlockDevice(0)->Name, "virtio", 6) != 0) {
        KtSkip("needs a disk with interrupts");
        return;
    }
    TRANSFER Transfer;
    KT_EXPECT(Prepare(&Transfer));
    LONG64 Before = IoInterruptCount;
    for (ULONG Round = 0; Round < 10; Round++) {
        KT_EXPECT_EQ(Run(&Transfer, FALSE), STATUS_SUCCESS);
    }
    KT_EXPECT(IoInterruptCount >= Before + 10); /* one by one, so none can have melted together */
    Dispose(&Transfer);
}

/* Each seed has its own order, and over some rounds a request overtakes an earlier one. */
KTEST(block_seeded_requests_overtake_each_other) {
    if (strncmp(IoGetBlockDevice(0)->Name, "ivshmem", 7) != 0 || KeSeed == 0) {
        KtSkip("needs the shared-memory disk and a seed");
        return;
    }
    TRANSFER Transfers[8];
    ULONG Overtaken = 0;
    KT_REQUIRE(PrepareMany(Transfers, 8) == 8);
    for (ULONG Round = 0; Round < 4; Round++) {
        volatile LONG Completed = 0;
        for (ULONG Index = 0; Index < 8; Index++) {
            Transfers[Index].Counter = &Completed;
            Start(&Transfers[Index], FALSE);
        }
        AwaitAll(Transfers, 8, 0, FALSE);
        for (ULONG Index = 1; Index < 8; Index++) {
            Overtaken += Transfers[Index].Place < Transfers[Index - 1].Place;
        }
    }
    KT_EXPECT(Overtaken > 0);
    for (ULONG Index = 0; Index < 8; Index++) {
        Dispose(&Transfers[Index]);
    }
}

KTEST(block_large_requests_reach_the_second_disk) {
    PBLOCK_DEVICE Disk = IoGetBlockDevice(1);
    if (Disk == NULL) {
        KtSkip("needs two disks");
        return;
    }
    TRANSFER Transfer = {0};
    KeInitializeEvent(&Transfer.Done, SynchronizationEvent, FALSE);
    ULONG Pages = 64;
    ULONG64 Physical = MmAllocatePhysicalPages(Pages);
    KT_REQUIRE(Physical != 0);
    ULONG64 *Words = MmPhysicalToVirtual(Physical);
    for (ULONG Index = 0; Index < Pages * PAGE_SIZE / 8; Index++) {
        Words[Index] = Index ^ 0x5A5A5A5A5A5A5A5A;
    }
    Transfer.Request = (BLOCK_REQUEST){.IsWrite = TRUE,
                                       .Sector = 128,
                                       .PhysicalAddress = Physical,
                                       .LengthBytes = Pages * PAGE_SIZE,
                                       .Complete = Complete,
                                       .Context = &Transfer};
    Disk->Submit(Disk, &Transfer.Request);
    KT_EXPECT_EQ(Await(&Transfer), STATUS_SUCCESS);
    memset(Words, 0, Pages * PAGE_SIZE);
    Transfer.Request.IsWrite = FALSE;
    Disk->Submit(Disk, &Transfer.Request);
    KT_EXPECT_EQ(Await(&Transfer), STATUS_SUCCESS);
    for (ULONG Index = 0; Index < Pages * PAGE_SIZE / 8; Index++) {
        KT_EXPECT(Words[Index] == (Index ^ 0x5A5A5A5A5A5A5A5A));
    }
    MmFreePhysicalPages(Physical, Pages);
}

/* ---- The dying machine: ends in MANUALLY_INITIATED_CRASH (1, pages that came back whole, pages tried, 0) ---- */

static VOID Forget(PBLOCK_REQUEST Request) {
    UNREFERENCED_PARAMETER(Request);
}

static NTSTATUS RunPolled(PBLOCK_DEVICE Disk, TRANSFER *Transfer, BOOLEAN IsWrite) {
    Transfer->Request.Complete = Forget;
    Start(Transfer, IsWrite);
    for (ULONG Tries = 0; Transfer->Request.Status == STATUS_PENDING && Tries < 1000000; Tries++) {
        Disk->Poll(Disk);
        YieldProcessor();
    }
    return Transfer->Request.Status;
}

KTEST_CRASH(block_works_polled_at_HIGH_LEVEL) {
    static TRANSFER Transfers[16], InFlight[8];
    PBLOCK_DEVICE Disk = IoGetBlockDevice(0);
    ULONG Whole = 0;
    KT_REQUIRE(PrepareMany(Transfers, 16) == 16 && PrepareMany(InFlight, 8) == 8);
    for (ULONG Index = 0; Index < 8; Index++) {
        Start(&InFlight[Index], FALSE); /* the takeover meets a device at work */
    }
    KfRaiseIrql(HIGH_LEVEL);
    Disk->Poll(Disk);
    for (ULONG Index = 0; Index < 16; Index++) {
        Fill(&Transfers[Index], Index);
        RunPolled(Disk, &Transfers[Index], TRUE);
        Wipe(&Transfers[Index]);
    }
    for (ULONG Index = 0; Index < 16; Index++) {
        Whole += RunPolled(Disk, &Transfers[Index], FALSE) == STATUS_SUCCESS && Holds(&Transfers[Index], Index);
    }
    KeBugCheckEx(MANUALLY_INITIATED_CRASH, 1, Whole, 16, 0);
}
