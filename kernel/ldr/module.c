/* module.c: the module that an address belongs to: the kernel, a loaded driver, or an unloaded one.
 *
 * The list is read at any IRQL on any CPU without a lock, also by a machine that is dying. So an entry is complete
 * before it is linked, links change by single stores of which readers follow only Flink, and the entry of an unloaded
 * module lives on in the ring of unloaded ones: a reader that has reached it still finds its way back to the list. */
#include "ldrp.h"
#include <bootinfo.h>
#include <bugcheck.h>
#include <kd.h>
#include <mm.h>
#include <rtl.h>

#define UNLOADED_MODULES 16

extern const UCHAR KernelImageStart[], KernelImageEnd[]; /* kernel.ld */
extern const UCHAR KernelTextStart[], KernelTextEnd[], KernelRodataStart[], KernelRodataEnd[], KernelDataStart[],
    KernelDataEnd[];

LIST_ENTRY PsLoadedModuleList = {&PsLoadedModuleList, &PsLoadedModuleList};

KE_DECLARE_LOCK(LdrpModuleLock, RANK_LOADER, "changes of the list of loaded modules and of the ring of unloaded ones");

static KLDR_DATA_TABLE_ENTRY KernelModule;
static PKLDR_DATA_TABLE_ENTRY volatile UnloadedRing[UNLOADED_MODULES];
static ULONG UnloadedCount;
static const void *Archive;
static SIZE_T ArchiveBytes;

static VOID AddKernelSection(PCSTR Name, const UCHAR *Start, const UCHAR *End, BOOLEAN IsExecutable,
                             BOOLEAN IsWritable) {
    LDR_SECTION *Section = &KernelModule.Section[KernelModule.SectionCount++];
    Section->Start = (ULONG64)Start;
    Section->Bytes = (ULONG64)End - (ULONG64)Start;
    Section->IsExecutable = IsExecutable;
    Section->IsWritable = IsWritable;
    RtlFormat(Section->Name, sizeof(Section->Name), "%s", Name);
}

/* Boot CPU, after MmInitializeSystem. */
VOID LdrInitialize(VOID) {
    if (KeBootInfo->ArchiveBase != 0) {
        Archive = MmPhysicalToVirtual(KeBootInfo->ArchiveBase);
        ArchiveBytes = KeBootInfo->ArchiveBytes;
    }
    KernelModule.DllBase = (PVOID)KernelImageStart;
    KernelModule.SizeOfImage = (ULONG)((ULONG64)KernelImageEnd - (ULONG64)KernelImageStart);
    KernelModule.LoadCount = 1;
    RtlFormat(KernelModule.Name, sizeof(KernelModule.Name), "nt");
    KernelModule.BaseDllName = (UNICODE_STRING)RTL_CONSTANT_STRING(L"kernel.elf");
    KernelModule.FullDllName = (UNICODE_STRING)RTL_CONSTANT_STRING(L"\\boot\\kernel.elf");
    AddKernelSection(".text", KernelTextStart, KernelTextEnd, TRUE, FALSE);
    AddKernelSection(".rodata", KernelRodataStart, KernelRodataEnd, FALSE, FALSE);
    AddKernelSection(".data", KernelDataStart, KernelDataEnd, FALSE, TRUE);
    LdrpFindSymbols(&KernelModule, "kernel");
    LdrpInitializeLoading();
    LdrpInsertModule(&KernelModule);
}

/* Any IRQL. "drivers", "secret", "sys" is drivers/secret.sys in the boot archive. */
BOOLEAN LdrpFindFile(PCSTR Folder, PCSTR Name, PCSTR Extension, const void **Data, SIZE_T *Bytes) {
    CHAR Path[LDR_NAME_BYTES + 16];
    RtlFormat(Path, sizeof(Path), "%s/%s.%s", Folder, Name, Extension);
    return Archive != NULL && RtlFindArchiveFile(Archive, ArchiveBytes, Path, Data, Bytes);
}

/* Any IRQL. A missing or damaged symbol file costs the names in stacks, nothing else. */
VOID LdrpFindSymbols(PKLDR_DATA_TABLE_ENTRY Module, PCSTR FileName) {
    if (!LdrpFindFile("symbols", FileName, "sym", &Module->Symbols, &Module->SymbolBytes) ||
        !KdCheckSymbols(Module->Symbols, Module->SymbolBytes)) {
        Module->Symbols = NULL;
        Module->SymbolBytes = 0;
    }
}

/* <= DISPATCH_LEVEL. Module is complete. */
VOID LdrpInsertModule(PKLDR_DATA_TABLE_ENTRY Module) {
    KIRQL OldIrql;
    KeAcquireSpinLock(&LdrpModuleLock, &OldIrql);
    PLIST_ENTRY Last = PsLoadedModuleList.Blink;
    Module->InLoadOrderLinks.Flink = &PsLoadedModuleList;
    Module->InLoadOrderLinks.Blink = Last;
    PsLoadedModuleList.Blink = &Module->InLoadOrderLinks;
    /* Pairs with the readers' loads of Flink: they see the entry whole or not at all. */
    __atomic_store_n(&Last->Flink, &Module->InLoadOrderLinks, __ATOMIC_RELEASE);
    KeReleaseSpinLock(&LdrpModuleLock, OldIrql);
}

