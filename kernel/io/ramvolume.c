/* ramvolume.c: C: in RAM, for machines whose disks hold no volume. It is the image c.img of the boot archive, and lives
 * until the machine is switched off.
 *
 * The image in the archive stops behind its last byte that is not zero; the boot sector tells how large the disk is.
 * A page of it costs memory from the first time that something is written to it. */
#include "iop.h"

#include <bootinfo.h>
#include <kd.h>
#include <mm.h>
#include <ring.h>
#include <rtl.h>

#define MAXIMUM_PAGES 512 /* 2 MiB */
#define SECTORS_PER_PAGE (PAGE_SIZE / BLOCK_SECTOR_SIZE)

KE_DECLARE_LOCK(IopRamVolumeLock, RANK_BLOCK + 1, "the queue of requests to the volume in RAM");
static LIST_ENTRY Queue = {&Queue, &Queue};
static KDPC CompletionDpc;
static ULONG64 Pages[MAXIMUM_PAGES]; /* physical addresses; 0: as in the image */
static const UCHAR *Image;
static SIZE_T ImageBytes;
static BLOCK_DEVICE Device;
static BOOLEAN IsPolled;

/* The bytes of a page that the image has; the rest is zeros. */
static SIZE_T BytesInImage(ULONG64 Offset) {
    SIZE_T Left = Offset < ImageBytes ? ImageBytes - Offset : 0;
    return Left < PAGE_SIZE ? Left : PAGE_SIZE;
}

/* <= DISPATCH_LEVEL. FALSE: no memory. */
static BOOLEAN MakePage(ULONG Index) {
    if (Pages[Index] == 0) {
        ULONG64 Physical = MmAllocatePhysicalPages(1), Offset = (ULONG64)Index << PAGE_SHIFT;
        if (Physical == 0) {
            return FALSE;
        }
        PUCHAR Memory = MmPhysicalToVirtual(Physical);
        memset(Memory, 0, PAGE_SIZE);
        memcpy(Memory, Image + (BytesInImage(Offset) != 0 ? Offset : 0), BytesInImage(Offset));
        Pages[Index] = Physical;
    }
    return TRUE;
}

/* A part of one page. */
static BOOLEAN MovePart(ULONG64 Offset, PUCHAR Memory, ULONG Bytes, BOOLEAN IsWrite) {
    ULONG Index = (ULONG)(Offset >> PAGE_SHIFT), InPage = BYTE_OFFSET(Offset);
    if (IsWrite && !MakePage(Index)) {
        return FALSE;
    }
    if (Pages[Index] != 0) {
        PUCHAR Stored = (PUCHAR)MmPhysicalToVirtual(Pages[Index]) + InPage;
        memcpy(IsWrite ? Stored : Memory, IsWrite ? Memory : Stored, Bytes);
        return TRUE;
    }
    SIZE_T Known = Offset < ImageBytes ? ImageBytes - Offset : 0;
    Known = Known < Bytes ? Known : Bytes;
    memset(Memory, 0, Bytes);
    memcpy(Memory, Image + (Known != 0 ? Offset : 0), Known);
    return TRUE;
}

static NTSTATUS Transfer(PBLOCK_REQUEST Request) {
    PUCHAR Memory = MmPhysicalToVirtual(Request->PhysicalAddress);
    ULONG64 Offset = Request->Sector * BLOCK_SECTOR_SIZE, Sectors = Request->LengthBytes / BLOCK_SECTOR_SIZE;
    if (Sectors == 0 || Request->LengthBytes % BLOCK_SECTOR_SIZE != 0 || Request->Sector >= Device.SectorCount ||
        Sectors > Device.SectorCount - Request->Sector) {
        return STATUS_INVALID_PARAMETER;
    }
    for (ULONG Done = 0; Done < Request->LengthBytes;) {
        ULONG Bytes = PAGE_SIZE - (ULONG)BYTE_OFFSET(Offset);
        Bytes = Bytes < Request->LengthBytes - Done ? Bytes : Request->LengthBytes - Done;
        if (!MovePart(Offset, Memory + Done, Bytes, Request->IsWrite)) {
            return STATUS_INSUFFICIENT_RESOURCES;
        }
        Done += Bytes;
        Offset += Bytes;
    }
    return STATUS_SUCCESS;
}

