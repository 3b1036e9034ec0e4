/* specialpool.c: the verifier's pool: each block alone in a page, its last byte at the page's end.
 *
 *      | fill ... fill | block          |fill|  nothing is mapped here  |
 *      page start       Start, 16-aligned    page end = guard page       next slot
 *
 * So a touch past the end faults at the instruction that makes it (0xCD, 0xD6), and so does a touch of a freed block
 * (0xCC, 0xD5): its page is unmapped at once, and its slot is used again only after all others, first freed first
 * reused. Writes that do not fault, before the block and into the last odd bytes, are found by the fill when the block
 * is freed (0xC1). Half of the slots are pageable. When slots or pages run short the caller takes normal pool. */
#include "mi.h"
#include "pool.h"
#include <bugcheck.h>
#include <kd.h>
#include <ring.h>
#include <trace.h>

#define SLOT_PAGES 2 /* the block's page and the guard page */
#define SLOT_BYTES (SLOT_PAGES * PAGE_SIZE)
#define LEAST_SLOTS 256
#define MOST_SLOTS 4096
#define NO_SLOT 0xFFFFFFFFu
#define BASE_TYPE_MASK 7
#define MUST_SUCCEED 2
#define CACHE_ALIGNED 4
#define CACHE_LINE 64
#define TYPE_NX 512
#define TYPE_ZERO 1024

typedef struct _SPECIAL_ARENA {
    ULONG64 Start;
    ULONG Slots;
    ULONG First, Last; /* the queue of slots that are not in use; SpecialPoolLock */
    MM_SPECIAL_BLOCK *Block;
} SPECIAL_ARENA;

KE_DECLARE_LOCK(MiSpecialPoolLock, RANK_POOL, "the queues of special-pool slots that are not in use");

static MI_RANGE MiSpecialPagedRange = {.Start = MM_SPECIAL_PAGED_POOL}; /* no bitmap: its blocks have fixed places */
MI_PAGEABLE_RANGE(MiSpecialPagedRange);
static SPECIAL_ARENA Arena[2] = {{.Start = MM_SPECIAL_POOL}, {.Start = MM_SPECIAL_PAGED_POOL}};
VOID (*MmCaptureStack)(PVOID *Frames, ULONG Maximum);

/* ---- Start ---- */

static VOID LinkSlots(SPECIAL_ARENA *In) {
    for (ULONG Slot = 0; Slot < In->Slots; Slot++) {
        In->Block[Slot].Next = Slot + 1 < In->Slots ? Slot + 1 : NO_SLOT;
    }
    In->First = 0;
    In->Last = In->Slots - 1;
}

/* PASSIVE_LEVEL, one caller at a time. FALSE: no memory for the tables; every block then comes from the normal pool. */
BOOLEAN MmEnableSpecialPool(VOID) {
    if (Arena[0].Slots != 0) {
        return TRUE;
    }
    ULONG64 Wanted = MiTotalPages / 16;
    ULONG Slots = Wanted < LEAST_SLOTS ? LEAST_SLOTS : Wanted > MOST_SLOTS ? MOST_SLOTS : (ULONG)Wanted;
    MM_SPECIAL_BLOCK *Block = MmAllocateMappedPages(RegionSystemPtes, 2 * Slots * sizeof(*Block));
    if (Block == NULL) {
        return FALSE;
    }
    for (ULONG IsPaged = 0; IsPaged < 2; IsPaged++) {
        SPECIAL_ARENA *In = &Arena[IsPaged];
        In->Block = Block + IsPaged * Slots;
        In->Slots = Slots;
        LinkSlots(In);
    }
    MiSpecialPagedRange.Pages = MiSpecialPagedRange.HighestUsed = (ULONG64)Slots * SLOT_PAGES;
    return TRUE;
}

/* ---- Slots ---- */

static ULONG64 SlotAddress(const SPECIAL_ARENA *In, ULONG Slot) {
    return In->Start + (ULONG64)Slot * SLOT_BYTES;
}

static ULONG TakeSlot(SPECIAL_ARENA *In) {
    KIRQL OldIrql;
    KeAcquireSpinLock(&MiSpecialPoolLock, &OldIrql);
    ULONG Slot = In->Slots == 0 ? NO_SLOT : In->First;
    if (Slot != NO_SLOT) {
        In->First = In->Block[Slot].Next;
        In->Last = In->First == NO_SLOT ? NO_SLOT : In->Last;
    }
    KeReleaseSpinLock(&MiSpecialPoolLock, OldIrql);
    return Slot;
}

/* At the end of the queue: the address stays inaccessible for as long as can be. */
static VOID ReturnSlot(SPECIAL_ARENA *In, ULONG Slot) {
    KIRQL OldIrql;
    KeAcquireSpinLock(&MiSpecialPoolLock, &OldIrql);
    In->Block[Slot].Next = NO_SLOT;
    if (In->Last == NO_SLOT) {
        In->First = Slot;
    } else {
        In->Block[In->Last].Next = Slot;
    }
    In->Last = Slot;
    KeReleaseSpinLock(&MiSpecialPoolLock, OldIrql);
}

