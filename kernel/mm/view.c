/* view.c: the cache of disk pages, and the views through which a file system sees them.
 *
 * A cached page has a frame of its own and a prototype PTE, which is what a PTE would be that maps it. A view is an
 * address in the system cache region whose PTE, when it is mapped, is not valid and points to that prototype:
 *
 *      view's PTE:   not mapped (0) --map--> prototype form --first touch: soft fault--> valid, read-only --unmap--> 0
 *
 * A view's address is not used again before all TLBs have forgotten it: unmapped views gather as stale, and one flush
 * frees them together. So each newly mapped view faults at its first touch, on every CPU.
 *
 * The cache is small, bounded, and written through: any unused page can be dropped at any time, so a small
 * machine is never short of memory because of it. */
#include "mi.h"
#include <io.h>
#include <kd.h>
#include <ring.h>

#define VIEW_SLOTS 128
#define SLOT_WORDS (VIEW_SLOTS / 64)
#define MINIMUM_CACHED_PAGES 16
#define MAXIMUM_CACHED_PAGES 256
#define RAM_PER_CACHE 64 /* a 64th of the RAM may be used */
#define BUCKETS 64
#define SECTORS_PER_PAGE (PAGE_SIZE / BLOCK_SECTOR_SIZE)

typedef struct _MI_CACHED_PAGE {
    MMPTE Prototype;      /* valid form, or 0 while there is no frame */
    LIST_ENTRY LruEntry;  /* all pages, the one used last at the end */
    LIST_ENTRY HashEntry; /* those with contents, by device and number */
    PBLOCK_DEVICE Device; /* NULL: holds nothing */
    ULONG64 Number;       /* of the page on the disk */
    ULONG References;
    BOOLEAN IsBusy; /* being read; Event tells when it is over */
    BOOLEAN IsGood;
    KEVENT Event;
} MI_CACHED_PAGE, *PMI_CACHED_PAGE;

KE_DECLARE_LOCK(MmViewLock, RANK_BLOCK, "the cache of disk pages and its views");
static MI_CACHED_PAGE Pages[MAXIMUM_CACHED_PAGES]; /* all below: MmViewLock */
static ULONG PageCount;                            /* that the cache may use */
static ULONG FramelessCount;                       /* of these: have no frame yet */
static LIST_ENTRY Lru = {&Lru, &Lru};
static LIST_ENTRY Buckets[BUCKETS];
static ULONG64 FreeSlots[SLOT_WORDS], StaleSlots[SLOT_WORDS]; /* a set bit is a slot */

static KIRQL AcquireViewLock(VOID) {
    KIRQL OldIrql = KiCurrentIrql();
    if (OldIrql < DISPATCH_LEVEL) {
        return KeAcquireSpinLockRaiseToDpc(&MmViewLock);
    }
    KeAcquireSpinLockAtDpcLevel(&MmViewLock);
    return OldIrql;
}

static VOID ReleaseViewLock(KIRQL OldIrql) {
    if (OldIrql < DISPATCH_LEVEL) {
        KeReleaseSpinLock(&MmViewLock, OldIrql);
    } else {
        KeReleaseSpinLockFromDpcLevel(&MmViewLock);
    }
}

static ULONG64 SlotVa(ULONG Slot) {
    return MM_SYSTEM_CACHE + ((ULONG64)Slot << PAGE_SHIFT);
}

/* Without memory for the tables there is no cache, and each request for a view fails. */
static VOID InitializeViews(VOID) {
    for (ULONG Index = 0; Index < BUCKETS; Index++) {
        InitializeListHead(&Buckets[Index]);
    }
    KIRQL OldIrql = MiAcquirePfnLock();
    BOOLEAN HasTables = MiMakePageTables(MM_SYSTEM_CACHE, VIEW_SLOTS);
    MiReleasePfnLock(OldIrql);
    if (!HasTables) {
        return;
    }
    ULONG64 Wanted = MiTotalPages / RAM_PER_CACHE;
    PageCount = Wanted < MINIMUM_CACHED_PAGES   ? MINIMUM_CACHED_PAGES
                : Wanted > MAXIMUM_CACHED_PAGES ? MAXIMUM_CACHED_PAGES
                                                : (ULONG)Wanted;
    FramelessCount = PageCount;
    for (ULONG Index = 0; Index < PageCount; Index++) {
        KeInitializeEvent(&Pages[Index].Event, NotificationEvent, TRUE);
        InsertTailList(&Lru, &Pages[Index].LruEntry);
    }
    for (ULONG Word = 0; Word < SLOT_WORDS; Word++) {
        FreeSlots[Word] = ~0ULL;
    }
}
KE_STARTUP_STEP(StartBeforeClock, InitializeViews);

