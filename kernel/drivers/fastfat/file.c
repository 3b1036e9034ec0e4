/* file.c: a file's contents: reads and writes along its chain of clusters, and its length.
 *
 * The entry holds the length, the table holds the chain: two sectors, and a machine that dies between their writes
 * would leave a file whose length and chain differ. So a file of up to COPY_LIMIT bytes that needs another number of
 * clusters gets a new chain; its contents are copied, and the one write of the entry makes all of it count. The old
 * chain is freed last. A longer file grows in place: there, a crash may leave one chain longer than its file. */
#include "fat.h"

#define COPY_LIMIT 0x20000u /* bytes */
#define LARGEST_FILE 0xFFFFFFFFULL

PAGEABLE ULONG FatGetCluster(PFAT_VOLUME Volume, const FAT_ENTRY *Entry) {
    return Entry->ClusterLow | (Volume->Bits == 32 ? (ULONG)Entry->ClusterHigh << 16 : 0);
}

PAGEABLE VOID FatSetCluster(PFAT_VOLUME Volume, PFAT_ENTRY Entry, ULONG Cluster) {
    Entry->ClusterLow = (USHORT)Cluster;
    Entry->ClusterHigh = Volume->Bits == 32 ? (USHORT)(Cluster >> 16) : 0;
}

PAGEABLE NTSTATUS FatWriteEntry(PFAT_VOLUME Volume, PFAT_NODE Node, const FAT_ENTRY *Entry) {
    NTSTATUS Status = Node->Disk == 0 ? STATUS_SUCCESS : FatWrite(Volume, Node->Disk, Entry, FAT_ENTRY_BYTES);
    if (NT_SUCCESS(Status)) {
        if (FatGetCluster(Volume, &Node->Entry) != FatGetCluster(Volume, Entry)) {
            Node->HintCluster = 0;
        }
        Node->Entry = *Entry;
    }
    return Status;
}

PAGEABLE ULONG FatClustersOf(PFAT_VOLUME Volume, ULONG64 Size) {
    return (ULONG)((Size + Volume->ClusterBytes - 1) / Volume->ClusterBytes);
}

/* ---- Chains ---- */

/* A place in a chain: cluster number Index of it. */
typedef struct _PLACE {
    ULONG Index, Cluster;
} PLACE;

/* Moves Place forward to Index. A chain that ends before, or leaves the disk, is corrupt. */
PAGEABLE static NTSTATUS WalkTo(PFAT_VOLUME Volume, PLACE *Place, ULONG Index) {
    FAT_CURSOR Cursor = {.Volume = Volume};
    NTSTATUS Status = FatIsCluster(Volume, Place->Cluster) ? STATUS_SUCCESS : STATUS_FILE_CORRUPT_ERROR;
    while (NT_SUCCESS(Status) && Place->Index < Index) {
        ULONG Next;
        Status = FatNextCluster(&Cursor, Place->Cluster, &Next);
        if (NT_SUCCESS(Status) && Next == FAT_END) {
            Status = STATUS_FILE_CORRUPT_ERROR;
        }
        if (NT_SUCCESS(Status)) {
            *Place = (PLACE){Place->Index + 1, Next};
        }
    }
    FatDrop(&Cursor);
    return Status;
}

typedef enum _TRANSFER_KIND { TransferRead, TransferWrite, TransferZero } TRANSFER_KIND;

