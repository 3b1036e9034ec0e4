/* index.c: a directory's names in memory: finding a name, or room for one, without walking the disk.
 *
 *      hash of a name --> bucket --> cell --> number of the slot at which the file begins: the first part of its long
 *                                             name, or its entry
 *
 * A file has a cell for each of its names: the long one if it has one, and the short one. Case does not count in the
 * hash. The disk stays the truth: a cell that is found is checked against the name in the file's entries.
 *
 * An index is made at the first use of a directory, changed by each change of it (directory.c), and forgotten when a
 * change has failed half way. All of a volume's have MAXIMUM_CELLS together; the one used longest ago goes first. Without
 * an index (no memory, a damaged directory) one walks.
 *
 * NoRoomBefore tells for each number of entries where the search for so many in a row may begin; it only goes back when a
 * file is removed. */
#include "fat.h"

#define MAXIMUM_CELLS FAT_MAXIMUM_ENTRIES
#define FIRST_CELLS 64u             /* a power of two; then twice as many each time */
#define TAG_INDEX (ULONG)0x49746146 /* "FatI" */

/* ---- Slots ---- */

PAGEABLE static ULONG SlotsPerCluster(PFAT_VOLUME Volume) {
    return Volume->ClusterBytes / FAT_ENTRY_BYTES;
}

PAGEABLE static ULONG SlotsPerSector(PFAT_VOLUME Volume) {
    return Volume->SectorBytes / FAT_ENTRY_BYTES;
}

PAGEABLE BOOLEAN FatScanFromSlot(PFAT_SCAN Scan, PFAT_VOLUME Volume, const FAT_INDEX *Index, ULONG Slot) {
    *Scan = (FAT_SCAN){.Cursor.Volume = Volume, .Passed = Slot};
    ULONG Offset = Slot * FAT_ENTRY_BYTES;
    if (Index->ClusterCount == 0) {
        Scan->Disk = Volume->RootStart + Offset;
        Scan->Left = Offset < Volume->RootBytes ? Volume->RootBytes - Offset : 0;
        return Offset < Volume->RootBytes;
    }
    ULONG Number = Slot / SlotsPerCluster(Volume), InCluster = Offset % Volume->ClusterBytes;
    if (Number >= Index->ClusterCount) {
        return FALSE;
    }
    Scan->Cluster = Index->Clusters[Number];
    Scan->Disk = FatClusterStart(Volume, Scan->Cluster) + InCluster;
    Scan->Left = Volume->ClusterBytes - InCluster;
    return TRUE;
}

/* ---- The indexes of a volume ---- */

PAGEABLE static VOID FreeIndex(PFAT_INDEX Index) {
    RemoveEntryList(&Index->ListEntry);
    if (Index->Cells != NULL) {
        ExFreePoolWithTag(Index->Cells, TAG_INDEX);
    }
    if (Index->Clusters != NULL) {
        ExFreePoolWithTag(Index->Clusters, TAG_INDEX);
    }
    ExFreePoolWithTag(Index, TAG_INDEX);
}

PAGEABLE static ULONG KeyOf(PFAT_VOLUME Volume, ULONG Directory) {
    return Directory == 0 ? Volume->RootCluster : Directory;
}

PAGEABLE PFAT_INDEX FatFindIndex(PFAT_VOLUME Volume, ULONG Directory) {
    for (PLIST_ENTRY Entry = Volume->Indexes.Flink; Entry != &Volume->Indexes; Entry = Entry->Flink) {
        PFAT_INDEX Index = CONTAINING_RECORD(Entry, FAT_INDEX, ListEntry);
        if (Index->Directory == KeyOf(Volume, Directory)) {
            return Index;
        }
    }
    return NULL;
}

PAGEABLE VOID FatForgetIndex(PFAT_VOLUME Volume, ULONG Directory) {
    PFAT_INDEX Index = FatFindIndex(Volume, Directory);
    if (Index != NULL) {
        FreeIndex(Index);
    }
}

PAGEABLE VOID FatForgetIndexes(PFAT_VOLUME Volume) {
    while (!IsListEmpty(&Volume->Indexes)) {
        FreeIndex(CONTAINING_RECORD(Volume->Indexes.Flink, FAT_INDEX, ListEntry));
    }
}

