/* volume.c: the volume that a boot sector describes, and access to the bytes behind it.
 *
 * Nothing that the boot sector says is believed: after FatMount every cluster number between 2 and ClusterCount + 1
 * has an entry in the table and lies on the disk. */
#include "fat.h"

#define LARGEST_FAT12 4084u
#define LARGEST_FAT16 65524u
#define LARGEST_FAT32 0x0FFFFFF4u
#define LARGEST_CLUSTER 0x40000u

/* "BPB structure common to FAT12, FAT16, and FAT32": offsets in the boot sector. */
enum {
    BootSectorBytes = 11,
    BootClusterSectors = 13,
    BootReservedSectors = 14,
    BootTables = 16,
    BootRootEntries = 17,
    BootSectors16 = 19,
    BootTableSectors16 = 22,
    BootSectors32 = 32,
    BootTableSectors32 = 36, /* FAT32, like all below */
    BootFlags = 40,
    BootVersion = 42,
    BootRootCluster = 44,
    BootInfoSector = 48,
    BootSerial32 = 67,
    BootSerial16 = 39, /* FAT12, FAT16 */
    BootSignature = 510
};

typedef struct _BOOT_FIELDS {
    ULONG ReservedSectors, RootEntries, Tables, ClusterSectors;
    ULONG64 Sectors, TableSectors;
} BOOT_FIELDS;

PAGEABLE static ULONG Read16(const UCHAR *Bytes) {
    return Bytes[0] | (ULONG)Bytes[1] << 8;
}

PAGEABLE static ULONG Read32(const UCHAR *Bytes) {
    return Read16(Bytes) | Read16(Bytes + 2) << 16;
}

PAGEABLE static BOOLEAN IsPowerOfTwo(ULONG Value) {
    return Value != 0 && (Value & (Value - 1)) == 0;
}

PAGEABLE static NTSTATUS ReadFields(PFAT_VOLUME Volume, const UCHAR *Boot, BOOT_FIELDS *Fields) {
    Volume->SectorBytes = Read16(Boot + BootSectorBytes);
    Fields->ClusterSectors = Boot[BootClusterSectors];
    Fields->ReservedSectors = Read16(Boot + BootReservedSectors);
    Fields->Tables = Boot[BootTables];
    Fields->RootEntries = Read16(Boot + BootRootEntries);
    Fields->Sectors = Read16(Boot + BootSectors16);
    Fields->TableSectors = Read16(Boot + BootTableSectors16);
    if (Fields->Sectors == 0) {
        Fields->Sectors = Read32(Boot + BootSectors32);
    }
    if (Read16(Boot + BootSignature) != 0xAA55 || (Boot[0] != 0xEB && Boot[0] != 0xE9) ||
        !IsPowerOfTwo(Volume->SectorBytes) || Volume->SectorBytes < BLOCK_SECTOR_SIZE ||
        Volume->SectorBytes > PAGE_SIZE || !IsPowerOfTwo(Fields->ClusterSectors) || Fields->ReservedSectors == 0 ||
        Fields->Tables == 0 || Fields->Tables > 4) {
        return STATUS_UNRECOGNIZED_VOLUME;
    }
    if (Fields->TableSectors == 0) {
        Fields->TableSectors = Read32(Boot + BootTableSectors32);
    }
    Volume->ClusterBytes = Volume->SectorBytes * Fields->ClusterSectors;
    return Volume->ClusterBytes <= LARGEST_CLUSTER ? STATUS_SUCCESS : STATUS_UNRECOGNIZED_VOLUME;
}

/* Where everything is. STATUS_DISK_CORRUPT_ERROR: it does not fit together, or not on the disk. */
PAGEABLE static NTSTATUS LayOut(PFAT_VOLUME Volume, const BOOT_FIELDS *Fields) {
    ULONG Sector = Volume->SectorBytes;
    ULONG64 DiskBytes = Volume->Disk->SectorCount * BLOCK_SECTOR_SIZE;
    Volume->TableCount = Fields->Tables;
    Volume->TableStart = (ULONG64)Fields->ReservedSectors * Sector;
    Volume->TableBytes = Fields->TableSectors * Sector;
    Volume->RootStart = Volume->TableStart + Volume->TableBytes * Fields->Tables;
    Volume->RootBytes = Fields->RootEntries * FAT_ENTRY_BYTES;
    Volume->DataStart = Volume->RootStart + ((Volume->RootBytes + Sector - 1) & ~(Sector - 1));
    ULONG64 End = Fields->Sectors * Sector;
    if (Fields->TableSectors == 0 || End > DiskBytes || Volume->DataStart >= End) {
        return STATUS_DISK_CORRUPT_ERROR;
    }
    ULONG64 Clusters = (End - Volume->DataStart) / Volume->ClusterBytes;
    if (Clusters == 0 || Clusters > LARGEST_FAT32) {
        return STATUS_DISK_CORRUPT_ERROR;
    }
    Volume->ClusterCount = (ULONG)Clusters;
    Volume->Bits = Clusters <= LARGEST_FAT12 ? 12 : Clusters <= LARGEST_FAT16 ? 16 : 32;
    ULONG64 Needed = ((Clusters + FAT_FIRST_CLUSTER) * Volume->Bits + 7) / 8;
    return Needed <= Volume->TableBytes ? STATUS_SUCCESS : STATUS_DISK_CORRUPT_ERROR;
}

