/* verifiertrack.c: the pool blocks of verified drivers, each with the stack that allocated it.
 *
 * A block is forgotten by ExFreePoolWithTag itself, because the kernel may free a block that a driver has handed to it.
 * Blocks left when a driver goes are its leak: 0xC4 (0x62, name, 0, blocks), with the stacks that allocated them. */
#include "vf.h"

#define BUCKETS 512      /* a power of two */
#define TRACK_TAG 'kTfV' /* "VfTk" */
#define TAIL_FILL 0x7E
#define TOLD_LEAKS 4

typedef struct _VF_BLOCK {
    struct _VF_BLOCK *Next;
    ULONG64 Start;
    SIZE_T Bytes;
    ULONG Tag;
    BOOLEAN IsPaged, HasTail;
    PKLDR_DATA_TABLE_ENTRY Module;
    PVOID Stack[VF_FRAMES];
} VF_BLOCK;

KE_DECLARE_LOCK(VfTrackLock, RANK_POOL + 1, "the pool blocks of verified drivers");

volatile LONG VfTrackedBlocks;
static VF_BLOCK *Bucket[BUCKETS]; /* VfTrackLock */
static PKLDR_DATA_TABLE_ENTRY LeakingModule;

static VF_BLOCK **BucketOf(ULONG64 Start) {
    return &Bucket[(Start * 0x9E3779B97F4A7C15ULL >> 40) & (BUCKETS - 1)];
}

/* ---- Numbers ---- */

static VOID RaisePeak(volatile LONG64 *Peak, LONG64 Value) {
    for (LONG64 Old = *Peak;
         Value > Old && !__atomic_compare_exchange_n(Peak, &Old, Value, FALSE, __ATOMIC_RELAXED, __ATOMIC_RELAXED);) {
    }
}

/* VfTrackLock held. */
static VOID Count(const VF_BLOCK *Block, LONG Sign) {
    VF_STATISTICS *S = &VfStatistics;
    volatile LONG *Current = Block->IsPaged ? &S->CurrentPagedAllocations : &S->CurrentNonPagedAllocations;
    volatile LONG *Peak = Block->IsPaged ? &S->PeakPagedAllocations : &S->PeakNonPagedAllocations;
    volatile LONG64 *Bytes = Block->IsPaged ? &S->CurrentPagedBytes : &S->CurrentNonPagedBytes;
    *Current += Sign;
    *Bytes += Sign * (LONG64)Block->Bytes;
    *Peak = *Current > *Peak ? *Current : *Peak;
    RaisePeak(Block->IsPaged ? &S->PeakPagedBytes : &S->PeakNonPagedBytes, *Bytes);
    InterlockedAdd(&VfTrackedBlocks, Sign);
}

/* ---- Remembering ---- */

BOOLEAN VfTrackBlock(PVOID P, SIZE_T Bytes, ULONG Tag, BOOLEAN IsPaged, BOOLEAN HasTail, PVOID Caller) {
    VF_BLOCK *Block = ExAllocatePoolWithTag(NonPagedPoolNx, sizeof(*Block), TRACK_TAG);
    KIRQL OldIrql;
    if (Block == NULL) {
        return FALSE;
    }
    *Block = (VF_BLOCK){.Start = (ULONG64)P, .Bytes = Bytes, .Tag = Tag, .IsPaged = IsPaged, .HasTail = HasTail};
    Block->Module = LdrFindModule((ULONG64)Caller);
    VfCaptureStack(Block->Stack, VF_FRAMES);
    if (HasTail) {
        memset((PUCHAR)P + Bytes, TAIL_FILL, VF_TAIL_BYTES);
    }
    KeAcquireSpinLock(&VfTrackLock, &OldIrql);
    Block->Next = *BucketOf(Block->Start);
    *BucketOf(Block->Start) = Block;
    Count(Block, 1);
    KeReleaseSpinLock(&VfTrackLock, OldIrql);
    return TRUE;
}

static VF_BLOCK **FindLink(ULONG64 Start) {
    VF_BLOCK **Link = BucketOf(Start);
    while (*Link != NULL && (*Link)->Start != Start) {
        Link = &(*Link)->Next;
    }
    return Link;
}

/* Any IRQL up to DISPATCH_LEVEL; above, no. */
BOOLEAN VfIsBlock(PVOID P) {
    KIRQL OldIrql;
    if (VfTrackedBlocks == 0 || KiCurrentIrql() > DISPATCH_LEVEL) {
        return FALSE;
    }
    KeAcquireSpinLock(&VfTrackLock, &OldIrql);
    BOOLEAN IsFound = *FindLink((ULONG64)P) != NULL;
    KeReleaseSpinLock(&VfTrackLock, OldIrql);
    return IsFound;
}

