/* mm.h: the memory manager for other components. */
#ifndef _MM_H_
#define _MM_H_

#include <ke.h>

struct _BOOT_INFO;

/* ---- The one table of address regions (mm/layout.c); fault handler, !pte, !pool, the blue screen and docs read it ---- */
typedef enum _MM_REGION_KIND {
    RegionPageTables, /* the self map */
    RegionDirectMap,  /* all RAM, read-write, no-execute */
    RegionKernelImage,
    RegionDriverImages,
    RegionSystemPtes, /* device registers, boot archive */
    RegionPfnDatabase,
    RegionNonPagedPool,
    RegionPagedPool,
    RegionStacks,
    RegionSpecialPool,      /* the verifier's: a page for each block (mm/specialpool.c) */
    RegionSpecialPagedPool, /* the pageable part of it */
    RegionSystemCache,      /* views of disk pages (mm/view.c) */
    RegionNone
} MM_REGION_KIND;

typedef struct _MM_REGION {
    MM_REGION_KIND Kind;
    ULONG64 Start, End; /* End is exclusive */
    PCSTR Name;         /* "paged pool" */
} MM_REGION;

const MM_REGION *MmFindRegion(ULONG64 Va); /* never NULL: the last row is RegionNone. Any IRQL. */
const MM_REGION *MmGetRegions(ULONG *Count);

#define MM_DIRECT_MAP 0xFFFF880000000000ULL
#define MM_PTE_BASE 0xFFFFF68000000000ULL /* self map in PML4 slot 0x1ED */
#define MM_PDE_BASE 0xFFFFF6FB40000000ULL
#define MM_PPE_BASE 0xFFFFF6FB7DA00000ULL
#define MM_PXE_BASE 0xFFFFF6FB7DBED000ULL
#define MM_SYSTEM_PTES 0xFFFFF88000000000ULL
#define MM_PAGED_POOL 0xFFFFF8A000000000ULL
#define MM_STACKS 0xFFFFF90000000000ULL
#define MM_SPECIAL_POOL 0xFFFFF98000000000ULL
#define MM_SPECIAL_PAGED_POOL 0xFFFFF9C000000000ULL
#define MM_PFN_DATABASE 0xFFFFFA0000000000ULL
#define MM_NONPAGED_POOL 0xFFFFFA8000000000ULL
#define MM_SYSTEM_CACHE 0xFFFFFB0000000000ULL
#define MM_SYSTEM_CACHE_END 0xFFFFFB8000000000ULL
#define MM_KERNEL_BASE 0xFFFFFFFF80000000ULL   /* the image is linked at this + its physical address */
#define MM_DRIVER_IMAGES 0xFFFFFFFFA0000000ULL /* within +-2 GiB of the kernel, for 32-bit relocations */
#define MM_DRIVER_IMAGES_END 0xFFFFFFFFC0000000ULL
#define NULL_PAGES_END 0x10000ULL /* an address below is a NULL pointer, or a field's behind one */

/* ---- Page-table entries (Intel's bits; software bits as on NT, nt-reference 2.1) ---- */
typedef ULONG64 MMPTE;
#define PTE_VALID 0x1ULL
#define PTE_WRITE 0x2ULL
#define PTE_WRITE_THROUGH 0x8ULL
#define PTE_CACHE_DISABLE 0x10ULL
#define PTE_ACCESSED 0x20ULL
#define PTE_DIRTY 0x40ULL
#define PTE_LARGE 0x80ULL
#define PTE_GLOBAL 0x100ULL
#define PTE_NX 0x8000000000000000ULL
#define PTE_FRAME 0x000FFFFFFFFFF000ULL
#define PTE_PROTECTION_SHIFT 5  /* not valid: bits 5-9, MM_READWRITE... */
#define PTE_PROTOTYPE 0x400ULL  /* not valid: bit 10 */
#define PTE_TRANSITION 0x800ULL /* not valid: bit 11, the PFN is kept in bits 12-51 */
#define PTE_PAGEFILE_SHIFT 32   /* not valid, not transition: page-file slot in bits 32-63 */
#define MM_READONLY 1
#define MM_EXECUTE 2
#define MM_EXECUTE_READ 3
#define MM_READWRITE 4

