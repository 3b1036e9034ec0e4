/* fatdisk.c: see fatdisk.h. */
#include "fatdisk.h"

FAT_DISK Disk = {.WritesLeft = -1, .RequestsLeft = -1};

VOID KeQuerySystemTime(PLARGE_INTEGER CurrentTime) {
    CurrentTime->QuadPart = 133485408000000000; /* 2024-01-01 */
}

/* Pool, of which there may be too little now and then. */
PVOID ExAllocatePoolWithTag(POOL_TYPE PoolType, SIZE_T Bytes, ULONG Tag) {
    static ULONG Asked;
    UNREFERENCED_PARAMETER(PoolType);
    UNREFERENCED_PARAMETER(Tag);
    if (Disk.AllocationsFail != 0 && ++Asked % Disk.AllocationsFail == 0) {
        return NULL;
    }
    Disk.Blocks++;
    return malloc(Bytes);
}

VOID ExFreePoolWithTag(PVOID Block, ULONG Tag) {
    UNREFERENCED_PARAMETER(Tag);
    Disk.Blocks--;
    free(Block);
}

static NTSTATUS StartRequest(ULONG64 Offset, ULONG64 Length) {
    ULONG64 End = Disk.Device.SectorCount * BLOCK_SECTOR_SIZE;
    Disk.Requests++;
    if (Offset > End || Length > End - Offset) {
        return STATUS_INVALID_PARAMETER;
    }
    if (Disk.RequestsLeft >= 0 && Disk.RequestsLeft-- == 0) {
        return STATUS_IO_DEVICE_ERROR;
    }
    return STATUS_SUCCESS;
}

/* A copy of the page on the heap: a read beyond it, or after the end of the view, is caught. */
NTSTATUS MmMapDiskView(PBLOCK_DEVICE Device, ULONG64 Offset, PDISK_VIEW View) {
    ULONG64 Page = Offset & ~(PAGE_SIZE - 1ULL), End = Device->SectorCount * BLOCK_SECTOR_SIZE;
    NTSTATUS Status = StartRequest(Page, Page < End ? 1 : PAGE_SIZE);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    UCHAR *Copy = malloc(PAGE_SIZE);
    memset(Copy, 0, PAGE_SIZE);
    memcpy(Copy, Disk.Bytes + Page, End - Page < PAGE_SIZE ? End - Page : PAGE_SIZE);
    *View = (DISK_VIEW){Copy + (Offset - Page), Copy, 0};
    Disk.Views++;
    return STATUS_SUCCESS;
}

VOID MmUnmapDiskView(PDISK_VIEW View) {
    free(View->Page);
    Disk.Views--;
}

NTSTATUS MmPinDiskPage(PBLOCK_DEVICE Device, ULONG64 Offset, PDISK_VIEW View) {
    return MmMapDiskView(Device, Offset, View);
}

VOID MmUnpinDiskPage(PDISK_VIEW View) {
    MmUnmapDiskView(View);
}

NTSTATUS MmReadDisk(PBLOCK_DEVICE Device, ULONG64 Offset, PVOID Buffer, ULONG Length) {
    UNREFERENCED_PARAMETER(Device);
    NTSTATUS Status = StartRequest(Offset, Length);
    if (NT_SUCCESS(Status)) {
        memcpy(Buffer, Disk.Bytes + Offset, Length);
    }
    return Status;
}

NTSTATUS MmWriteDisk(PBLOCK_DEVICE Device, ULONG64 Offset, PCVOID Buffer, ULONG Length) {
    UNREFERENCED_PARAMETER(Device);
    NTSTATUS Status = StartRequest(Offset, Length);
    for (ULONG Done = 0; Done < Length && NT_SUCCESS(Status);) {
        ULONG Bytes = BLOCK_SECTOR_SIZE - (ULONG)((Offset + Done) % BLOCK_SECTOR_SIZE);
        Bytes = Bytes < Length - Done ? Bytes : Length - Done;
        Disk.SectorsWritten++;
        if (Disk.WritesLeft != 0) {
            Disk.WritesLeft -= Disk.WritesLeft > 0;
            if (Buffer) {
                memcpy(Disk.Bytes + Offset + Done, (const UCHAR *)Buffer + Done, Bytes);
            } else {
                memset(Disk.Bytes + Offset + Done, 0, Bytes);
            }
        }
        Done += Bytes;
    }
    return Status;
}