/* Whether the address lies in a block of a verified driver's. Any IRQL up to DISPATCH_LEVEL; above, no. */
BOOLEAN VfIsTracked(PVOID P) {
    KIRQL OldIrql;
    BOOLEAN IsFound = FALSE;
    if (VfTrackedBlocks == 0 || KiCurrentIrql() > DISPATCH_LEVEL) {
        return FALSE;
    }
    KeAcquireSpinLock(&VfTrackLock, &OldIrql);
    for (ULONG i = 0; i < BUCKETS && !IsFound; i++) {
        for (const VF_BLOCK *Block = Bucket[i]; Block != NULL && !IsFound; Block = Block->Next) {
            IsFound = (ULONG64)P - Block->Start < Block->Bytes;
        }
    }
    KeReleaseSpinLock(&VfTrackLock, OldIrql);
    return IsFound;
}

/* ---- Forgetting ---- */

/* 0xC4 (0x51, block, first byte behind its end that was written to, its bytes). */
static VOID CheckTail(const VF_BLOCK *Block) {
    const UCHAR *Tail = (const UCHAR *)Block->Start + Block->Bytes;
    for (ULONG i = 0; Block->HasTail && i < VF_TAIL_BYTES; i++) {
        if (Tail[i] != TAIL_FILL) {
            VF_STOP(0x51, Block->Start, Tail + i, Block->Bytes);
        }
    }
}

/* Another tag than it was allocated with: 0xC2 (0xA, block, its tag, the free's), which the normal pool lets pass. */
VOID VfNotifyFree(PVOID P, ULONG Tag) {
    KIRQL OldIrql;
    if (VfTrackedBlocks == 0 || KiCurrentIrql() > DISPATCH_LEVEL) {
        return; /* the pool stops the machine for that */
    }
    KeAcquireSpinLock(&VfTrackLock, &OldIrql);
    VF_BLOCK **Link = FindLink((ULONG64)P), *Block = *Link;
    if (Block != NULL) {
        *Link = Block->Next;
        Count(Block, -1);
    }
    KeReleaseSpinLock(&VfTrackLock, OldIrql);
    if (Block == NULL) {
        return;
    }
    if (Tag != 0 && Tag != Block->Tag) {
        KeBugCheckEx(BAD_POOL_CALLER, 0x0A, (ULONG_PTR)P, Block->Tag, Tag);
    }
    CheckTail(Block);
    VfCheckFreedRange(Block->Start, Block->Bytes, TRUE);
    VfForgetLocks(Block->Start, Block->Bytes);
    ExFreePoolWithTag(Block, TRACK_TAG);
}

/* ---- The end of a driver ---- */

/* Forgets the blocks of the module; returns how many there were. */
static ULONG CountLeaks(PKLDR_DATA_TABLE_ENTRY Module) {
    ULONG Leaks = 0;
    KIRQL OldIrql;
    KeAcquireSpinLock(&VfTrackLock, &OldIrql);
    for (ULONG i = 0; i < BUCKETS; i++) {
        for (VF_BLOCK *Block = Bucket[i]; Block != NULL; Block = Block->Next) {
            Leaks += Block->Module == Module;
        }
    }
    KeReleaseSpinLock(&VfTrackLock, OldIrql);
    return Leaks;
}

VOID VfDriverUnloaded(PKLDR_DATA_TABLE_ENTRY Module) {
    if (VfOptions == 0) {
        return;
    }
    ULONG Leaks = VfHas(VF_TRACKING) ? CountLeaks(Module) : 0;
    if (Leaks != 0) {
        LeakingModule = Module;
        VF_STOP(0x62, Module->Name, 0, Leaks);
    }
    if (VfHas(VF_MISC)) {
        KeCheckForTimer(Module->DllBase, Module->SizeOfImage);
    }
    VfCheckFreedRange((ULONG64)Module->DllBase, Module->SizeOfImage, FALSE);
    VfForgetLocks((ULONG64)Module->DllBase, Module->SizeOfImage);
}

/* ---- The report ---- */

/* Line by line: a block, then where it was allocated. FALSE: no such line. Dying machine. */
BOOLEAN VfDescribeLeak(ULONG Line, PCHAR Buffer, SIZE_T Bytes) {
    ULONG Told = 0;
    for (ULONG i = 0; LeakingModule != NULL && i < BUCKETS; i++) {
        for (const VF_BLOCK *Block = Bucket[i]; Block != NULL; Block = Block->Next) {
            if (Block->Module != LeakingModule || Told++ >= TOLD_LEAKS) {
                continue;
            }
            if (Line-- == 0) {
                RtlFormat(Buffer, Bytes, "  %llu bytes of %s pool at %016llX, tag '%c%c%c%c', allocated at",
                          (ULONG64)Block->Bytes, Block->IsPaged ? "paged" : "nonpaged", Block->Start, Block->Tag & 0xFF,
                          Block->Tag >> 8 & 0xFF, Block->Tag >> 16 & 0xFF, Block->Tag >> 24 & 0x7F);
                return TRUE;
            }
            for (ULONG f = 0; f < VF_FRAMES && Block->Stack[f] != NULL; f++) {
                if (Line-- == 0) {
                    KD_FRAME Frame = {.Rip = (ULONG64)Block->Stack[f]};
                    int Length = RtlFormat(Buffer, Bytes, "      ");
                    KdFormatFrame(Buffer + Length, Bytes - Length, &Frame);
                    return TRUE;
                }
            }
        }
    }
    return FALSE;
}
