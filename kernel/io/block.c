/* block.c: the list of disks, whose contents decide their use. A disk that begins with a FAT boot sector is the
 * volume C:; one that begins with the launcher's mark, or with an earlier dump, takes the crash dump. Of the others
 * the first holds the page file, and the second the crash dump if no disk is marked for it. A disk that cannot be
 * read is not used. */
#include <kd.h>
#include <mm.h>
#include "iop.h"

#define SMALLEST_DISK_BYTES (2u << 20)

KE_DECLARE_LOCK(IopBlockLock, RANK_BLOCK, "the list of disks");
static LIST_ENTRY BlockDevices = {&BlockDevices, &BlockDevices};
static ULONG BlockDeviceCount;
static PBLOCK_DEVICE volatile VolumeDisk, MarkedDumpDisk;

#define DUMP_MARK "BUGCHECK DUMP DISK" /* tools/machine/emulators.py writes it at the disk's beginning */
#define ELF_CORE 4                     /* the byte at 16 of an ELF file that is a dump */

static PCSTR RoleName(ULONG Role) {
    return Role == 0 ? "page file" : Role == 1 ? "crash dump" : "not used";
}

/* <= DISPATCH_LEVEL. Returns the device's role. */
ULONG IopInsertBlockDevice(PBLOCK_DEVICE Device) {
    KIRQL OldIrql = KeAcquireSpinLockRaiseToDpc(&IopBlockLock);
    InsertTailList(&BlockDevices, &Device->ListEntry);
    ULONG Role = BlockDeviceCount++;
    KeReleaseSpinLock(&IopBlockLock, OldIrql);
    return Role;
}

/* A boot sector: a jump, a legal sector size, at least one table, and the mark at its end. A page file would have to
 * begin with all of these by chance. */
static BOOLEAN IsFatBootSector(const UCHAR *Sector) {
    ULONG SectorBytes = Sector[11] | (ULONG)Sector[12] << 8, ClusterSectors = Sector[13], Tables = Sector[16];
    return Sector[510] == 0x55 && Sector[511] == 0xAA && (Sector[0] == 0xEB || Sector[0] == 0xE9) &&
           SectorBytes >= BLOCK_SECTOR_SIZE && SectorBytes <= PAGE_SIZE && (SectorBytes & (SectorBytes - 1)) == 0 &&
           ClusterSectors != 0 && (ClusterSectors & (ClusterSectors - 1)) == 0 && Tables >= 1 && Tables <= 4;
}

static BOOLEAN IsDumpSector(const UCHAR *Sector) {
    static const UCHAR Elf[] = {0x7F, 'E', 'L', 'F'};
    return memcmp(Sector, DUMP_MARK, sizeof(DUMP_MARK) - 1) == 0 ||
           (memcmp(Sector, Elf, sizeof(Elf)) == 0 && Sector[16] == ELF_CORE);
}

static VOID CompleteTransfer(PBLOCK_REQUEST Request) {
    KeSetEvent(Request->Context, IO_DISK_INCREMENT, FALSE);
}

/* See io.h. */
NTSTATUS IoTransferBlocks(PBLOCK_DEVICE Device, PBLOCK_REQUEST Request) {
    KEVENT Done;
    KeInitializeEvent(&Done, NotificationEvent, FALSE);
    Request->Status = STATUS_PENDING;
    Request->Complete = CompleteTransfer;
    Request->Context = &Done; /* cppcheck-suppress autoVariables */
    Device->Submit(Device, Request);
    KeWaitForSingleObject(&Done, Executive, KernelMode, FALSE, NULL);
    return Request->Status;
}

static NTSTATUS ReadFirstSector(PBLOCK_DEVICE Device, PUCHAR Sector) {
    PVOID Buffer = ExAllocatePoolWithTag(NonPagedPoolNx, PAGE_SIZE, TAG_IO); /* a page: contiguous for the device */
    if (Buffer == NULL) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    BLOCK_REQUEST Request = {.PhysicalAddress = (ULONG64)MmGetPhysicalAddress(Buffer).QuadPart,
                             .LengthBytes = BLOCK_SECTOR_SIZE};
    NTSTATUS Status = IoTransferBlocks(Device, &Request);
    memcpy(Sector, Buffer, BLOCK_SECTOR_SIZE);
    ExFreePoolWithTag(Buffer, TAG_IO);
    return Status;
}

/* PASSIVE_LEVEL. Says in one line why a disk is left alone. One whose first sector cannot be read may hold a volume,
 * and a page file would overwrite it. A volume may be small: only the file system can tell. */
static NTSTATUS CheckDevice(PBLOCK_DEVICE Device, PBOOLEAN IsVolume, PBOOLEAN IsForDump) {
    UCHAR Sector[BLOCK_SECTOR_SIZE] = {0};
    if (Device->Submit == NULL || Device->Poll == NULL || Device->MaximumBytes < PAGE_SIZE) {
        KdPrintf("io: %s: cannot transfer a page in one request: not used\n", Device->Name);
        return STATUS_NOT_SUPPORTED;
    }
    NTSTATUS Status = Device->SectorCount == 0 ? STATUS_SUCCESS : ReadFirstSector(Device, Sector);
    if (!NT_SUCCESS(Status)) {
        KdPrintf("io: %s: its first sector cannot be read (0x%08X), so what it holds is unknown: not used\n",
                 Device->Name, Status);
        return Status;
    }
    *IsVolume = IsFatBootSector(Sector);
    *IsForDump = IsDumpSector(Sector);
    if (*IsVolume && IoGetVolumeDisk() != NULL) {
        KdPrintf("io: %s: it holds a volume, and C: is another disk: not used\n", Device->Name);
        return STATUS_NOT_SUPPORTED;
    }
    if (!*IsVolume && Device->SectorCount < SMALLEST_DISK_BYTES / BLOCK_SECTOR_SIZE) {
        KdPrintf("io: %s: %llu KiB are too small, at least %u MiB are needed: not used\n", Device->Name,
                 Device->SectorCount * BLOCK_SECTOR_SIZE >> 10, SMALLEST_DISK_BYTES >> 20);
        return STATUS_NOT_SUPPORTED;
    }
    return STATUS_SUCCESS;
}

/* PASSIVE_LEVEL. FALSE: another disk is the volume already. */
BOOLEAN IopSetVolumeDisk(PBLOCK_DEVICE Device) {
    return __sync_bool_compare_and_swap(&VolumeDisk, NULL, Device);
}

NTSTATUS IoRegisterBlockDevice(PBLOCK_DEVICE Device) {
    PAGED_CODE();
    BOOLEAN IsVolume = FALSE, IsForDump = FALSE;
    NTSTATUS Status = CheckDevice(Device, &IsVolume, &IsForDump);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    PCSTR Name = IsVolume ? "volume C:" : RoleName(1);
    BOOLEAN HasRole =
        IsVolume ? IopSetVolumeDisk(Device) : IsForDump && __sync_bool_compare_and_swap(&MarkedDumpDisk, NULL, Device);
    if (!HasRole) {
        Name = RoleName(IopInsertBlockDevice(Device));
    }
    KdPrintf("io: %s: %llu MiB: %s\n", Device->Name, Device->SectorCount * BLOCK_SECTOR_SIZE >> 20, Name);
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

/* Any IRQL; a dying machine asks. NULL: there is none. */
PBLOCK_DEVICE IoGetDumpDisk(VOID) {
    return MarkedDumpDisk ? MarkedDumpDisk : IoGetBlockDevice(1);
}

/* See block.h. */
PBLOCK_DEVICE IoGetVolumeDisk(VOID) {
    return VolumeDisk;
}