/* ---- Cached pages ---- */

static PLIST_ENTRY BucketOf(PBLOCK_DEVICE Device, ULONG64 Number) {
    return &Buckets[((ULONG64)Device >> 6 ^ Number) % BUCKETS];
}

/* MmViewLock held; so for all below that say nothing else. */
static PMI_CACHED_PAGE FindPage(PBLOCK_DEVICE Device, ULONG64 Number) {
    PLIST_ENTRY Bucket = BucketOf(Device, Number);
    for (PLIST_ENTRY Entry = Bucket->Flink; Entry != Bucket; Entry = Entry->Flink) {
        PMI_CACHED_PAGE Page = CONTAINING_RECORD(Entry, MI_CACHED_PAGE, HashEntry);
        if (Page->Device == Device && Page->Number == Number) {
            return Page;
        }
    }
    return NULL;
}

static VOID ForgetContents(PMI_CACHED_PAGE Page) {
    if (Page->Device != NULL) {
        RemoveEntryList(&Page->HashEntry);
        Page->Device = NULL;
    }
    Page->IsGood = FALSE;
}

static VOID UsePage(PMI_CACHED_PAGE Page) {
    Page->References++;
    RemoveEntryList(&Page->LruEntry);
    InsertTailList(&Lru, &Page->LruEntry);
}

/* The unused page that was used longest ago: with a frame if there is one (or one without, which gets its frame from
 * the caller). NULL: all are in use. */
static PMI_CACHED_PAGE FindVictim(BOOLEAN WithFrame) {
    for (PLIST_ENTRY Entry = Lru.Flink; Entry != &Lru; Entry = Entry->Flink) {
        PMI_CACHED_PAGE Page = CONTAINING_RECORD(Entry, MI_CACHED_PAGE, LruEntry);
        if (Page->References == 0 && (Page->Prototype != 0) == WithFrame) {
            return Page;
        }
    }
    return NULL;
}

/* Takes over an unused page for other contents. */
static VOID AssignPage(PMI_CACHED_PAGE Page, PBLOCK_DEVICE Device, ULONG64 Number) {
    ForgetContents(Page);
    Page->Device = Device;
    Page->Number = Number;
    Page->IsBusy = TRUE;
    KeClearEvent(&Page->Event);
    InsertTailList(BucketOf(Device, Number), &Page->HashEntry);
    UsePage(Page);
}

static VOID ReleasePage(PMI_CACHED_PAGE Page) {
    KIRQL OldIrql = AcquireViewLock();
    Page->References--;
    ReleaseViewLock(OldIrql);
}

static ULONG64 PhysicalOf(const MI_CACHED_PAGE *Page) {
    return Page->Prototype & PTE_FRAME;
}

/* ---- The disk ---- */

/* Sectors [First, First + Count) of the page. <= APC_LEVEL, no lock. */
static NTSTATUS TransferSectors(PMI_CACHED_PAGE Page, ULONG First, ULONG Count, BOOLEAN IsWrite) {
    BLOCK_REQUEST Request = {.IsWrite = IsWrite,
                             .Sector = Page->Number * SECTORS_PER_PAGE + First,
                             .PhysicalAddress = PhysicalOf(Page) + First * BLOCK_SECTOR_SIZE,
                             .LengthBytes = Count * BLOCK_SECTOR_SIZE};
    return IoTransferBlocks(Page->Device, &Request);
}

/* The last page of a disk may have fewer. */
static ULONG SectorsOf(PBLOCK_DEVICE Device, ULONG64 Number) {
    ULONG64 First = Number * SECTORS_PER_PAGE, Left = First < Device->SectorCount ? Device->SectorCount - First : 0;
    return Left < SECTORS_PER_PAGE ? (ULONG)Left : SECTORS_PER_PAGE;
}

/* Fills a page that this thread has assigned, and lets the others have it. IsOverwritten: its contents are going to
 * be replaced, all of them. */
static NTSTATUS FillPage(PMI_CACHED_PAGE Page, BOOLEAN IsOverwritten) {
    ULONG Sectors = SectorsOf(Page->Device, Page->Number);
    NTSTATUS Status = STATUS_SUCCESS;
    if (Sectors < SECTORS_PER_PAGE) {
        memset(MmPhysicalToVirtual(PhysicalOf(Page)), 0, PAGE_SIZE);
    }
    if (!IsOverwritten) {
        Status = TransferSectors(Page, 0, Sectors, FALSE);
    }
    KIRQL OldIrql = AcquireViewLock();
    Page->IsBusy = FALSE;
    Page->IsGood = NT_SUCCESS(Status);
    if (!NT_SUCCESS(Status)) {
        ForgetContents(Page);
        Page->References--;
    }
    ReleaseViewLock(OldIrql);
    KeSetEvent(&Page->Event, IO_NO_INCREMENT, FALSE);
    return Status;
}