/* No lock held: one DPC runs at a time. */
static VOID CompleteAll(PLIST_ENTRY Ready) {
    while (!IsListEmpty(Ready)) {
        PBLOCK_REQUEST Request = CONTAINING_RECORD(RemoveHeadList(Ready), BLOCK_REQUEST, ListEntry);
        Request->Status = Transfer(Request);
        Request->Complete(Request);
    }
}

static VOID Complete(PKDPC Dpc, PVOID Context, PVOID Argument1, PVOID Argument2) {
    UNREFERENCED_PARAMETER(Dpc);
    UNREFERENCED_PARAMETER(Context);
    UNREFERENCED_PARAMETER(Argument1);
    UNREFERENCED_PARAMETER(Argument2);
    LIST_ENTRY Ready;
    InitializeListHead(&Ready);
    KeAcquireSpinLockAtDpcLevel(&IopRamVolumeLock);
    while (!IsListEmpty(&Queue)) {
        InsertTailList(&Ready, RemoveHeadList(&Queue));
    }
    KeReleaseSpinLockFromDpcLevel(&IopRamVolumeLock);
    CompleteAll(&Ready);
}

static VOID Submit(PBLOCK_DEVICE Self, PBLOCK_REQUEST Request) {
    UNREFERENCED_PARAMETER(Self);
    Request->Status = STATUS_PENDING;
    if (IsPolled) {
        InsertTailList(&Queue, &Request->ListEntry);
        return;
    }
    KIRQL OldIrql = KeAcquireSpinLockRaiseToDpc(&IopRamVolumeLock);
    InsertTailList(&Queue, &Request->ListEntry);
    KeReleaseSpinLock(&IopRamVolumeLock, OldIrql);
    KeInsertQueueDpc(&CompletionDpc, NULL, NULL);
}

static VOID Poll(PBLOCK_DEVICE Self) {
    UNREFERENCED_PARAMETER(Self);
    if (!IsPolled) {
        IsPolled = TRUE;
        InitializeListHead(&Queue);
    }
    CompleteAll(&Queue);
}

/* As the boot sector says, within limits. */
static ULONG64 CountSectors(VOID) {
    ULONG SectorBytes = ImageBytes < BLOCK_SECTOR_SIZE ? 0 : Image[11] | (ULONG)Image[12] << 8;
    ULONG64 Sectors = ImageBytes < BLOCK_SECTOR_SIZE ? 0 : Image[19] | (ULONG64)Image[20] << 8;
    Sectors = Sectors * SectorBytes / BLOCK_SECTOR_SIZE;
    return Sectors <= MAXIMUM_PAGES * SECTORS_PER_PAGE ? Sectors : 0;
}

/* Without the image there is no C:, and opening a file on it fails. */
static VOID CreateRamVolume(VOID) {
    const void *Data;
    const void *Archive = MmPhysicalToVirtual(KeBootInfo->ArchiveBase);
    if (IoGetVolumeDisk() != NULL ||
        !RtlFindArchiveFile(Archive, KeBootInfo->ArchiveBytes, "c.img", &Data, &ImageBytes)) {
        return;
    }
    Image = Data;
    KeInitializeDpc(&CompletionDpc, Complete, NULL);
    Device = (BLOCK_DEVICE){
        .Name = "RAM volume", .SectorCount = CountSectors(), .MaximumBytes = PAGE_SIZE, .Submit = Submit, .Poll = Poll};
    if (Device.SectorCount != 0) {
        IopSetVolumeDisk(&Device);
    }
}
KE_STARTUP_STEP(StartAfterDisks, CreateRamVolume);
