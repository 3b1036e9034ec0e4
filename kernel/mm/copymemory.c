/* copymemory.c: MmCopyMemory: a copy that ends at an unreadable page instead of stopping the machine. */
#include "mi.h"

static ULONG64 Smaller(ULONG64 A, ULONG64 B) {
    return A < B ? A : B;
}

/* From one page. An address that is neither valid nor backed fails; a pageable one is faulted in by the copy. */
static BOOLEAN CopyVirtual(PUCHAR Target, ULONG64 Va, SIZE_T Bytes) {
    MM_PAGE_STATE State = MmGetPageState(Va, NULL);
    if ((LONG64)Va > 0 || State == PageBadAddress || State == PageNoTable) {
        return FALSE;
    }
    memcpy(Target, (const void *)Va, Bytes);
    return TRUE;
}

/* From one frame of RAM, through the direct map. */
static BOOLEAN CopyPhysical(PUCHAR Target, ULONG64 Physical, SIZE_T Bytes) {
    if (!MiIsRamFrame(Physical >> PAGE_SHIFT)) {
        return FALSE;
    }
    memcpy(Target, MmPhysicalToVirtual(Physical), Bytes);
    return TRUE;
}

/* Documented: copies into nonpaged memory from system address space, or from RAM by its physical address. <= APC_LEVEL.
 * STATUS_INVALID_PARAMETER: not exactly one of the two flags. STATUS_INVALID_ADDRESS: the first byte cannot be read;
 * STATUS_PARTIAL_COPY: a later one. */
NTSTATUS MmCopyMemory(PVOID TargetAddress, MM_COPY_ADDRESS SourceAddress, SIZE_T NumberOfBytes, ULONG Flags,
                      PSIZE_T NumberOfBytesTransferred) {
    ULONG64 Source = (ULONG64)SourceAddress.PhysicalAddress.QuadPart;
    SIZE_T Done = 0;
    *NumberOfBytesTransferred = 0;
    if (Flags != MM_COPY_MEMORY_PHYSICAL && Flags != MM_COPY_MEMORY_VIRTUAL) {
        return STATUS_INVALID_PARAMETER;
    }
    while (Done < NumberOfBytes) {
        SIZE_T Bytes = Smaller(PAGE_SIZE - BYTE_OFFSET(Source + Done), NumberOfBytes - Done);
        PUCHAR Target = (PUCHAR)TargetAddress + Done;
        if (!(Flags == MM_COPY_MEMORY_PHYSICAL ? CopyPhysical : CopyVirtual)(Target, Source + Done, Bytes)) {
            break;
        }
        Done += Bytes;
    }
    *NumberOfBytesTransferred = Done;
    return Done == NumberOfBytes ? STATUS_SUCCESS : Done == 0 ? STATUS_INVALID_ADDRESS : STATUS_PARTIAL_COPY;
}
