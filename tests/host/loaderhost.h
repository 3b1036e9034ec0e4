/* loaderhost.h: what the loader asks of the kernel, on the host; and Load and Unload of one module. */
#ifndef _LOADERHOST_H_
#define _LOADERHOST_H_

#include <bootinfo.h>
#include <kd.h>
#include <mm.h>
#include <ring.h>
#include <rtl.h>
#include "../../kernel/ldr/ldrp.h"

void *malloc(size_t Bytes);
void free(void *Memory);
void *mmap(void *Address, size_t Bytes, int Protection, int Flags, int File, long Offset);
int munmap(void *Address, size_t Bytes);
int mprotect(void *Address, size_t Bytes, int Protection);

/* ---- What the loader asks of the kernel ---- */
const UCHAR KernelImageStart[1], KernelImageEnd[1], KernelTextStart[1], KernelTextEnd[1], KernelRodataStart[1],
    KernelRodataEnd[1], KernelDataStart[1], KernelDataEnd[1];
static BOOT_INFO BootInfo;
PBOOT_INFO KeBootInfo = &BootInfo;
const KE_VERIFIER *KeVerifier;
const LDR_EXPORT LdrExports[] = {{"DbgPrint", (PVOID)0x1000},
                                 {"KeBugCheckEx", (PVOID)0x1100},
                                 {"__stack_chk_fail", (PVOID)0x1200},
                                 {"__stack_chk_guard", (PVOID)0x1300}};
const ULONG LdrExportCount = RTL_NUMBER_OF(LdrExports);

KIRQL KeAcquireSpinLockRaiseToDpc(PKSPIN_LOCK SpinLock) {
    return (KIRQL)(SpinLock == NULL);
}
VOID KeReleaseSpinLock(PKSPIN_LOCK SpinLock, KIRQL NewIrql) {
    CHECK(SpinLock != NULL && NewIrql == 0);
}
VOID ExFreePoolWithTag(PVOID Memory, ULONG Tag) {
    CHECK(Tag == LOADER_TAG);
    free(Memory);
}
VOID LdrpInitializeLoading(VOID) {
}

/* Exactly the pages that the loader asked for are writable. Below 2 GiB, for 32-bit relocations. */
static PVOID Reserved;
static SIZE_T ReservedBytes;
static ULONG TrimmedPages;
PVOID MmReserveDriverImage(SIZE_T Bytes) {
    Reserved = mmap(NULL, ROUND_TO_PAGES(Bytes) + PAGE_SIZE, 0, 0x62 /* private, anonymous, 32-bit */, -1, 0);
    ReservedBytes = ROUND_TO_PAGES(Bytes) + PAGE_SIZE;
    return Reserved;
}
NTSTATUS MmPopulateImage(PVOID Va, SIZE_T Bytes, BOOLEAN IsPageable) {
    CHECK(BYTE_OFFSET(Va) == 0 && (IsPageable & ~1) == 0);
    return mprotect(Va, Bytes, 3) == 0 ? STATUS_SUCCESS : STATUS_INSUFFICIENT_RESOURCES;
}
VOID MmProtectImage(PVOID Va, SIZE_T Bytes, ULONG Protection) {
    CHECK(mprotect(Va, Bytes, Protection == MM_READWRITE ? 3 : 1) == 0);
}
ULONG MmTrimRange(PVOID Va, SIZE_T Bytes) {
    CHECK(BYTE_OFFSET(Va) == 0);
    TrimmedPages += (ULONG)BYTES_TO_PAGES(Bytes);
    return TrimmedPages;
}
VOID MmDiscardImage(PVOID Va, SIZE_T Bytes) {
    CHECK(mprotect(Va, Bytes, 0) == 0);
}

/* ---- Loading ---- */
static PKLDR_DATA_TABLE_ENTRY Module;

static BOOLEAN Load(PLDRP_IMAGE Image, const void *File, SIZE_T Bytes) {
    *Image = (LDRP_IMAGE){.Name = "driver", .File = File, .FileBytes = Bytes};
    Module = malloc(sizeof(*Module));
    memset(Module, 0, sizeof(*Module));
    Image->Module = Module;
    return LdrpParseImage(Image) && LdrpPlaceSections(Image) && LdrpRelocateImage(Image) && LdrpFindEntryPoint(Image) &&
           LdrpCheckInitializers(Image);
}

static VOID Unload(VOID) {
    if (Module->DllBase != NULL) {
        munmap(Reserved, ReservedBytes);
    }
    free(Module);
}

#endif