/* <= DISPATCH_LEVEL. The entry is freed when UNLOADED_MODULES more modules have gone. */
VOID LdrpRetireModule(PKLDR_DATA_TABLE_ENTRY Module) {
    KIRQL OldIrql;
    KeAcquireSpinLock(&LdrpModuleLock, &OldIrql);
    PLIST_ENTRY Next = Module->InLoadOrderLinks.Flink, Previous = Module->InLoadOrderLinks.Blink;
    Next->Blink = Previous;
    __atomic_store_n(&Previous->Flink, Next, __ATOMIC_RELEASE);
    PKLDR_DATA_TABLE_ENTRY volatile *Slot = &UnloadedRing[UnloadedCount++ % UNLOADED_MODULES];
    PKLDR_DATA_TABLE_ENTRY Oldest = *Slot;
    *Slot = Module;
    KeReleaseSpinLock(&LdrpModuleLock, OldIrql);
    if (Oldest != NULL) {
        ExFreePoolWithTag(Oldest, LOADER_TAG);
    }
}

static BOOLEAN Contains(const KLDR_DATA_TABLE_ENTRY *Module, ULONG64 Address) {
    return Address - (ULONG64)Module->DllBase < Module->SizeOfImage;
}

/* The next entry of the list, NULL at its end; the first one after NULL. */
static PKLDR_DATA_TABLE_ENTRY NextModule(PKLDR_DATA_TABLE_ENTRY Module) {
    PLIST_ENTRY Entry = Module == NULL ? &PsLoadedModuleList : &Module->InLoadOrderLinks;
    PLIST_ENTRY Next = __atomic_load_n(&Entry->Flink, __ATOMIC_ACQUIRE);
    return Next == &PsLoadedModuleList ? NULL : CONTAINING_RECORD(Next, KLDR_DATA_TABLE_ENTRY, InLoadOrderLinks);
}

/* Any IRQL, no locks. NULL: in no module. */
PKLDR_DATA_TABLE_ENTRY LdrFindModule(ULONG64 Address) {
    for (PKLDR_DATA_TABLE_ENTRY Module = NULL; (Module = NextModule(Module)) != NULL;) {
        if (Contains(Module, Address)) {
            return Module;
        }
    }
    return NULL;
}

/* Any IRQL, no locks. */
PKLDR_DATA_TABLE_ENTRY LdrpFindModuleByName(PCSTR Name) {
    for (PKLDR_DATA_TABLE_ENTRY Module = NULL; (Module = NextModule(Module)) != NULL;) {
        if (_stricmp(Module->Name, Name) == 0) {
            return Module;
        }
    }
    return NULL;
}

/* Any IRQL. */
BOOLEAN LdrIsKernelAddress(ULONG64 Address) {
    return Address >= (ULONG64)KernelImageStart && Address < (ULONG64)KernelImageEnd;
}

/* Any IRQL, no locks. The latest module that had the address, unless a loaded one has it now. */
PCSTR LdrFindUnloadedModule(ULONG64 Address) {
    ULONG Count = UnloadedCount;
    if (LdrFindModule(Address) != NULL) {
        return NULL;
    }
    for (ULONG Back = 1; Back <= UNLOADED_MODULES && Back <= Count; Back++) {
        PKLDR_DATA_TABLE_ENTRY Module = UnloadedRing[(Count - Back) % UNLOADED_MODULES];
        if (Module != NULL && Contains(Module, Address)) {
            return Module->Name;
        }
    }
    return NULL;
}

/* Any IRQL, no locks. NULL: between the sections. */
const LDR_SECTION *LdrFindSection(PKLDR_DATA_TABLE_ENTRY Module, ULONG64 Address) {
    for (ULONG i = 0; i < Module->SectionCount; i++) {
        if (Address - Module->Section[i].Start < Module->Section[i].Bytes) {
            return &Module->Section[i];
        }
    }
    return NULL;
}

/* See ldrp.h. */
BOOLEAN LdrpNextArchiveFile(SIZE_T *Offset, PCSTR *Path) {
    const void *Data;
    SIZE_T Bytes;
    return Archive != NULL && RtlNextArchiveFile(Archive, ArchiveBytes, Offset, Path, &Data, &Bytes);
}

static ULONG FindPlace(ULONG64 Address) {
    if (LdrIsKernelAddress(Address)) {
        return InKernel;
    }
    return LdrFindModule(Address) ? InDriver : LdrFindUnloadedModule(Address) ? InUnloadedDriver : 0;
}
KE_BUG_FINDER(FindPlace); /* for the rewrite of bugcheck.c */