/* A page to be filled, assigned to Number; it may need a frame first. NULL: all pages are in use. */
static PMI_CACHED_PAGE TakeVictim(PBLOCK_DEVICE Device, ULONG64 Number, ULONG64 *Frame) {
    PMI_CACHED_PAGE Page = *Frame != 0 && FramelessCount != 0 ? FindVictim(FALSE) : NULL;
    if (Page != NULL) {
        FramelessCount--;
        Page->Prototype = *Frame | PTE_VALID | PTE_NX;
        *Frame = 0;
    } else {
        Page = FindVictim(TRUE);
    }
    if (Page != NULL) {
        AssignPage(Page, Device, Number);
    }
    return Page;
}

/* The cached page, with a reference. <= APC_LEVEL, may wait for the disk. */
static NTSTATUS GetPage(PBLOCK_DEVICE Device, ULONG64 Number, BOOLEAN IsOverwritten, PMI_CACHED_PAGE *Result) {
    for (;;) {
        KIRQL OldIrql = AcquireViewLock();
        PMI_CACHED_PAGE Page = FindPage(Device, Number);
        BOOLEAN IsFound = Page != NULL, IsBusy = FALSE, CanGrow = FramelessCount != 0;
        if (IsFound) {
            UsePage(Page);
            IsBusy = Page->IsBusy;
        }
        ReleaseViewLock(OldIrql);
        *Result = Page;
        if (IsFound && !IsBusy) {
            return STATUS_SUCCESS;
        }
        if (IsFound) { /* another thread is reading it: then look again, since the read may fail */
            KeWaitForSingleObject(&Page->Event, Executive, KernelMode, FALSE, NULL);
            ReleasePage(Page);
            continue;
        }
        ULONG64 Frame = CanGrow ? MmAllocatePhysicalPages(1) : 0;
        OldIrql = AcquireViewLock();
        if (FindPage(Device, Number) == NULL) {
            *Result = Page = TakeVictim(Device, Number, &Frame);
            IsFound = TRUE;
        }
        ReleaseViewLock(OldIrql);
        if (Frame != 0) {
            MmFreePhysicalPages(Frame, 1);
        }
        if (IsFound) {
            return Page == NULL ? STATUS_INSUFFICIENT_RESOURCES : FillPage(Page, IsOverwritten);
        }
    }
}

/* ---- Views ---- */

/* All TLBs forget the stale addresses; then they are free. */
static VOID RecycleSlots(VOID) {
    MiFlushTb(MM_SYSTEM_CACHE, VIEW_SLOTS);
    for (ULONG Word = 0; Word < SLOT_WORDS; Word++) {
        FreeSlots[Word] |= StaleSlots[Word];
        StaleSlots[Word] = 0;
    }
}

/* VIEW_SLOTS: none is free. */
static ULONG TakeSlot(VOID) {
    for (ULONG Round = 0; Round < 2; Round++) {
        for (ULONG Word = 0; Word < SLOT_WORDS; Word++) {
            if (FreeSlots[Word] != 0) {
                ULONG Bit = (ULONG)__builtin_ctzll(FreeSlots[Word]);
                FreeSlots[Word] &= ~(1ULL << Bit);
                return Word * 64 + Bit;
            }
        }
        RecycleSlots();
    }
    return VIEW_SLOTS;
}