static BOOLEAN IsGoodTag(ULONG Tag) {
    for (ULONG Rest = Tag & ~PROTECTED_POOL; Rest != 0 && Tag != ' GIB'; Rest >>= 8) {
        UCHAR Digit = (UCHAR)((Rest & 0xFF) - '0'), Letter = (UCHAR)((Rest | 0x20) & 0xFF) - 'a';
        if (Digit < 10 || Letter < 26) {
            return TRUE;
        }
    }
    return FALSE;
}

/* A page in reserve for others comes first: special pool is a luxury. */
static BOOLEAN MapSlot(ULONG64 Va, BOOLEAN IsPaged, BOOLEAN IsExecutable) {
    if (ReadULong64NoFence(&MiAvailablePages) < MiHighPages) { /* a page more or less does not matter */
        return FALSE;
    }
    if (IsPaged) {
        return MiMapDemandZeroPages(Va, 1);
    }
    return MiMapResidentPages(Va, 1, IsExecutable ? MI_DATA_BITS & ~PTE_NX : MI_DATA_BITS, FALSE);
}

/* ---- Allocating ---- */

/* NULL: take the normal pool, for a request that does not fit (too large, no slot, no page), or that the normal pool
 * has a bugcheck for (tag, type). IRQL as for the pool, else 0xC1 (IRQL, type, bytes, 0x30). May fault (paged). */
PVOID MmAllocateSpecialPool(POOL_TYPE PoolType, SIZE_T NumberOfBytes, ULONG Tag) {
    BOOLEAN IsPaged = PoolType & PagedPool;
    SPECIAL_ARENA *In = &Arena[IsPaged];
    KIRQL Irql = KiCurrentIrql();
    if (Irql > (IsPaged ? APC_LEVEL : DISPATCH_LEVEL)) {
        KeBugCheckEx(SPECIAL_POOL_DETECTED_MEMORY_CORRUPTION, Irql, PoolType, NumberOfBytes, 0x30);
    }
    if (NumberOfBytes > POOL_SMALL_LIMIT || !IsGoodTag(Tag) ||
        (PoolType & BASE_TYPE_MASK & ~CACHE_ALIGNED) >= MUST_SUCCEED) {
        return NULL;
    }
    ULONG Slot = TakeSlot(In);
    if (Slot == NO_SLOT) {
        return NULL;
    }
    ULONG64 Page = SlotAddress(In, Slot);
    if (!MapSlot(Page, IsPaged, !(PoolType & TYPE_NX))) {
        ReturnSlot(In, Slot);
        return NULL;
    }
    const ULONG64 Alignment = PoolType & CACHE_ALIGNED ? CACHE_LINE : POOL_UNIT;
    ULONG64 Room = NumberOfBytes == 0 ? POOL_UNIT : NumberOfBytes;
    MM_SPECIAL_BLOCK *Block = &In->Block[Slot];
    Block->Start = (Page + PAGE_SIZE - Room) & ~(Alignment - 1);
    Block->Bytes = (ULONG)NumberOfBytes;
    Block->Tag = Tag;
    Block->Fill = (UCHAR)(0x96 + Slot * 2); /* differs from slot to slot, and is never 0 */
    Block->Fill += Block->Fill == 0;
    Block->State = SpecialInUse;
    MmCaptureStack(Block->AllocatedBy, MM_SPECIAL_FRAMES);
    memset(Block->FreedBy, 0, sizeof(Block->FreedBy));
    memset((PVOID)Page, Block->Fill, PAGE_SIZE);
    if (PoolType & TYPE_ZERO) {
        memset((PVOID)Block->Start, 0, NumberOfBytes);
    }
    KdTracePoolAt(Irql, TracePoolAllocate, IsPaged, (PVOID)Block->Start, NumberOfBytes, Tag, Block->AllocatedBy[0]);
    return (PVOID)Block->Start;
}

/* ---- Freeing ---- */

/* Any IRQL, no locks. A freed block is found until its slot is used again. */
const MM_SPECIAL_BLOCK *MmFindSpecialBlock(ULONG64 Va) {
    if (!MmIsSpecialPool(Va)) {
        return NULL;
    }
    const SPECIAL_ARENA *In = &Arena[Va >= MM_SPECIAL_PAGED_POOL];
    ULONG64 Slot = (Va - In->Start) / SLOT_BYTES;
    return Slot < In->Slots ? &In->Block[Slot] : NULL;
}

/* [From, To) holds the fill; anything else was written by code that does not own it. A single changed bit
 * has a reason of its own: that may be the hardware. */