/* Index has grown: others go, those used longest ago first. */
PAGEABLE static VOID KeepBounds(PFAT_VOLUME Volume, PFAT_INDEX Index) {
    ULONG Cells = 0;
    for (PLIST_ENTRY Entry = Volume->Indexes.Flink, Next; Entry != &Volume->Indexes; Entry = Next) {
        PFAT_INDEX Other = CONTAINING_RECORD(Entry, FAT_INDEX, ListEntry); /* the one used last comes first */
        Next = Entry->Flink;
        Cells += Other->CellRoom;
        if (Cells > MAXIMUM_CELLS && Other != Index) {
            Cells -= Other->CellRoom;
            FreeIndex(Other);
        }
    }
}

/* ---- Cells ---- */

PAGEABLE static PULONG BucketOf(PFAT_INDEX Index, ULONG Hash) {
    return &Index->Buckets[Hash & (Index->CellRoom - 1)];
}

/* As many buckets as cells. FALSE: no memory; the index is as it was. */
PAGEABLE static BOOLEAN GrowCells(PFAT_VOLUME Volume, PFAT_INDEX Index) {
    ULONG Room = Index->CellRoom == 0 ? FIRST_CELLS : 2 * Index->CellRoom;
    PFAT_CELL Cells = ExAllocatePoolWithTag(PagedPool, Room * (sizeof(FAT_CELL) + sizeof(ULONG)), TAG_INDEX);
    if (Cells == NULL) {
        return FALSE;
    }
    PFAT_CELL Old = Index->Cells;
    Index->Buckets = (PULONG)(Cells + Room);
    RtlZeroMemory(Index->Buckets, Room * sizeof(ULONG));
    if (Old != NULL) {
        RtlCopyMemory(Cells, Old, Index->CellsUsed * sizeof(FAT_CELL));
        ExFreePoolWithTag(Old, TAG_INDEX);
    }
    Index->Cells = Cells;
    Index->CellRoom = Room;
    for (ULONG i = 0; i < Index->CellsUsed; i++) { /* it grows when no cell is free, so all are in a bucket */
        PULONG Bucket = BucketOf(Index, Cells[i].Hash);
        Cells[i].Next = *Bucket;
        *Bucket = i + 1;
    }
    KeepBounds(Volume, Index);
    return TRUE;
}

/* TRUE: it is in. */
PAGEABLE static BOOLEAN AddCell(PFAT_VOLUME Volume, PFAT_INDEX Index, ULONG Hash, ULONG Slot) {
    ULONG Number = Index->FreeCell;
    if (Number != 0) {
        Index->FreeCell = Index->Cells[Number - 1].Next;
    } else {
        if (Index->CellsUsed == Index->CellRoom && !GrowCells(Volume, Index)) {
            return FALSE;
        }
        Number = ++Index->CellsUsed;
    }
    PULONG Bucket = BucketOf(Index, Hash);
    Index->Cells[Number - 1] = (FAT_CELL){Hash, *Bucket, Slot};
    *Bucket = Number;
    Index->NameCount++;
    return TRUE;
}

PAGEABLE static VOID RemoveCell(PFAT_INDEX Index, ULONG Hash, ULONG Slot) {
    for (PULONG Link = BucketOf(Index, Hash); *Link != 0; Link = &Index->Cells[*Link - 1].Next) {
        ULONG Number = *Link;
        PFAT_CELL Cell = &Index->Cells[Number - 1];
        if (Cell->Hash == Hash && Cell->Slot == Slot) {
            *Link = Cell->Next;
            Cell->Next = Index->FreeCell;
            Index->FreeCell = Number;
            Index->NameCount--;
            return;
        }
    }
}

/* ---- Making one ---- */

PAGEABLE BOOLEAN FatIndexCluster(PFAT_INDEX Index, ULONG Cluster) {
    if (Index->ClusterCount == Index->ClusterRoom) {
        ULONG Room = Index->ClusterRoom == 0 ? 4 : 2 * Index->ClusterRoom;
        PULONG Clusters = ExAllocatePoolWithTag(PagedPool, Room * sizeof(ULONG), TAG_INDEX);
        if (Clusters == NULL) {
            return FALSE;
        }
        if (Index->Clusters != NULL) {
            RtlCopyMemory(Clusters, Index->Clusters, Index->ClusterCount * sizeof(ULONG));
            ExFreePoolWithTag(Index->Clusters, TAG_INDEX);
        }
        Index->Clusters = Clusters;
        Index->ClusterRoom = Room;
    }
    Index->Clusters[Index->ClusterCount++] = Cluster;
    return TRUE;
}

