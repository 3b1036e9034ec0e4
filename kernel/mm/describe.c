/* describe.c: an address in words: its region, its pool block or section, the place of its page.
 *
 * The blue screen, the story and the debugger ask at any IRQL, perhaps about a damaged address: nothing here locks, and
 * nothing is read that the page tables do not confirm first. On a running machine the answer is true at one instant. */
#include "mi.h"

#include <kd.h>
#include <ldr.h>
#include <rtl.h>

#define MAXIMUM_MODULES 256
#define MAXIMUM_THREADS 4096

static VOID Append(PCHAR Buffer, SIZE_T Bytes, PCSTR Format, ...) {
    SIZE_T Length = strlen(Buffer);
    va_list Arguments;
    va_start(Arguments, Format);
    RtlFormatV(Buffer + Length, Bytes - Length, Format, Arguments);
    va_end(Arguments);
}

/* ---- The page ---- */

MM_PAGE_STATE MmGetPageState(ULONG64 Va, MMPTE *Contents) {
    ULONG Level;
    MMPTE Pte = MiReadPte(Va, &Level);
    if (Contents) {
        *Contents = Pte;
    }
    if (Level == 0) {
        return PageBadAddress;
    }
    if (Pte & PTE_VALID) {
        return PageValid;
    }
    if (Level > 1) {
        return PageNoTable;
    }
    if (Pte == 0) {
        return PageBadAddress;
    }
    if (Pte & (PTE_TRANSITION | PTE_PROTOTYPE)) {
        return PageTransition; /* a view's page is in memory as well */
    }
    return Pte >> PTE_PAGEFILE_SHIFT ? PageInFile : PageDemandZero;
}

static VOID DescribeValidPte(MMPTE Pte, PCHAR Buffer, SIZE_T Bytes) {
    Append(Buffer, Bytes, "V, %s%s%s%s%s%s%s, page frame 0x%llx", Pte & PTE_WRITE ? "W" : "R",
           Pte & PTE_NX ? " NX" : " X", Pte & PTE_ACCESSED ? " A" : "", Pte & PTE_DIRTY ? " D" : "",
           Pte & PTE_GLOBAL ? " G" : "", Pte & PTE_LARGE ? " large" : "", Pte & PTE_CACHE_DISABLE ? " uncached" : "",
           (Pte & PTE_FRAME) >> PAGE_SHIFT);
}

VOID MmDescribePte(MMPTE Pte, PCHAR Buffer, SIZE_T BufferBytes) {
    Buffer[0] = 0;
    if (Pte & PTE_VALID) {
        DescribeValidPte(Pte, Buffer, BufferBytes);
    } else if (Pte == 0) {
        Append(Buffer, BufferBytes, "V = 0, all zero: nothing is here");
    } else if (Pte & PTE_PROTOTYPE) {
        Append(Buffer, BufferBytes, "V = 0, prototype PTE at 0x%llx", (ULONG64)MiGetPrototype(Pte));
    } else if (Pte & PTE_TRANSITION) {
        Append(Buffer, BufferBytes, "V = 0, transition, page frame 0x%llx", (Pte & PTE_FRAME) >> PAGE_SHIFT);
    } else if (Pte >> PTE_PAGEFILE_SHIFT) {
        Append(Buffer, BufferBytes, "V = 0, page file, slot %llu", Pte >> PTE_PAGEFILE_SHIFT);
    } else {
        Append(Buffer, BufferBytes, "V = 0, demand-zero");
    }
}

/* "; the page is not present: it is in the page file, slot 17"; nothing for a page that is there. */
static VOID AppendState(ULONG64 Va, PCHAR Buffer, SIZE_T Bytes) {
    MMPTE Pte;
    switch (MmGetPageState(Va, &Pte)) {
    case PageValid:
        break;
    case PageInFile:
        Append(Buffer, Bytes, "; the page is not present: it is in the page file, slot %llu",
               Pte >> PTE_PAGEFILE_SHIFT);
        break;
    case PageTransition:
        if (Pte & PTE_PROTOTYPE) {
            Append(Buffer, Bytes, "; the page is not present: a view of a cached page, mapped and not yet touched");
            break;
        }
        Append(Buffer, Bytes,
               "; the page is not present: taken out of the working set, its contents still in page frame 0x%llx",
               (Pte & PTE_FRAME) >> PAGE_SHIFT);
        break;
    case PageDemandZero:
        Append(Buffer, Bytes,
               "; the page is not present: never touched yet, the first touch would make it (demand-zero)");
        break;
    case PageNoTable:
        Append(Buffer, Bytes, "; nothing is mapped there, not even a page table");
        break;
    default:
        Append(Buffer, Bytes, "; nothing is mapped there");
        break;
    }
}

/* ---- The pool ---- */

/* Only in the pages that are in memory; a tag across two pages is not seen. */
static BOOLEAN HasTag(const LDR_SECTION *Section, ULONG Tag) {
    ULONG64 At = Section->Start, End = Section->Start + Section->Bytes;
    while (At < End) {
        ULONG64 PageEnd = (At | (PAGE_SIZE - 1)) + 1;
        ULONG64 Last = PageEnd < End ? PageEnd : End;
        BOOLEAN IsResident = MmIsAddressValid((PVOID)At);
        for (; IsResident && At + sizeof(Tag) <= Last; At++) {
            ULONG Found;
            memcpy(&Found, (PVOID)At, sizeof(Found));
            if (Found == Tag) {
                return TRUE;
            }
        }
        At = PageEnd;
    }
    return FALSE;
}

