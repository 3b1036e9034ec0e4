/* ramstore.c: a page file in RAM, for machines without a disk. A page that is paged out still leaves its frame and its
 * PTE: all that the story shows is real but the journey's length.
 *
 * Requests are completed by a DPC, never inside Submit, so that callers see the same order of events as with a disk.
 * The memory comes in chunks, because there may be no contiguous run of many megabytes. */
#include <kd.h>
#include <mm.h>
#include <ring.h>
#include "iop.h"

#define CHUNK_PAGES 64
#define CHUNK_BYTES (CHUNK_PAGES * PAGE_SIZE)
#define MINIMUM_BYTES (1u << 20)
#define MAXIMUM_BYTES (64u << 20)
#define MAXIMUM_CHUNKS (MAXIMUM_BYTES / CHUNK_BYTES)

KE_DECLARE_LOCK(IopRamStoreLock, RANK_BLOCK, "the queue of requests to the RAM store");
static LIST_ENTRY RamQueue = {&RamQueue, &RamQueue};
static KDPC RamDpc;
static ULONG64 RamChunks[MAXIMUM_CHUNKS]; /* physical addresses */
static BLOCK_DEVICE RamDevice;
static BOOLEAN IsRamPolled;

/* A page of a request may begin anywhere, so a transfer may cross from one chunk into the next. */
static VOID Transfer(PBLOCK_REQUEST Request) {
    PUCHAR Memory = MmPhysicalToVirtual(Request->PhysicalAddress);
    ULONG64 Offset = Request->Sector * BLOCK_SECTOR_SIZE;
    for (ULONG Done = 0; Done < Request->LengthBytes;) {
        ULONG InChunk = (ULONG)(Offset % CHUNK_BYTES);
        ULONG Length = CHUNK_BYTES - InChunk;
        if (Length > Request->LengthBytes - Done) {
            Length = Request->LengthBytes - Done;
        }
        PUCHAR Store = (PUCHAR)MmPhysicalToVirtual(RamChunks[Offset / CHUNK_BYTES]) + InChunk;
        memcpy(Request->IsWrite ? Store : Memory + Done, Request->IsWrite ? Memory + Done : Store, Length);
        Done += Length;
        Offset += Length;
    }
}

static BOOLEAN IsInside(const BLOCK_REQUEST *Request) {
    ULONG64 Sectors = Request->LengthBytes / BLOCK_SECTOR_SIZE;
    return Sectors != 0 && Request->LengthBytes % BLOCK_SECTOR_SIZE == 0 && Request->Sector < RamDevice.SectorCount &&
           Sectors <= RamDevice.SectorCount - Request->Sector;
}

/* No lock held. */
static VOID CompleteAll(PLIST_ENTRY Queue) {
    while (!IsListEmpty(Queue)) {
        PBLOCK_REQUEST Request = CONTAINING_RECORD(RemoveHeadList(Queue), BLOCK_REQUEST, ListEntry);
        BOOLEAN IsValid = IsInside(Request);
        if (IsValid) {
            Transfer(Request);
        }
        Request->Status = IsValid ? STATUS_SUCCESS : STATUS_INVALID_PARAMETER;
        Request->Complete(Request);
    }
}

static VOID CompletionDpc(PKDPC Dpc, PVOID Context, PVOID Argument1, PVOID Argument2) {
    UNREFERENCED_PARAMETER(Dpc);
    UNREFERENCED_PARAMETER(Context);
    UNREFERENCED_PARAMETER(Argument1);
    UNREFERENCED_PARAMETER(Argument2);
    LIST_ENTRY Ready;
    InitializeListHead(&Ready);
    KeAcquireSpinLockAtDpcLevel(&IopRamStoreLock);
    while (!IsListEmpty(&RamQueue)) {
        InsertTailList(&Ready, RemoveHeadList(&RamQueue));
    }
    KeReleaseSpinLockFromDpcLevel(&IopRamStoreLock);
    CompleteAll(&Ready);
}

static VOID RamSubmit(PBLOCK_DEVICE Device, PBLOCK_REQUEST Request) {
    UNREFERENCED_PARAMETER(Device);
    Request->Status = STATUS_PENDING;
    if (IsRamPolled) {
        InsertTailList(&RamQueue, &Request->ListEntry);
        return;
    }
    KIRQL OldIrql = KeAcquireSpinLockRaiseToDpc(&IopRamStoreLock);
    InsertTailList(&RamQueue, &Request->ListEntry);
    KeReleaseSpinLock(&IopRamStoreLock, OldIrql);
    KeInsertQueueDpc(&RamDpc, NULL, NULL);
}

static VOID RamPoll(PBLOCK_DEVICE Device) {
    UNREFERENCED_PARAMETER(Device);
    if (!IsRamPolled) {
        IsRamPolled = TRUE;
        InitializeListHead(&RamQueue);
    }
    CompleteAll(&RamQueue);
}

/* An eighth of the RAM, within limits; fewer chunks when the memory is in use already. Returns the bytes. */
static ULONG64 AllocateChunks(VOID) {
    MM_STATISTICS Statistics;
    MmQueryStatistics(&Statistics);
    ULONG64 Wanted = Statistics.TotalPages * PAGE_SIZE / 8;
    Wanted = Wanted < MINIMUM_BYTES ? MINIMUM_BYTES : Wanted > MAXIMUM_BYTES ? MAXIMUM_BYTES : Wanted;
    ULONG64 Bytes = 0;
    for (ULONG i = 0; Bytes + CHUNK_BYTES <= Wanted; i++, Bytes += CHUNK_BYTES) {
        RamChunks[i] = MmAllocatePhysicalPages(CHUNK_PAGES);
        if (RamChunks[i] == 0) {
            break;
        }
    }
    return Bytes;
}

static VOID CreateRamStore(VOID) {
    if (IoGetBlockDevice(0) != NULL) {
        return;
    }
    ULONG64 Bytes = AllocateChunks();
    if (Bytes == 0) {
        KdPutString("io: no disk, and no RAM to spare in its place\n");
        return;
    }
    KeInitializeDpc(&RamDpc, CompletionDpc, NULL);
    RamDevice = (BLOCK_DEVICE){.Name = "RAM store",
                               .SectorCount = Bytes / BLOCK_SECTOR_SIZE,
                               .MaximumBytes = CHUNK_BYTES,
                               .Submit = RamSubmit,
                               .Poll = RamPoll};
    KdPrintf("io: no disk: paging to %u MiB of RAM\n", (ULONG)(Bytes >> 20));
    IopInsertBlockDevice(&RamDevice);
}
KE_STARTUP_STEP(StartAfterDisks, CreateRamStore);
