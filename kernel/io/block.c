/* block.c: the list of disks. What a disk is used for follows from its place in it: the first holds the page file,
 * the second the crash dump. */
#include <kd.h>
#include <mm.h>
#include "iop.h"

#define SMALLEST_DISK_BYTES (2u << 20)

KE_DECLARE_LOCK(IopBlockLock, RANK_BLOCK, "the list of disks");
static LIST_ENTRY BlockDevices = {&BlockDevices, &BlockDevices};
static ULONG BlockDeviceCount;

static PCSTR RoleName(ULONG Role) {
    return Role == 0 ? "page file" : Role == 1 ? "crash dump" : "not used";
}

static NTSTATUS CheckDevice(PBLOCK_DEVICE Device) {
    if (Device->Submit == NULL || Device->Poll == NULL || Device->MaximumBytes < PAGE_SIZE) {
        KdPrintf("io: %s: cannot transfer a page in one request: not used\n", Device->Name);
        return STATUS_NOT_SUPPORTED;
    }
    if (Device->SectorCount < SMALLEST_DISK_BYTES / BLOCK_SECTOR_SIZE) {
        KdPrintf("io: %s: %llu KiB are too small, at least %u MiB are needed: not used\n", Device->Name,
                 Device->SectorCount * BLOCK_SECTOR_SIZE >> 10, SMALLEST_DISK_BYTES >> 20);
        return STATUS_NOT_SUPPORTED;
    }
    return STATUS_SUCCESS;
}

/* <= DISPATCH_LEVEL. Returns the device's role. */
ULONG IopInsertBlockDevice(PBLOCK_DEVICE Device) {
    KIRQL OldIrql = KeAcquireSpinLockRaiseToDpc(&IopBlockLock);
    InsertTailList(&BlockDevices, &Device->ListEntry);
    ULONG Role = BlockDeviceCount++;
    KeReleaseSpinLock(&IopBlockLock, OldIrql);
    return Role;
}

NTSTATUS IoRegisterBlockDevice(PBLOCK_DEVICE Device) {
    PAGED_CODE();
    NTSTATUS Status = CheckDevice(Device);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    ULONG Role = IopInsertBlockDevice(Device);
    KdPrintf("io: %s: %llu MiB: %s\n", Device->Name, Device->SectorCount * BLOCK_SECTOR_SIZE >> 20, RoleName(Role));
    return STATUS_SUCCESS;
}

/* Any IRQL, and without the lock, because a dying machine asks too: devices are only ever added, each fully built. */
PBLOCK_DEVICE IoGetBlockDevice(ULONG Role) {
    for (PLIST_ENTRY Entry = BlockDevices.Flink; Entry != &BlockDevices; Entry = Entry->Flink) {
        if (Role-- == 0) {
            return CONTAINING_RECORD(Entry, BLOCK_DEVICE, ListEntry);
        }
    }
    return NULL;
}