/* Bytes [Offset, Offset + Length) of the chain that Place is in, at or before Offset. */
PAGEABLE static NTSTATUS Transfer(PFAT_VOLUME Volume, PLACE *Place, ULONG64 Offset, ULONG64 Length, PUCHAR Buffer,
                                  TRANSFER_KIND Kind) {
    NTSTATUS Status = STATUS_SUCCESS;
    while (Length != 0 && NT_SUCCESS(Status)) {
        ULONG InCluster = (ULONG)(Offset % Volume->ClusterBytes), Bytes = Volume->ClusterBytes - InCluster;
        Bytes = Bytes < Length ? Bytes : (ULONG)Length;
        Status = WalkTo(Volume, Place, (ULONG)(Offset / Volume->ClusterBytes));
        if (!NT_SUCCESS(Status)) {
            break;
        }
        ULONG64 Disk = FatClusterStart(Volume, Place->Cluster) + InCluster;
        Status = Kind == TransferRead ? MmReadDisk(Volume->Disk, Disk, Buffer, Bytes)
                                      : FatWrite(Volume, Disk, Kind == TransferZero ? NULL : Buffer, Bytes);
        Offset += Bytes;
        Length -= Bytes;
        Buffer = Kind == TransferZero ? NULL : Buffer + Bytes;
    }
    return Status;
}

PAGEABLE static NTSTATUS CopyCluster(PFAT_VOLUME Volume, ULONG From, ULONG To, ULONG Bytes) {
    FAT_CURSOR Cursor = {.Volume = Volume};
    NTSTATUS Status = STATUS_SUCCESS;
    for (ULONG Done = 0; Done < Bytes && NT_SUCCESS(Status);) {
        ULONG64 Source = FatClusterStart(Volume, From) + Done;
        ULONG Chunk = PAGE_SIZE - (ULONG)(Source % PAGE_SIZE);
        const UCHAR *Data;
        Chunk = Chunk < Bytes - Done ? Chunk : Bytes - Done;
        Status = FatTouch(&Cursor, Source, &Data);
        if (NT_SUCCESS(Status)) {
            Status = FatWrite(Volume, FatClusterStart(Volume, To) + Done, Data, Chunk);
        }
        Done += Chunk;
    }
    FatDrop(&Cursor);
    return Status;
}

PAGEABLE static NTSTATUS CopyChain(PFAT_VOLUME Volume, ULONG From, ULONG To, ULONG64 Bytes) {
    PLACE Source = {0, From}, Target = {0, To};
    NTSTATUS Status = STATUS_SUCCESS;
    for (ULONG Index = 0; Bytes != 0 && NT_SUCCESS(Status); Index++) {
        ULONG Chunk = Bytes < Volume->ClusterBytes ? (ULONG)Bytes : Volume->ClusterBytes;
        Status = WalkTo(Volume, &Source, Index);
        if (NT_SUCCESS(Status)) {
            Status = WalkTo(Volume, &Target, Index);
        }
        if (NT_SUCCESS(Status)) {
            Status = CopyCluster(Volume, Source.Cluster, Target.Cluster, Chunk);
        }
        Bytes -= Chunk;
    }
    return Status;
}

/* Where to begin a walk to Index. */
PAGEABLE static PLACE StartPlace(PFAT_VOLUME Volume, const FAT_NODE *Node, ULONG64 Offset) {
    ULONG Index = (ULONG)(Offset / Volume->ClusterBytes);
    if (Node->HintCluster != 0 && Node->HintIndex <= Index) {
        return (PLACE){Node->HintIndex, Node->HintCluster};
    }
    return (PLACE){0, FatGetCluster(Volume, &Node->Entry)};
}

PAGEABLE NTSTATUS FatReadFile(PFAT_VOLUME Volume, PFAT_NODE Node, ULONG Offset, ULONG Length, PVOID Buffer) {
    PLACE Place = StartPlace(Volume, Node, Offset);
    NTSTATUS Status = Transfer(Volume, &Place, Offset, Length, Buffer, TransferRead);
    if (NT_SUCCESS(Status) && Length != 0) {
        Node->HintIndex = Place.Index;
        Node->HintCluster = Place.Cluster;
    }
    return Status;
}

/* ---- Changes ---- */

/* A change of a file: its new length, and bytes to be written. */
typedef struct _CHANGE {
    ULONG64 Size;
    ULONG64 Offset;
    ULONG Length;
    PCVOID Buffer;
} CHANGE;