PAGEABLE static NTSTATUS ReadFat32Fields(PFAT_VOLUME Volume, const UCHAR *Boot) {
    ULONG Flags = Read16(Boot + BootFlags), Info = Read16(Boot + BootInfoSector);
    Volume->RootCluster = Read32(Boot + BootRootCluster);
    Volume->IsMirrored = !(Flags & 0x80);
    Volume->ActiveTable = Volume->IsMirrored ? 0 : Flags & 0xF;
    if (Info != 0 && Info != 0xFFFF && (ULONG64)(Info + 1) * Volume->SectorBytes <= Volume->TableStart) {
        Volume->InfoStart = (ULONG64)Info * Volume->SectorBytes;
    }
    if (Read16(Boot + BootVersion) != 0 || Volume->RootBytes != 0 || Volume->ActiveTable >= Volume->TableCount ||
        !FatIsCluster(Volume, Volume->RootCluster)) {
        return STATUS_DISK_CORRUPT_ERROR;
    }
    return STATUS_SUCCESS;
}

PAGEABLE static NTSTATUS ReadBoot(PFAT_VOLUME Volume, const UCHAR *Boot) {
    BOOT_FIELDS Fields;
    NTSTATUS Status = ReadFields(Volume, Boot, &Fields);
    if (NT_SUCCESS(Status)) {
        Status = LayOut(Volume, &Fields);
    }
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    BOOLEAN IsFat32 = Volume->Bits == 32;
    const UCHAR *Serial = Boot + (IsFat32 ? BootSerial32 : BootSerial16);
    Volume->SerialNumber = Read32(Serial);
    RtlCopyMemory(Volume->Label, Serial + 4, sizeof(Volume->Label));
    Volume->IsMirrored = TRUE;
    return IsFat32 ? ReadFat32Fields(Volume, Boot) : STATUS_SUCCESS;
}

PAGEABLE NTSTATUS FatMount(PFAT_VOLUME Volume, PBLOCK_DEVICE Disk) {
    DISK_VIEW View;
    *Volume = (FAT_VOLUME){.Disk = Disk, .NextFree = FAT_FIRST_CLUSTER, .FreeClusters = FAT_UNKNOWN};
    InitializeListHead(&Volume->Indexes);
    if (Disk->SectorCount == 0) {
        return STATUS_UNRECOGNIZED_VOLUME;
    }
    NTSTATUS Status = MmMapDiskView(Disk, 0, &View);
    if (NT_SUCCESS(Status)) {
        Status = ReadBoot(Volume, View.Data);
        MmUnmapDiskView(&View);
    }
    return Status;
}

PAGEABLE BOOLEAN FatIsCluster(PFAT_VOLUME Volume, ULONG Cluster) {
    return Cluster >= FAT_FIRST_CLUSTER && Cluster - FAT_FIRST_CLUSTER < Volume->ClusterCount;
}

PAGEABLE ULONG64 FatClusterStart(PFAT_VOLUME Volume, ULONG Cluster) {
    return Volume->DataStart + (ULONG64)(Cluster - FAT_FIRST_CLUSTER) * Volume->ClusterBytes;
}

PAGEABLE NTSTATUS FatTouch(PFAT_CURSOR Cursor, ULONG64 Offset, const UCHAR **Data) {
    ULONG64 Page = Offset & ~(PAGE_SIZE - 1ULL);
    if (!Cursor->IsPinned || Cursor->Page != Page) {
        FatDrop(Cursor);
        NTSTATUS Status = MmPinDiskPage(Cursor->Volume->Disk, Page, &Cursor->View);
        if (!NT_SUCCESS(Status)) {
            return Status;
        }
        Cursor->IsPinned = TRUE;
        Cursor->Page = Page;
    }
    *Data = Cursor->View.Data + (Offset - Page);
    return STATUS_SUCCESS;
}

PAGEABLE VOID FatDrop(PFAT_CURSOR Cursor) {
    if (Cursor->IsPinned) {
        MmUnpinDiskPage(&Cursor->View);
        Cursor->IsPinned = FALSE;
    }
}

PAGEABLE NTSTATUS FatWrite(PFAT_VOLUME Volume, ULONG64 Offset, PCVOID Data, ULONG Bytes) {
    return MmWriteDisk(Volume->Disk, Offset, Data, Bytes);
}