/* A tag is a constant in the code that allocates with it: the first driver that contains it is its likely
 * owner. */
static PCSTR FindTagOwner(ULONG Tag) {
    ULONG Left = MAXIMUM_MODULES;
    PLIST_ENTRY Entry = PsLoadedModuleList.Flink;
    for (; Entry && Entry != &PsLoadedModuleList && MmIsAddressValid(Entry) && Left-- > 0; Entry = Entry->Flink) {
        PKLDR_DATA_TABLE_ENTRY Module = CONTAINING_RECORD(Entry, KLDR_DATA_TABLE_ENTRY, InLoadOrderLinks);
        for (ULONG i = 0; i < Module->SectionCount && !LdrIsKernelAddress((ULONG64)Module->DllBase); i++) {
            if (Module->Section[i].IsExecutable && HasTag(&Module->Section[i], Tag)) {
                return Module->Name;
            }
        }
    }
    return NULL;
}

static VOID DescribePool(const MM_REGION *Region, ULONG64 Va, PCHAR Buffer, SIZE_T Bytes) {
    MM_POOL_BLOCK Block;
    Append(Buffer, Bytes, "%s", Region->Name);
    if (!MmFindPoolBlock(Va, &Block)) {
        Append(Buffer, Bytes, ", in no block");
        return;
    }
    CHAR Tag[5] = {0};
    for (ULONG i = 0; i < 4; i++) {
        UCHAR Character = (UCHAR)(Block.Tag >> 8 * i);
        Tag[i] = (CHAR)(Character >= ' ' && Character < 0x7F ? Character : '.');
    }
    Append(Buffer, Bytes, ", tag '%s', %s%llu-byte block", Tag, Block.IsFree ? "freed " : "", (ULONG64)Block.Bytes);
    PCSTR Owner = FindTagOwner(Block.Tag);
    if (Owner) {
        Append(Buffer, Bytes, " of driver %s", Owner);
    }
    if (Va > Block.Start) {
        Append(Buffer, Bytes, " + 0x%llx", Va - Block.Start);
    }
}

/* ---- Images and stacks ---- */

static VOID DescribeImage(const MM_REGION *Region, ULONG64 Va, PCHAR Buffer, SIZE_T Bytes) {
    PKLDR_DATA_TABLE_ENTRY Module = LdrFindModule(Va);
    PCSTR Unloaded = LdrFindUnloadedModule(Va);
    KD_SYMBOL Symbol;
    if (!Module) {
        Append(Buffer, Bytes, Unloaded ? "where driver %s was before it was unloaded" : "%s, in none that is loaded",
               Unloaded ? Unloaded : Region->Name);
        return;
    }
    const LDR_SECTION *Section = LdrFindSection(Module, Va);
    Append(Buffer, Bytes, "%s %s", Region->Kind == RegionKernelImage ? "kernel" : "driver", Module->Name);
    if (Section) {
        Append(Buffer, Bytes, ", section %.16s%s", Section->Name, Section->IsPageable ? ", which is pageable" : "");
    }
    if (KdLookupAddress(Va, &Symbol) && Symbol.Function) {
        Append(Buffer, Bytes, Symbol.Offset ? " (%s+0x%llx)" : " (%s)", Symbol.Function, Symbol.Offset);
    }
}

/* The thread whose stack, or the guard page below it, contains the address. The list is read without its lock. */
static VOID DescribeStack(const MM_REGION *Region, ULONG64 Va, PCHAR Buffer, SIZE_T Bytes) {
    ULONG Left = MAXIMUM_THREADS;
    PLIST_ENTRY Entry = KiThreadList.Flink;
    for (; Entry && Entry != &KiThreadList && MmIsAddressValid(Entry) && Left-- > 0; Entry = Entry->Flink) {
        PKTHREAD Thread = CONTAINING_RECORD(Entry, KTHREAD, ThreadListEntry);
        if (!MmIsAddressValid(Thread)) {
            break;
        }
        if (Va >= Thread->StackLimit - MM_STACK_GUARD_PAGES * PAGE_SIZE && Va < Thread->StackBase) {
            Append(Buffer, Bytes, "%sstack of thread '%.23s'",
                   Va < Thread->StackLimit ? "the guard page below the " : "", Thread->Name);
            return;
        }
    }
    Append(Buffer, Bytes, "%s", Region->Name);
}

VOID MmDescribeAddress(ULONG64 Va, PCHAR Buffer, SIZE_T BufferBytes) {
    const MM_REGION *Region = MmFindRegion(Va);
    Buffer[0] = 0;
    if ((ULONG64)((LONG64)(Va << 16) >> 16) != Va) {
        Append(Buffer, BufferBytes, "no address: not canonical, bits 48-63 must repeat bit 47");
        return;
    }
    if (Va < NULL_PAGES_END) {
        Append(Buffer, BufferBytes, Va ? "a NULL pointer + 0x%llx" : "a NULL pointer", Va);
        return;
    }
    if (Region->Kind == RegionPagedPool || Region->Kind == RegionNonPagedPool || MmIsSpecialPool(Va)) {
        DescribePool(Region, Va, Buffer, BufferBytes);
    } else if (Region->Kind == RegionDriverImages || Region->Kind == RegionKernelImage) {
        DescribeImage(Region, Va, Buffer, BufferBytes);
    } else if (Region->Kind == RegionStacks) {
        DescribeStack(Region, Va, Buffer, BufferBytes);
    } else {
        Append(Buffer, BufferBytes, "%s", (LONG64)Va > 0 ? "user half of the address space" : Region->Name);
    }
    AppendState(Va, Buffer, BufferBytes);
}