static FORCEINLINE volatile MMPTE *MiGetPteAddress(ULONG64 Va) {
    return (volatile MMPTE *)(MM_PTE_BASE + ((Va >> 9) & 0x7FFFFFFFF8ULL));
}
static FORCEINLINE volatile MMPTE *MiGetPdeAddress(ULONG64 Va) {
    return (volatile MMPTE *)(MM_PDE_BASE + ((Va >> 18) & 0x3FFFFFF8ULL));
}
static FORCEINLINE volatile MMPTE *MiGetPpeAddress(ULONG64 Va) {
    return (volatile MMPTE *)(MM_PPE_BASE + ((Va >> 27) & 0x1FFFF8ULL));
}
static FORCEINLINE volatile MMPTE *MiGetPxeAddress(ULONG64 Va) {
    return (volatile MMPTE *)(MM_PXE_BASE + ((Va >> 36) & 0xFF8ULL));
}

/* The state of an address, read without faulting. Any IRQL, no locks: true at one instant only. */
typedef enum _MM_PAGE_STATE {
    PageBadAddress,
    PageNoTable,
    PageValid,
    PageDemandZero,
    PageTransition,
    PageInFile
} MM_PAGE_STATE;
MM_PAGE_STATE MmGetPageState(ULONG64 Va, MMPTE *Contents); /* Contents of the lowest level that exists; may be NULL */
/* Text for people: "A D W V, page frame 0x1a2b" / "page file, slot 17". Any IRQL. */
VOID MmDescribePte(MMPTE Contents, PCHAR Buffer, SIZE_T BufferBytes);
/* "paged pool, tag 'Secr', 64-byte block at ...; not present: in the page file, slot 17". Any IRQL, never faults, no locks. */
VOID MmDescribeAddress(ULONG64 Va, PCHAR Buffer, SIZE_T BufferBytes);

/* ---- Start-up, in this order ---- */
VOID MmInitializeSystem(struct _BOOT_INFO *BootInfo); /* boot CPU, IRQL HIGH, no heap before it: regions, PFNs, pools */
NTSTATUS MmInitializePaging(VOID); /* PASSIVE, after the disk driver is there: page file, writer, trimmer */
VOID MmReleaseBootMemory(VOID);    /* drops the low identity map when all CPUs are up */

/* ---- Faults ---- */
/* The reason for refusing an access: the code to stop with, and the one number that the trap frame does not have. */
typedef struct _MM_REFUSAL {
    ULONG Code;
    ULONG_PTR Detail; /* 0xA: the IRQL; 0x50: the reason; 0xBE, 0xFC: the PTE */
} MM_REFUSAL;
/* From #PF, at the IRQL and IF of the faulting code. STATUS_SUCCESS: retry the instruction. STATUS_ACCESS_VIOLATION: the
 * lower half, an exception. Anything else: *Refusal is set, and MmStopForFault is the end. */
NTSTATUS MmAccessFault(PKTRAP_FRAME Frame, MM_REFUSAL *Refusal);
DECLSPEC_NORETURN VOID MmStopForFault(PKTRAP_FRAME Frame, const MM_REFUSAL *Refusal);

/* ---- Memory for the other components ---- */
#define MM_STACK_GUARD_PAGES 2             /* below each stack */
ULONG64 MmCreateKernelStack(SIZE_T Bytes); /* returns its top (StackBase) or 0. <= DISPATCH */
VOID MmDeleteKernelStack(ULONG64 StackBase, SIZE_T Bytes);
PVOID MmAllocateMappedPages(MM_REGION_KIND Kind,
                            SIZE_T Bytes); /* zeroed resident pages; RegionSystemPtes or RegionDriverImages */
PVOID MmReserveDriverImage(SIZE_T Bytes);  /* address space in the driver region, nothing mapped. PASSIVE */
NTSTATUS MmPopulateImage(PVOID Va, SIZE_T Bytes, BOOLEAN IsPageable); /* read-write; pageable: demand-zero PTEs */
VOID MmProtectImage(PVOID Va, SIZE_T Bytes, ULONG Protection); /* MM_*; for pageable pages also when not resident */
VOID MmDiscardImage(PVOID Va, SIZE_T Bytes);       /* gives back the pages of a part; its addresses stay reserved */
VOID MmReleaseDriverImage(PVOID Va, SIZE_T Bytes); /* unmaps; the range is remembered as "was a driver" by the loader */
/* Takes every resident pageable page of the range out of the working set, as the trimmer would (valid -> transition).
 * PASSIVE..DISPATCH. Returns pages trimmed. */