/* Zeros between the old end and the new bytes, then the bytes, into the chain that begins at First. */
PAGEABLE static NTSTATUS WriteBytes(PFAT_VOLUME Volume, PLACE Place, ULONG64 OldSize, const CHANGE *Change) {
    NTSTATUS Status = STATUS_SUCCESS;
    if (Change->Offset > OldSize) {
        PLACE Gap = Place;
        Status = Transfer(Volume, &Gap, OldSize, Change->Offset - OldSize, NULL, TransferZero);
    }
    if (NT_SUCCESS(Status)) {
        Status = Transfer(Volume, &Place, Change->Offset, Change->Length, (PUCHAR)Change->Buffer, TransferWrite);
    }
    return Status;
}

PAGEABLE static NTSTATUS WriteChangedEntry(PFAT_VOLUME Volume, PFAT_NODE Node, ULONG First, ULONG64 Size) {
    FAT_ENTRY Entry = Node->Entry;
    FatSetCluster(Volume, &Entry, First);
    Entry.Size = (ULONG)Size;
    FatStampWrite(&Entry);
    return FatWriteEntry(Volume, Node, &Entry);
}

/* With a new chain of Clusters (perhaps none) in place of the old one. */
PAGEABLE static NTSTATUS ChangeByCopy(PFAT_VOLUME Volume, PFAT_NODE Node, ULONG Clusters, const CHANGE *Change) {
    ULONG Old = FatGetCluster(Volume, &Node->Entry), New = 0;
    ULONG64 OldSize = Node->Entry.Size, Kept = OldSize < Change->Size ? OldSize : Change->Size;
    NTSTATUS Status = Clusters == 0 ? STATUS_SUCCESS : FatAllocateChain(Volume, Clusters, &New);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    Status = CopyChain(Volume, Old, New, Kept);
    if (NT_SUCCESS(Status) && Clusters != 0) {
        Status = WriteBytes(Volume, (PLACE){0, New}, Kept, Change);
    }
    if (NT_SUCCESS(Status)) {
        Status = WriteChangedEntry(Volume, Node, New, Change->Size);
    }
    if (!NT_SUCCESS(Status)) {
        FatFreeChain(Volume, New);
        return Status;
    }
    FatFreeChain(Volume, Old); /* clusters that cannot be freed are lost, and the change is done all the same */
    return STATUS_SUCCESS;
}

/* In place, with as many clusters as before. */
PAGEABLE static NTSTATUS ChangeInPlace(PFAT_VOLUME Volume, PFAT_NODE Node, const CHANGE *Change) {
    ULONG64 OldSize = Node->Entry.Size, From = Change->Offset < OldSize ? Change->Offset : OldSize;
    ULONG First = FatGetCluster(Volume, &Node->Entry);
    if (Change->Size != 0) {
        NTSTATUS Status = WriteBytes(Volume, StartPlace(Volume, Node, From), OldSize, Change);
        if (!NT_SUCCESS(Status)) {
            return Status;
        }
    }
    return WriteChangedEntry(Volume, Node, First, Change->Size);
}

PAGEABLE static NTSTATUS GrowInPlace(PFAT_VOLUME Volume, PFAT_NODE Node, ULONG Have, ULONG Need, const CHANGE *Change) {
    PLACE Last = StartPlace(Volume, Node, (ULONG64)(Have - 1) * Volume->ClusterBytes);
    ULONG More, Beyond;
    FAT_CURSOR Cursor = {.Volume = Volume};
    NTSTATUS Status = WalkTo(Volume, &Last, Have - 1);
    if (NT_SUCCESS(Status)) {
        Status = FatNextCluster(&Cursor, Last.Cluster, &Beyond);
        FatDrop(&Cursor);
    }
    if (NT_SUCCESS(Status)) {
        Status = FatAllocateChain(Volume, Need - Have, &More);
    }
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    Status = FatSetLink(Volume, Last.Cluster, More);
    if (NT_SUCCESS(Status)) {
        Status = ChangeInPlace(Volume, Node, Change);
    }
    if (!NT_SUCCESS(Status)) {
        if (NT_SUCCESS(FatSetLink(Volume, Last.Cluster, FAT_END))) {
            FatFreeChain(Volume, More);
        }
        Node->HintCluster = 0;
    } else if (Beyond != FAT_END) {
        FatFreeChain(Volume, Beyond); /* the chain was longer than its file */
    }
    return Status;
}

