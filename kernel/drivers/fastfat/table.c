/* table.c: the cluster table: for each cluster the next one of its file, free, or last.
 *
 * An entry has 12, 16 or 28 bits; two of 12 share three bytes. A free cluster is looked for from where the last one
 * was found, so that files lie in one piece and a search costs little. */
#include "fat.h"

#define HIGHEST_LINK_BITS 0x0FFFFFFFu /* the upper four bits of a FAT32 entry are not ours */

PAGEABLE static ULONG64 EntryOffset(PFAT_VOLUME Volume, ULONG Cluster) {
    return Volume->Bits == 12 ? Cluster + Cluster / 2 : (ULONG64)Cluster * (Volume->Bits / 8);
}

/* The bytes of an entry, low first. */
PAGEABLE static NTSTATUS ReadRaw(PFAT_CURSOR Cursor, ULONG64 Offset, ULONG Bytes, PULONG Raw) {
    *Raw = 0;
    for (ULONG i = 0; i < Bytes; i++) { /* one of 12 bits may lie across the edge of a page */
        const UCHAR *Byte;
        NTSTATUS Status = FatTouch(Cursor, Offset + i, &Byte);
        if (!NT_SUCCESS(Status)) {
            return Status;
        }
        *Raw |= (ULONG)*Byte << (8 * i);
    }
    return STATUS_SUCCESS;
}

/* End-of-chain marks begin at xx8, the mark of a bad cluster is xx7. */
PAGEABLE static ULONG Normalize(ULONG Value, ULONG Highest) {
    return Value >= Highest - 7 ? FAT_END : Value == Highest - 8 ? FAT_BAD : Value;
}

PAGEABLE NTSTATUS FatGetLink(PFAT_CURSOR Cursor, ULONG Cluster, PULONG Link) {
    PFAT_VOLUME Volume = Cursor->Volume;
    ULONG64 Start = Volume->TableStart + Volume->ActiveTable * Volume->TableBytes;
    ULONG Raw;
    NTSTATUS Status = ReadRaw(Cursor, Start + EntryOffset(Volume, Cluster), Volume->Bits == 32 ? 4 : 2, &Raw);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    if (Volume->Bits == 12) {
        *Link = Normalize(Cluster & 1 ? Raw >> 4 : Raw & 0xFFF, 0xFFF);
    } else {
        *Link = Volume->Bits == 16 ? Normalize(Raw, 0xFFFF) : Normalize(Raw & HIGHEST_LINK_BITS, HIGHEST_LINK_BITS);
    }
    return STATUS_SUCCESS;
}

PAGEABLE NTSTATUS FatNextCluster(PFAT_CURSOR Cursor, ULONG Cluster, PULONG Next) {
    NTSTATUS Status = FatGetLink(Cursor, Cluster, Next);
    if (NT_SUCCESS(Status) && *Next != FAT_END && !FatIsCluster(Cursor->Volume, *Next)) {
        return STATUS_FILE_CORRUPT_ERROR;
    }
    return Status;
}

/* Puts the link into the bits that an entry shares with others. */
PAGEABLE static ULONG Merge(PFAT_VOLUME Volume, ULONG Cluster, ULONG Raw, ULONG Link) {
    if (Volume->Bits == 12) {
        return Cluster & 1 ? (Raw & 0xF) | (Link & 0xFFF) << 4 : (Raw & 0xF000) | (Link & 0xFFF);
    }
    return Volume->Bits == 16 ? Link & 0xFFFF : (Raw & ~HIGHEST_LINK_BITS) | (Link & HIGHEST_LINK_BITS);
}

PAGEABLE static NTSTATUS SetLinkIn(PFAT_VOLUME Volume, ULONG Table, ULONG Cluster, ULONG Link) {
    ULONG64 Offset = Volume->TableStart + Table * Volume->TableBytes + EntryOffset(Volume, Cluster);
    ULONG Bytes = Volume->Bits == 32 ? 4 : 2, Raw = 0;
    NTSTATUS Status = MmReadDisk(Volume->Disk, Offset, &Raw, Bytes);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    Raw = Merge(Volume, Cluster, Raw, Link);
    return FatWrite(Volume, Offset, &Raw, Bytes);
}

PAGEABLE NTSTATUS FatSetLink(PFAT_VOLUME Volume, ULONG Cluster, ULONG Link) {
    NTSTATUS Status = STATUS_SUCCESS;
    for (ULONG Table = 0; Table < Volume->TableCount && NT_SUCCESS(Status); Table++) {
        if (Volume->IsMirrored || Table == Volume->ActiveTable) {
            Status = SetLinkIn(Volume, Table, Cluster, Link);
        }
    }
    return Status;
}

/* The count in FAT32's information sector is a hint for others, and wrong from the first change on: "unknown" is
 * always right. */
PAGEABLE static NTSTATUS ForgetStoredCount(PFAT_VOLUME Volume) {
    static const ULONG Unknown[2] = {FAT_UNKNOWN, FAT_UNKNOWN};
    ULONG64 Start = Volume->InfoStart;
    if (Start == 0) {
        return STATUS_SUCCESS;
    }
    NTSTATUS Status = FatWrite(Volume, Start + 488, Unknown, sizeof(Unknown));
    if (NT_SUCCESS(Status)) {
        Volume->InfoStart = 0;
    }
    return Status;
}