/* See block.h. At DISPATCH_LEVEL any prototype serves: the touch does not get as far as to look at it. */
NTSTATUS MmMapDiskView(PBLOCK_DEVICE Device, ULONG64 Offset, PDISK_VIEW View) {
    PMI_CACHED_PAGE Page = NULL;
    if (KiCurrentIrql() < DISPATCH_LEVEL) {
        NTSTATUS Status = GetPage(Device, Offset >> PAGE_SHIFT, FALSE, &Page);
        if (!NT_SUCCESS(Status)) {
            return Status;
        }
    }
    KIRQL OldIrql = AcquireViewLock();
    ULONG Slot = TakeSlot();
    if (Slot != VIEW_SLOTS) {
        MMPTE *Prototype = Page == NULL ? &Pages[0].Prototype : &Page->Prototype;
        *MiGetPteAddress(SlotVa(Slot)) = MiMakePrototypePte(Prototype);
    }
    ReleaseViewLock(OldIrql);
    if (Slot == VIEW_SLOTS) {
        if (Page != NULL) {
            ReleasePage(Page);
        }
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    *View = (DISK_VIEW){(const UCHAR *)SlotVa(Slot) + BYTE_OFFSET(Offset), Page, Slot};
    return STATUS_SUCCESS;
}

/* See block.h. */
VOID MmUnmapDiskView(PDISK_VIEW View) {
    KIRQL OldIrql = AcquireViewLock();
    PMI_CACHED_PAGE Page = View->Page;
    *MiGetPteAddress(SlotVa(View->Slot)) = 0;
    StaleSlots[View->Slot / 64] |= 1ULL << (View->Slot % 64);
    if (Page != NULL) {
        Page->References--;
    }
    ReleaseViewLock(OldIrql);
}

/* ---- Pins ---- */

/* See block.h. */
NTSTATUS MmPinDiskPage(PBLOCK_DEVICE Device, ULONG64 Offset, PDISK_VIEW View) {
    PMI_CACHED_PAGE Page;
    NTSTATUS Status = GetPage(Device, Offset >> PAGE_SHIFT, FALSE, &Page);
    if (NT_SUCCESS(Status)) {
        const UCHAR *Contents = MmPhysicalToVirtual(PhysicalOf(Page));
        *View = (DISK_VIEW){Contents + BYTE_OFFSET(Offset), Page, VIEW_SLOTS};
    }
    return Status;
}

/* See block.h. */
VOID MmUnpinDiskPage(PDISK_VIEW View) {
    ReleasePage(View->Page);
}

/* ---- Copies in and out ---- */

/* See block.h. */
NTSTATUS MmReadDisk(PBLOCK_DEVICE Device, ULONG64 Offset, PVOID Buffer, ULONG Length) {
    NTSTATUS Status = STATUS_SUCCESS;
    for (ULONG Done = 0; Done < Length && NT_SUCCESS(Status);) {
        ULONG InPage = BYTE_OFFSET(Offset + Done), Bytes = PAGE_SIZE - InPage;
        PMI_CACHED_PAGE Page;
        Bytes = Bytes < Length - Done ? Bytes : Length - Done;
        Status = GetPage(Device, (Offset + Done) >> PAGE_SHIFT, FALSE, &Page);
        if (NT_SUCCESS(Status)) {
            memcpy((PUCHAR)Buffer + Done, (PUCHAR)MmPhysicalToVirtual(PhysicalOf(Page)) + InPage, Bytes);
            ReleasePage(Page);
        }
        Done += Bytes;
    }
    return Status;
}

/* Bytes of one page, and the sectors that they lie in. The contents are not to be trusted after a write that failed:
 * the disk's contents are unknown. */
static NTSTATUS WritePage(PMI_CACHED_PAGE Page, ULONG InPage, PCVOID Buffer, ULONG Bytes) {
    PUCHAR Contents = (PUCHAR)MmPhysicalToVirtual(PhysicalOf(Page)) + InPage;
    ULONG First = InPage / BLOCK_SECTOR_SIZE, End = (InPage + Bytes + BLOCK_SECTOR_SIZE - 1) / BLOCK_SECTOR_SIZE;
    if (Buffer == NULL) {
        memset(Contents, 0, Bytes);
    } else {
        memcpy(Contents, Buffer, Bytes);
    }
    NTSTATUS Status = TransferSectors(Page, First, End - First, TRUE);
    KIRQL OldIrql = AcquireViewLock();
    if (!NT_SUCCESS(Status)) {
        ForgetContents(Page);
    }
    Page->References--;
    ReleaseViewLock(OldIrql);
    return Status;
}

/* See block.h. */
NTSTATUS MmWriteDisk(PBLOCK_DEVICE Device, ULONG64 Offset, PCVOID Buffer, ULONG Length) {
    NTSTATUS Status = STATUS_SUCCESS;
    for (ULONG Done = 0; Done < Length && NT_SUCCESS(Status);) {
        ULONG InPage = BYTE_OFFSET(Offset + Done), Bytes = PAGE_SIZE - InPage;
        PMI_CACHED_PAGE Page;
        Bytes = Bytes < Length - Done ? Bytes : Length - Done;
        Status = GetPage(Device, (Offset + Done) >> PAGE_SHIFT, Bytes == PAGE_SIZE, &Page);
        if (NT_SUCCESS(Status)) {
            Status = WritePage(Page, InPage, Buffer == NULL ? NULL : (PUCHAR)Buffer + Done, Bytes);
        }
        Done += Bytes;
    }
    return Status;
}