PAGEABLE static NTSTATUS ShrinkInPlace(PFAT_VOLUME Volume, PFAT_NODE Node, ULONG Need, const CHANGE *Change) {
    PLACE Last = {0, FatGetCluster(Volume, &Node->Entry)};
    FAT_CURSOR Cursor = {.Volume = Volume};
    ULONG Rest;
    NTSTATUS Status = WalkTo(Volume, &Last, Need - 1);
    if (NT_SUCCESS(Status)) {
        Status = FatNextCluster(&Cursor, Last.Cluster, &Rest);
        FatDrop(&Cursor);
    }
    if (NT_SUCCESS(Status)) {
        Status = WriteChangedEntry(Volume, Node, FatGetCluster(Volume, &Node->Entry), Change->Size);
    }
    if (NT_SUCCESS(Status)) {
        Node->HintCluster = 0;
        Status = FatSetLink(Volume, Last.Cluster, FAT_END);
    }
    if (NT_SUCCESS(Status) && Rest != FAT_END) {
        FatFreeChain(Volume, Rest);
    }
    return Status;
}

PAGEABLE static NTSTATUS ChangeFile(PFAT_VOLUME Volume, PFAT_NODE Node, const CHANGE *Change) {
    ULONG Have = FatClustersOf(Volume, Node->Entry.Size), Need = FatClustersOf(Volume, Change->Size);
    if (Have != 0 && !FatIsCluster(Volume, FatGetCluster(Volume, &Node->Entry))) {
        return STATUS_FILE_CORRUPT_ERROR;
    }
    if (Need == Have) {
        return ChangeInPlace(Volume, Node, Change);
    }
    if (Change->Size <= COPY_LIMIT || Have == 0) {
        NTSTATUS Status = ChangeByCopy(Volume, Node, Need, Change);
        if (Status != STATUS_DISK_FULL || Have == 0 || Need == 0) {
            return Status;
        }
    }
    return Need > Have ? GrowInPlace(Volume, Node, Have, Need, Change) : ShrinkInPlace(Volume, Node, Need, Change);
}

PAGEABLE NTSTATUS FatWriteFile(PFAT_VOLUME Volume, PFAT_NODE Node, ULONG64 Offset, ULONG Length, PCVOID Buffer) {
    ULONG64 End = Offset + Length;
    if (Offset > LARGEST_FILE || End > LARGEST_FILE) {
        return STATUS_DISK_FULL;
    }
    CHANGE Change = {End > Node->Entry.Size ? End : Node->Entry.Size, Offset, Length, Buffer};
    return ChangeFile(Volume, Node, &Change);
}

PAGEABLE NTSTATUS FatEmptyFile(PFAT_VOLUME Volume, PFAT_NODE Node, UCHAR Attributes) {
    ULONG Old = FatGetCluster(Volume, &Node->Entry);
    FAT_ENTRY Entry = Node->Entry;
    if (Entry.Size != 0 && !FatIsCluster(Volume, Old)) {
        return STATUS_FILE_CORRUPT_ERROR;
    }
    FatSetCluster(Volume, &Entry, 0);
    Entry.Size = 0;
    Entry.Attributes = Attributes;
    FatStampWrite(&Entry);
    NTSTATUS Status = FatWriteEntry(Volume, Node, &Entry);
    if (NT_SUCCESS(Status)) {
        FatFreeChain(Volume, Old); /* clusters that cannot be freed are lost, and the file is empty all the same */
    }
    return Status;
}

PAGEABLE NTSTATUS FatSetSize(PFAT_VOLUME Volume, PFAT_NODE Node, ULONG64 Size) {
    if (Size > LARGEST_FILE) {
        return STATUS_DISK_FULL;
    }
    CHANGE Change = {Size, Size, 0, NULL};
    return ChangeFile(Volume, Node, &Change);
}
