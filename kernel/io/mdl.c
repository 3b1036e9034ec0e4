/* mdl.c: the I/O manager's memory descriptor lists, structures with room for a buffer's frames. The calls that fill
 * them in, lock and map are in mm/mdl.c. */
#include <arch.h>
#include "iop.h"

#define LONGEST_BUFFER (0xFFFFFFFF - PAGE_SIZE + 1)
#define FIXED_MDL_BYTES (sizeof(MDL) + 23 * sizeof(PFN_NUMBER))

/* Any IRQL. Bytes for an MDL of that buffer. wdm.h: MmSizeOfMdl. */
SIZE_T MmSizeOfMdl(PVOID Base, SIZE_T Length) {
    return sizeof(MDL) + ADDRESS_AND_SIZE_TO_SPAN_PAGES(Base, Length) * sizeof(PFN_NUMBER);
}

/* Any IRQL at which Mdl is resident. The frames stay undefined. wdm.h: MmInitializeMdl. */
VOID MmInitializeMdl(PMDL Mdl, PVOID BaseVa, SIZE_T Length) {
    *Mdl = (MDL){.Size = (SHORT)MmSizeOfMdl(BaseVa, Length),
                 .StartVa = PAGE_ALIGN(BaseVa),
                 .ByteOffset = BYTE_OFFSET(BaseVa),
                 .ByteCount = (ULONG)Length};
}

static VOID ChainMdl(PMDL *Link, PMDL Mdl) {
    while (*Link != NULL) {
        Link = &(*Link)->Next;
    }
    *Link = Mdl;
}

/* <= DISPATCH_LEVEL. With Irp: becomes its MDL, or with SecondaryBuffer the last of its chain. NULL: no memory, or
 * Length is above 4 GB - PAGE_SIZE. Small ones have one size, as on NT. wdm.h: IoAllocateMdl. */
PMDL IoAllocateMdl(PVOID VirtualAddress, ULONG Length, BOOLEAN SecondaryBuffer, BOOLEAN ChargeQuota, PIRP Irp) {
    UNREFERENCED_PARAMETER(ChargeQuota);
    SIZE_T Bytes = MmSizeOfMdl(VirtualAddress, Length);
    BOOLEAN IsFixed = Bytes <= FIXED_MDL_BYTES;
    if (Length > LONGEST_BUFFER) {
        return NULL;
    }
    Bytes = IsFixed ? FIXED_MDL_BYTES : Bytes;
    PMDL Mdl = ExAllocatePoolWithTag(NonPagedPoolNx, Bytes, TAG_MDL);
    if (Mdl == NULL) {
        return NULL;
    }
    memset(Mdl, 0, Bytes);
    MmInitializeMdl(Mdl, VirtualAddress, Length);
    if (IsFixed) {
        Mdl->Size = FIXED_MDL_BYTES;
        Mdl->MdlFlags = MDL_ALLOCATED_FIXED_SIZE;
    }
    if (Irp != NULL && SecondaryBuffer) {
        ChainMdl(&Irp->MdlAddress, Mdl);
    } else if (Irp != NULL) {
        Irp->MdlAddress = Mdl;
    }
    return Mdl;
}

/* <= DISPATCH_LEVEL. A partial MDL's mapping of its own goes with it; locked pages stay locked. wdm.h: IoFreeMdl. */
VOID IoFreeMdl(PMDL Mdl) {
    MmPrepareMdlForReuse(Mdl);
    ExFreePool(Mdl);
}

/* TargetMdl describes a part of what SourceMdl describes; Length 0: from VirtualAddress to the end. The lock stays the
 * source's. TargetMdl without room for that many frames: TARGET_MDL_TOO_SMALL. <= DISPATCH_LEVEL.
 * wdm.h: IoBuildPartialMdl. */
VOID IoBuildPartialMdl(PMDL SourceMdl, PMDL TargetMdl, PVOID VirtualAddress, ULONG Length) {
    ULONG_PTR Start = (ULONG_PTR)MmGetMdlVirtualAddress(SourceMdl), Offset = (ULONG_PTR)VirtualAddress - Start;
    ULONG Bytes = Length != 0 ? Length : SourceMdl->ByteCount - (ULONG)Offset;
    ULONG_PTR FirstPage = ((ULONG_PTR)PAGE_ALIGN(VirtualAddress) - (ULONG_PTR)SourceMdl->StartVa) >> PAGE_SHIFT;
    SIZE_T Pages = ADDRESS_AND_SIZE_TO_SPAN_PAGES(VirtualAddress, Bytes), Room = (USHORT)TargetMdl->Size - sizeof(MDL);
    if (Pages > Room / sizeof(PFN_NUMBER) && Pages * sizeof(PFN_NUMBER) <= MAXUSHORT - sizeof(MDL)) {
        KeBugCheckEx(TARGET_MDL_TOO_SMALL, 0, 0, 0, 0);
    }
    TargetMdl->StartVa = PAGE_ALIGN(VirtualAddress);
    TargetMdl->ByteOffset = BYTE_OFFSET(VirtualAddress);
    TargetMdl->ByteCount = Bytes;
    TargetMdl->MdlFlags = (SHORT)((SourceMdl->MdlFlags & (MDL_SOURCE_IS_NONPAGED_POOL | MDL_MAPPED_TO_SYSTEM_VA)) |
                                  (TargetMdl->MdlFlags & MDL_ALLOCATED_FIXED_SIZE) | MDL_PARTIAL);
    TargetMdl->MappedSystemVa = SourceMdl->MappedSystemVa == NULL ? NULL : (PUCHAR)SourceMdl->MappedSystemVa + Offset;
    memcpy(MmGetMdlPfnArray(TargetMdl), MmGetMdlPfnArray(SourceMdl) + FirstPage, Pages * sizeof(PFN_NUMBER));
}

/* ---- Requests whose driver works on the frames themselves ---- */

typedef struct _LOCK_CALL {
    PMDL Mdl;
    LOCK_OPERATION Operation;
} LOCK_CALL;

static VOID LockGuarded(PVOID Context) {
    const LOCK_CALL *Call = Context;
    MmProbeAndLockPages(Call->Mdl, KernelMode, Call->Operation);
}

static NTSTATUS AttachMdl(PIRP Irp, PVOID Buffer, ULONG Length, LOCK_OPERATION Operation) {
    PMDL Mdl = IoAllocateMdl(Buffer, Length, FALSE, FALSE, Irp);
    if (Mdl == NULL) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    LOCK_CALL Call = {Mdl, Operation};
    return KiCallGuarded(LockGuarded, &Call);
}

static VOID FreeMdls(PIRP Irp) {
    while (Irp->MdlAddress != NULL) {
        PMDL Mdl = Irp->MdlAddress;
        Irp->MdlAddress = Mdl->Next;
        if (Mdl->MdlFlags & MDL_PAGES_LOCKED) {
            MmUnlockPages(Mdl);
        }
        IoFreeMdl(Mdl);
    }
}

static const IOP_DIRECT_BUFFERS Buffers = {AttachMdl, FreeMdls};
KE_ATTACH(IopDirectBuffers, &Buffers);