/* The next free cluster behind the last one found; STATUS_DISK_FULL after one round. */
PAGEABLE static NTSTATUS FindFree(PFAT_VOLUME Volume, PULONG Found) {
    FAT_CURSOR Cursor = {.Volume = Volume};
    ULONG Cluster = FatIsCluster(Volume, Volume->NextFree) ? Volume->NextFree : FAT_FIRST_CLUSTER;
    NTSTATUS Status = STATUS_DISK_FULL;
    for (ULONG Tries = 0; Tries < Volume->ClusterCount; Tries++) {
        ULONG Link;
        NTSTATUS ReadStatus = FatGetLink(&Cursor, Cluster, &Link);
        if (!NT_SUCCESS(ReadStatus) || Link == FAT_FREE) {
            *Found = Cluster;
            Status = ReadStatus;
            break;
        }
        Cluster = FatIsCluster(Volume, Cluster + 1) ? Cluster + 1 : FAT_FIRST_CLUSTER;
    }
    FatDrop(&Cursor);
    return Status;
}

/* A cluster that ends the chain of Previous, or begins one (0). */
PAGEABLE static NTSTATUS AllocateCluster(PFAT_VOLUME Volume, ULONG Previous, PULONG Cluster) {
    NTSTATUS Status = FindFree(Volume, Cluster);
    if (NT_SUCCESS(Status)) {
        Status = FatSetLink(Volume, *Cluster, FAT_END);
    }
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    Volume->NextFree = *Cluster + 1;
    if (Volume->FreeClusters != FAT_UNKNOWN && Volume->FreeClusters != 0) {
        Volume->FreeClusters--;
    }
    return Previous == 0 ? STATUS_SUCCESS : FatSetLink(Volume, Previous, *Cluster);
}

PAGEABLE NTSTATUS FatAllocateChain(PFAT_VOLUME Volume, ULONG Count, PULONG First) {
    ULONG Previous = 0, Free;
    NTSTATUS Status = ForgetStoredCount(Volume);
    *First = 0;
    if (NT_SUCCESS(Status) && (Count > 1 || Volume->ReservedClusters != 0)) { /* a change bound to fail is not begun */
        Status = FatCountFree(Volume, &Free);
        Status = NT_SUCCESS(Status) && Free < Count ? STATUS_DISK_FULL : Status;
    }
    for (ULONG i = 0; i < Count && NT_SUCCESS(Status); i++) {
        ULONG Cluster;
        Status = AllocateCluster(Volume, Previous, &Cluster);
        if (NT_SUCCESS(Status) && *First == 0) {
            *First = Cluster;
        }
        Previous = Cluster;
    }
    if (!NT_SUCCESS(Status)) {
        FatFreeChain(Volume, *First);
        *First = 0;
    }
    return Status;
}

/* Ends also where a chain runs into itself: a freed cluster is no link any more. */
PAGEABLE NTSTATUS FatFreeChain(PFAT_VOLUME Volume, ULONG First) {
    NTSTATUS Status = First == 0 ? STATUS_SUCCESS : ForgetStoredCount(Volume);
    while (NT_SUCCESS(Status) && FatIsCluster(Volume, First)) {
        FAT_CURSOR Cursor = {.Volume = Volume};
        ULONG Next;
        Status = FatGetLink(&Cursor, First, &Next);
        FatDrop(&Cursor);
        if (!NT_SUCCESS(Status) || Next == FAT_FREE || Next == FAT_BAD) {
            break;
        }
        Status = FatSetLink(Volume, First, FAT_FREE);
        if (NT_SUCCESS(Status) && Volume->FreeClusters != FAT_UNKNOWN) {
            Volume->FreeClusters++;
        }
        First = Next;
    }
    return Status;
}

PAGEABLE NTSTATUS FatCountFree(PFAT_VOLUME Volume, PULONG Count) {
    NTSTATUS Status = STATUS_SUCCESS;
    if (Volume->FreeClusters == FAT_UNKNOWN) {
        FAT_CURSOR Cursor = {.Volume = Volume};
        ULONG Free = 0, Link;
        for (ULONG i = 0; i < Volume->ClusterCount && NT_SUCCESS(Status); i++) {
            Status = FatGetLink(&Cursor, FAT_FIRST_CLUSTER + i, &Link);
            Free += NT_SUCCESS(Status) && Link == FAT_FREE;
        }
        FatDrop(&Cursor);
        if (!NT_SUCCESS(Status)) {
            return Status;
        }
        Volume->FreeClusters = Free;
    }
    *Count = Volume->FreeClusters > Volume->ReservedClusters ? Volume->FreeClusters - Volume->ReservedClusters : 0;
    return STATUS_SUCCESS;
}

PAGEABLE NTSTATUS FatReserve(PFAT_VOLUME Volume, ULONG Count) {
    ULONG Free;
    NTSTATUS Status = FatCountFree(Volume, &Free);
    if (NT_SUCCESS(Status) && Free < Count) {
        return STATUS_DISK_FULL;
    }
    Volume->ReservedClusters += NT_SUCCESS(Status) ? Count : 0;
    return Status;
}

PAGEABLE VOID FatUnreserve(PFAT_VOLUME Volume, ULONG Count) {
    Volume->ReservedClusters -= Count;
}