/* The directory's chain. FALSE: no memory, or it is damaged. */
PAGEABLE static BOOLEAN IndexChain(PFAT_VOLUME Volume, PFAT_INDEX Index) {
    FAT_CURSOR Cursor = {.Volume = Volume};
    ULONG Cluster = Index->Directory, Most = FAT_MAXIMUM_ENTRIES / SlotsPerCluster(Volume) + 1;
    BOOLEAN IsGood = Cluster == 0 || FatIsCluster(Volume, Cluster);
    while (IsGood && Cluster != 0 && Cluster != FAT_END) {
        ULONG Next;
        IsGood = Index->ClusterCount < Most && FatIndexCluster(Index, Cluster) &&
                 NT_SUCCESS(FatNextCluster(&Cursor, Cluster, &Next));
        Cluster = IsGood ? Next : FAT_END;
    }
    FatDrop(&Cursor);
    return IsGood;
}

PAGEABLE static BOOLEAN IndexFiles(PFAT_VOLUME Volume, PFAT_INDEX Index, PFAT_FOUND Found) {
    FAT_SCAN Scan;
    NTSTATUS Status = FatBeginScan(&Scan, Volume, Index->Directory);
    while (NT_SUCCESS(Status)) {
        Status = FatNextFile(&Scan, Found);
        if (NT_SUCCESS(Status) && !FatIsDots(&Found->Entry) &&
            !FatIndexFile(Volume, Index, Scan.Passed - 1 - Found->Parts, Found->Name, Found->NameLength,
                          &Found->Entry)) {
            Status = STATUS_INSUFFICIENT_RESOURCES;
        }
    }
    FatEndScan(&Scan);
    return Status == STATUS_NO_MORE_FILES;
}

PAGEABLE static PFAT_INDEX MakeIndex(PFAT_VOLUME Volume, ULONG Directory) {
    PFAT_INDEX Index = ExAllocatePoolWithTag(PagedPool, sizeof(FAT_INDEX), TAG_INDEX);
    PFAT_FOUND Found = ExAllocatePoolWithTag(PagedPool, sizeof(FAT_FOUND), TAG_INDEX);
    BOOLEAN IsGood = FALSE;
    if (Index != NULL && Found != NULL) {
        *Index = (FAT_INDEX){.Directory = KeyOf(Volume, Directory)};
        InsertHeadList(&Volume->Indexes, &Index->ListEntry);
        IsGood = GrowCells(Volume, Index) && IndexChain(Volume, Index) && IndexFiles(Volume, Index, Found);
    }
    if (!IsGood && Index != NULL && Found != NULL) {
        FreeIndex(Index);
        Index = NULL;
    } else if (!IsGood && Index != NULL) {
        ExFreePoolWithTag(Index, TAG_INDEX);
        Index = NULL;
    }
    if (Found != NULL) {
        ExFreePoolWithTag(Found, TAG_INDEX);
    }
    return Index;
}

PAGEABLE PFAT_INDEX FatGetIndex(PFAT_VOLUME Volume, ULONG Directory) {
    PFAT_INDEX Index = FatFindIndex(Volume, Directory);
    if (Index == NULL) {
        return MakeIndex(Volume, Directory);
    }
    RemoveEntryList(&Index->ListEntry);
    InsertHeadList(&Volume->Indexes, &Index->ListEntry);
    return Index;
}

/* ---- Names ---- */

PAGEABLE static ULONG HashShortName(const FAT_ENTRY *Entry) {
    WCHAR Short[13];
    return FatHashName(Short, FatShortToText(Entry, Short));
}

PAGEABLE BOOLEAN FatIndexFile(PFAT_VOLUME Volume, PFAT_INDEX Index, ULONG Slot, const WCHAR *Name, ULONG Length,
                              const FAT_ENTRY *Entry) {
    ULONG Long = FatHashName(Name, Length), Short = HashShortName(Entry);
    return AddCell(Volume, Index, Long, Slot) && (Short == Long || AddCell(Volume, Index, Short, Slot));
}