ULONG MmTrimRange(PVOID Va, SIZE_T Bytes);
ULONG MmTrimAllPageable(VOID);                /* forced IRQL checking: every pageable page -> transition. <= DISPATCH */
VOID MmFlushModifiedPages(VOID);              /* waits until the modified list is written. PASSIVE */
ULONG MmPurgeStandby(VOID);                   /* standby pages -> free, so that the next touch reads the page file */
ULONG64 MmAllocatePhysicalPages(ULONG Count); /* contiguous, returns the physical address or 0. <= DISPATCH */
VOID MmFreePhysicalPages(ULONG64 Physical, ULONG Count);
static FORCEINLINE PVOID MmPhysicalToVirtual(ULONG64 Physical) {
    return (PVOID)(MM_DIRECT_MAP + Physical);
}

/* ---- Numbers for !vm, the story, tests and bench ---- */
typedef struct _MM_STATISTICS {
    ULONG64 TotalPages, AvailablePages, ZeroedPages, FreePages, StandbyPages, ModifiedPages;
    ULONG64 NonPagedPoolBytes, PagedPoolBytes, PagedPoolResidentPages;
    ULONG64 PageFaults, DemandZeroFaults, TransitionFaults, PageReads, PageWrites, CollidedFaults, Trims;
    ULONG64 PageFileSlots, PageFileUsed;
    ULONG64 LastFaultAddress, LastFaultError; /* CR2 and error code of the last fault that was not fatal */
    KIRQL LastFaultIrql;
} MM_STATISTICS;
VOID MmQueryStatistics(MM_STATISTICS *Statistics); /* any IRQL; approximate */

/* A pool block, by its header; FALSE: the address is in none. Any IRQL, never faults. */
typedef struct _MM_POOL_BLOCK {
    ULONG64 Start; /* as the allocator returned it */
    SIZE_T Bytes;  /* of the block without its header */
    ULONG Tag;
    BOOLEAN IsPaged, IsFree, HeaderResident;
} MM_POOL_BLOCK;
BOOLEAN MmFindPoolBlock(ULONG64 Va, MM_POOL_BLOCK *Block);

/* Special pool (mm/specialpool.c): each block alone in a page, its end at the page's end, nothing mapped behind it. */
#define MM_SPECIAL_FRAMES 6
typedef enum _MM_SPECIAL_STATE { SpecialNever, SpecialInUse, SpecialFreed } MM_SPECIAL_STATE;
typedef struct _MM_SPECIAL_BLOCK {
    ULONG64 Start; /* the owner's address, present or past */
    ULONG Bytes, Tag;
    UCHAR State; /* MM_SPECIAL_STATE */
    UCHAR Fill;  /* of the bytes in its page that are not its own */
    USHORT Reserved;
    ULONG Next; /* in the queue of slots that are not in use */
    PVOID AllocatedBy[MM_SPECIAL_FRAMES], FreedBy[MM_SPECIAL_FRAMES];
} MM_SPECIAL_BLOCK;
/* Notes where the caller is, up to Maximum return addresses. Any IRQL. The verifier's, a hook of the ring. */
extern VOID (*MmCaptureStack)(PVOID *Frames, ULONG Maximum);
BOOLEAN MmEnableSpecialPool(VOID);                                                /* PASSIVE; FALSE: no memory */
PVOID MmAllocateSpecialPool(POOL_TYPE PoolType, SIZE_T NumberOfBytes, ULONG Tag); /* NULL: take the normal pool */
VOID MmFreeSpecialPool(PVOID P, ULONG Tag);
/* The block whose page or guard page contains an address; NULL: it is no address of special pool. Any IRQL, no locks. */
const MM_SPECIAL_BLOCK *MmFindSpecialBlock(ULONG64 Va);
static FORCEINLINE BOOLEAN MmIsSpecialPool(ULONG64 Va) {
    return Va >= MM_SPECIAL_POOL && Va < MM_PFN_DATABASE;
}

/* The pool's use by tag. Any IRQL. */
typedef struct _MM_POOL_TAG_USE {
    ULONG64 Allocs, Frees, Bytes; /* blocks with their headers */
} MM_POOL_TAG_USE;
VOID MmQueryPoolTag(ULONG Tag, BOOLEAN IsPaged, MM_POOL_TAG_USE *Use);
VOID MmPrintPoolUsage(VOID); /* to COM1, a line for each tag: !poolused */

#endif