static VOID CheckFill(const MM_SPECIAL_BLOCK *Block, ULONG64 From, ULONG64 To, ULONG Reason) {
    ULONG64 FirstBad = 0;
    ULONG Bad = 0;
    for (ULONG64 At = From; At < To; At++) {
        if (*(const UCHAR *)At != Block->Fill) {
            FirstBad = Bad++ == 0 ? At : FirstBad;
        }
    }
    if (Bad == 0) {
        return;
    }
    ULONG Changed = Bad == 1 ? *(const UCHAR *)FirstBad ^ Block->Fill : 0;
    if (Changed != 0 && (Changed & (Changed - 1)) == 0) {
        Reason = 0x32;
    }
    KeBugCheckEx(SPECIAL_POOL_DETECTED_MEMORY_CORRUPTION, Block->Start, FirstBad, 0, Reason);
}

/* Frees any address of the special pool. Not in use: 0xC1 (address, 0, 0, 0x20); not a block's start: 0xC1 (address,
 * bytes, bytes from there to the page's end, 0x21); bytes around the block changed: 0xC1 (block, where, 0, 0x23 before
 * it, 0x24 behind it, 0x32 by a single bit); too high an IRQL: 0xC1 (IRQL, type, address, 0x31); another tag: 0xC2. */
VOID MmFreeSpecialPool(PVOID P, ULONG Tag) {
    ULONG64 Va = (ULONG64)P;
    BOOLEAN IsPaged = Va >= MM_SPECIAL_PAGED_POOL;
    KIRQL Irql = KiCurrentIrql();
    MM_SPECIAL_BLOCK *Block = (MM_SPECIAL_BLOCK *)MmFindSpecialBlock(Va);
    if (Irql > (IsPaged ? APC_LEVEL : DISPATCH_LEVEL)) {
        KeBugCheckEx(SPECIAL_POOL_DETECTED_MEMORY_CORRUPTION, Irql, IsPaged ? PagedPool : NonPagedPool, Va, 0x31);
    }
    if (Block == NULL || Block->State != SpecialInUse) {
        KeBugCheckEx(SPECIAL_POOL_DETECTED_MEMORY_CORRUPTION, Va, 0, 0, 0x20);
    }
    if (Block->Start != Va) {
        KeBugCheckEx(SPECIAL_POOL_DETECTED_MEMORY_CORRUPTION, Va, Block->Bytes, PAGE_SIZE - BYTE_OFFSET(Va), 0x21);
    }
    if (Tag != 0 && Tag != Block->Tag) {
        KeBugCheckEx(BAD_POOL_CALLER, 0x0A, Va, Block->Tag, Tag);
    }
    ULONG64 Page = (ULONG64)PAGE_ALIGN(Va);
    CheckFill(Block, Va + Block->Bytes, Page + PAGE_SIZE, 0x24);
    CheckFill(Block, Page, Va, 0x23);
    __atomic_store_n(&Block->State, SpecialFreed,
                     __ATOMIC_RELEASE); /* before the page goes: a fault asks what it was */
    MmCaptureStack(Block->FreedBy, MM_SPECIAL_FRAMES);
    KdTracePoolAt(Irql, TracePoolFree, IsPaged, (PVOID)Va, Block->Bytes, Block->Tag, Block->FreedBy[0]);
    MiUnmapPages(Page, 1);
    SPECIAL_ARENA *In = &Arena[IsPaged];
    ReturnSlot(In, (ULONG)(Block - In->Block));
}

/* ---- For the normal pool ---- */

static BOOLEAN FreeBlock(PVOID P, ULONG Tag) {
    BOOLEAN IsSpecial = MmIsSpecialPool((ULONG64)P);
    if (IsSpecial) {
        MmFreeSpecialPool(P, Tag);
    }
    return IsSpecial;
}

static BOOLEAN FindBlock(ULONG64 Va, MM_POOL_BLOCK *Block) {
    const MM_SPECIAL_BLOCK *Special = MmFindSpecialBlock(Va);
    if (Special == NULL || Special->State == SpecialNever) {
        return FALSE;
    }
    BOOLEAN IsPaged = MmFindRegion(Va)->Kind == RegionSpecialPagedPool;
    *Block =
        (MM_POOL_BLOCK){Special->Start, Special->Bytes, Special->Tag, IsPaged, Special->State == SpecialFreed, TRUE};
    return TRUE;
}

/* In a freed block's page, or past the end of a block. */
static ULONG FindDamage(ULONG64 Address) {
    const MM_SPECIAL_BLOCK *Block = MmFindSpecialBlock(Address);
    if (Block == NULL || Block->State == SpecialNever) {
        return 0;
    }
    BOOLEAN IsInPage = Address - (ULONG64)PAGE_ALIGN(Block->Start) < PAGE_SIZE;
    return Block->State == SpecialFreed && IsInPage ? InFreedBlock : BeyondBlock;
}
KE_BUG_FINDER(FindDamage);

static const MI_SPECIAL_POOL Hooks = {FreeBlock, FindBlock};
KE_ATTACH(MiSpecialPool, &Hooks);