PAGEABLE VOID FatUnindexFile(PFAT_VOLUME Volume, PFAT_INDEX Index, ULONG Slot, const FAT_FOUND *Found) {
    ULONG Long = FatHashName(Found->Name, Found->NameLength), Short = HashShortName(&Found->Entry);
    ULONG Sector = Slot - Slot % SlotsPerSector(Volume);
    RemoveCell(Index, Long, Slot);
    if (Short != Long) {
        RemoveCell(Index, Short, Slot);
    }
    for (ULONG Wanted = 1; Wanted <= FAT_MAXIMUM_SLOTS && Wanted <= SlotsPerSector(Volume); Wanted++) {
        Index->NoRoomBefore[Wanted] = Sector < Index->NoRoomBefore[Wanted] ? Sector : Index->NoRoomBefore[Wanted];
    }
}

PAGEABLE VOID FatNoteRoom(PFAT_VOLUME Volume, PFAT_INDEX Index, ULONG Wanted, ULONG Slot) {
    ULONG Sector = Slot - Slot % SlotsPerSector(Volume);
    for (; Wanted <= FAT_MAXIMUM_SLOTS; Wanted++) {
        Index->NoRoomBefore[Wanted] = Sector > Index->NoRoomBefore[Wanted] ? Sector : Index->NoRoomBefore[Wanted];
    }
}

PAGEABLE BOOLEAN FatMayHaveShortName(PFAT_INDEX Index, const UCHAR Short[11]) {
    FAT_ENTRY Entry = {};
    RtlCopyMemory(Entry.Name, Short, sizeof(Entry.Name));
    ULONG Hash = HashShortName(&Entry);
    for (ULONG Number = *BucketOf(Index, Hash); Number != 0; Number = Index->Cells[Number - 1].Next) {
        if (Index->Cells[Number - 1].Hash == Hash) {
            return TRUE;
        }
    }
    return FALSE;
}

PAGEABLE NTSTATUS FatReadSlot(PFAT_VOLUME Volume, const FAT_INDEX *Index, ULONG Slot, PFAT_FOUND Found) {
    FAT_SCAN Scan;
    if (!FatScanFromSlot(&Scan, Volume, Index, Slot)) {
        return STATUS_FILE_CORRUPT_ERROR;
    }
    NTSTATUS Status = FatNextFile(&Scan, Found);
    FatEndScan(&Scan);
    return Status;
}

PAGEABLE NTSTATUS FatFindIndexed(PFAT_VOLUME Volume, PFAT_INDEX Index, const WCHAR *Name, ULONG Length,
                                 PFAT_FOUND Found) {
    ULONG Hash = FatHashName(Name, Length);
    for (ULONG Number = *BucketOf(Index, Hash); Number != 0; Number = Index->Cells[Number - 1].Next) {
        if (Index->Cells[Number - 1].Hash != Hash) {
            continue;
        }
        NTSTATUS Status = FatReadSlot(Volume, Index, Index->Cells[Number - 1].Slot, Found);
        if (!NT_SUCCESS(Status) || FatIsNamed(Found, Name, Length)) {
            return Status == STATUS_NO_MORE_FILES ? STATUS_FILE_CORRUPT_ERROR : Status;
        }
    }
    return STATUS_OBJECT_NAME_NOT_FOUND;
}

/* The short name leads to it: every file has one. */
PAGEABLE NTSTATUS FatFindSlot(PFAT_VOLUME Volume, PFAT_INDEX Index, ULONG64 Disk, PULONG Slot, PFAT_FOUND Found) {
    FAT_ENTRY Entry;
    NTSTATUS Status = MmReadDisk(Volume->Disk, Disk, &Entry, sizeof(Entry));
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    ULONG Hash = HashShortName(&Entry);
    for (ULONG Number = *BucketOf(Index, Hash); Number != 0; Number = Index->Cells[Number - 1].Next) {
        *Slot = Index->Cells[Number - 1].Slot;
        if (Index->Cells[Number - 1].Hash == Hash) {
            Status = FatReadSlot(Volume, Index, *Slot, Found);
            if (!NT_SUCCESS(Status) || Found->Disk == Disk) {
                return Status;
            }
        }
    }
    return STATUS_FILE_CORRUPT_ERROR;
}
