/* pagefile.c: the page file: a raw disk in page-sized slots, their bitmap, transfers of one page.
 *
 * Slot 0 is never used, so that a slot number of 0 in a PTE can mean "none". A page that is read in keeps its slot:
 * if it is not changed, trimming it again costs no write. When the file is full those slots are duplicates, and the
 * writer takes them back (MiRefillSlots). */
#include "mi.h"
#include <io.h>

#define SECTORS_PER_PAGE (PAGE_SIZE / BLOCK_SECTOR_SIZE)
#define STEAL_CHUNK 8192 /* frames looked at per lock hold */

ULONG64 MiSlotCount, MiSlotsUsed;
BOOLEAN MiHasPageFile;

static PBLOCK_DEVICE Device;
static ULONG64 *Bitmap; /* a set bit is a slot in use; MmPfnLock, as for all here */
static ULONG64 Hint;    /* word of the bitmap at which the search begins */
static ULONG64 Words;
static ULONG64 StealCursor;

/* Makes the disk with role 0 the page file. PASSIVE_LEVEL, once. STATUS_NO_SUCH_DEVICE: there is no disk. */
NTSTATUS MiOpenPageFile(VOID) {
    PBLOCK_DEVICE Disk = IoGetBlockDevice(0);
    if (Disk == NULL || Disk->SectorCount < 2 * SECTORS_PER_PAGE || Disk->MaximumBytes < PAGE_SIZE) {
        return STATUS_NO_SUCH_DEVICE;
    }
    ULONG64 Slots = Disk->SectorCount / SECTORS_PER_PAGE; /* with slot 0 */
    if (Slots > 16 * MiTotalPages) {
        Slots = 16 * MiTotalPages; /* the bitmap of a huge disk would not be worth its memory */
    }
    Words = (Slots + 63) / 64;
    Bitmap = MiAllocatePoolPages(FALSE, (ULONG)BYTES_TO_PAGES(Words * 8), FALSE);
    if (Bitmap == NULL) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    RtlZeroMemory(Bitmap, Words * 8);
    if (Slots % 64 != 0) {
        Bitmap[Words - 1] = ~0ULL << (Slots % 64);
    }
    Bitmap[0] |= 1;
    Device = Disk;
    KIRQL OldIrql = MiAcquirePfnLock();
    MiSlotCount = Slots - 1;
    MiCommitLimit += MiSlotCount;
    MiHasPageFile = TRUE;
    MiReleasePfnLock(OldIrql);
    return STATUS_SUCCESS;
}

/* A slot for one page, 0 when the file is full. MmPfnLock held. */
ULONG MiAllocateSlot(VOID) {
    if (MiSlotsUsed == MiSlotCount) {
        return 0;
    }
    for (ULONG64 Tried = 0; Tried < Words; Tried++) {
        ULONG64 Free = ~Bitmap[Hint];
        if (Free != 0) {
            ULONG Bit = (ULONG)__builtin_ctzll(Free);
            Bitmap[Hint] |= 1ULL << Bit;
            MiSlotsUsed++;
            return (ULONG)(Hint * 64 + Bit);
        }
        Hint = Hint + 1 == Words ? 0 : Hint + 1;
    }
    return 0;
}

/* MmPfnLock held. */
VOID MiFreeSlot(ULONG Slot) {
    NT_ASSERT(Slot != 0 && Bitmap[Slot / 64] >> (Slot % 64) & 1);
    Bitmap[Slot / 64] &= ~(1ULL << (Slot % 64));
    MiSlotsUsed--;
}

/* A write failed: its slot stays marked as used forever, and the promise shrinks with it. MmPfnLock held. */
VOID MiAbandonSlot(VOID) {
    MiCommitLimit--;
}

/* Takes slots back from resident pages that have them only as a clean copy: they count as modified from then on. Stops
 * when it has Wanted of them or has seen all frames. Returns how many. <= DISPATCH_LEVEL, no lock held. */
ULONG MiRefillSlots(ULONG Wanted) {
    ULONG Freed = 0;
    for (ULONG64 Seen = 0; Seen <= MiHighestFrame - MiLowestFrame && Freed < Wanted; Seen += STEAL_CHUNK) {
        KIRQL OldIrql = MiAcquirePfnLock();
        for (ULONG Step = 0; Step < STEAL_CHUNK && Freed < Wanted; Step++) {
            StealCursor = MiNextFrame(StealCursor);
            PMMPFN Pfn = MiGetPfn(StealCursor);
            if (Pfn->IsPageable && Pfn->Location == LocationActive && Pfn->OriginalPte != 0 && !Pfn->HasWrite) {
                MiFreeSlot(MiGetPteSlot(Pfn->OriginalPte));
                Pfn->OriginalPte = 0;
                Pfn->IsModified = TRUE;
                Freed++;
            }
        }
        MiReleasePfnLock(OldIrql);
    }
    return Freed;
}

/* See mi.h. */
VOID MiStartTransfer(PBLOCK_REQUEST Request, ULONG Slot, ULONG64 Frame, BOOLEAN IsWrite) {
    NT_ASSERT(Slot != 0 && Slot <= MiSlotCount);
    Request->IsWrite = IsWrite;
    Request->Sector = (ULONG64)Slot * SECTORS_PER_PAGE;
    Request->PhysicalAddress = Frame << PAGE_SHIFT;
    Request->LengthBytes = PAGE_SIZE;
    Request->Status = STATUS_PENDING;
    Device->Submit(Device, Request);
}
