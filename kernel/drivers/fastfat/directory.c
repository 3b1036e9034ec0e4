/* directory.c: inserting a directory entry with its name, and removing it.
 *
 * One sector is written at a time, and the machine may die in between. So an entry and the parts of its name lie in
 * one sector wherever they fit into one (names up to 195 characters, with sectors of 512 bytes): they come and go with
 * one write. A longer name is put behind the directory's end, and its last sector is written first: none of it is
 * visible before the first one moves the end. Only when such a name goes may parts of it stay behind. */
#include "fat.h"

#define HIGHEST_NUMBER 2000 /* tries for an unused short name */

typedef struct _SPACE {
    ULONG Count;
    ULONG64 Slot[FAT_MAXIMUM_SLOTS]; /* on the disk */
    ULONG64 Next;                    /* the entry behind them, if they lie beyond the end; 0: none */
    ULONG First;                     /* the number of the first one in the directory */
    ULONG SkippedCount;              /* entries between the end and the first slot, to be marked as deleted */
    ULONG64 Skipped;
} SPACE;

typedef struct _SEARCH {
    PFAT_INDEX Index; /* NULL: none */
    ULONG Wanted, PerSector;
    BOOLEAN IsBeyondEnd;
    SPACE *Space;
} SEARCH;

/* ---- Room ---- */

/* Number: of the entry in the directory. */
PAGEABLE static VOID TakeFreeEntry(SEARCH *Search, PFAT_VOLUME Volume, ULONG64 Disk, ULONG Number) {
    SPACE *Space = Search->Space;
    BOOLEAN BeginsSector = Disk % Volume->SectorBytes == 0;
    if (BeginsSector && Search->Wanted <= Search->PerSector) {
        if (Search->IsBeyondEnd && Space->Count != 0 && Space->SkippedCount == 0) {
            Space->Skipped = Space->Slot[0];
            Space->SkippedCount = Space->Count;
        }
        Space->Count = 0;
    }
    Space->First = Space->Count == 0 ? Number : Space->First;
    Space->Slot[Space->Count++] = Disk;
}

/* Adds a cluster full of free entries. It is written before anything points to it. */
PAGEABLE static NTSTATUS ExtendDirectory(PFAT_VOLUME Volume, PFAT_INDEX *Index, ULONG LastCluster) {
    ULONG Cluster;
    NTSTATUS Status = FatAllocateChain(Volume, 1, &Cluster);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    Status = FatWrite(Volume, FatClusterStart(Volume, Cluster), NULL, Volume->ClusterBytes);
    if (NT_SUCCESS(Status)) {
        Status = FatSetLink(Volume, LastCluster, Cluster);
    }
    if (!NT_SUCCESS(Status)) {
        FatFreeChain(Volume, Cluster);
    } else if (*Index != NULL && !FatIndexCluster(*Index, Cluster)) {
        FatForgetIndex(Volume, (*Index)->Directory);
        *Index = NULL;
    }
    return Status;
}

/* One entry of the search. STATUS_PENDING: go on. */
PAGEABLE static NTSTATUS LookAt(SEARCH *Search, PFAT_SCAN Scan) {
    PFAT_VOLUME Volume = Scan->Cursor.Volume;
    FAT_ENTRY Entry;
    ULONG64 Disk;
    NTSTATUS Status = FatReadEntry(Scan, &Entry, &Disk);
    if (Status == STATUS_NO_MORE_FILES) {
        if (Search->Space->Count == Search->Wanted) {
            return STATUS_SUCCESS; /* the last slots of the chain */
        }
        return Scan->Cluster == 0 || Scan->Passed >= FAT_MAXIMUM_ENTRIES - FAT_MAXIMUM_SLOTS ? STATUS_DISK_FULL
               : ExtendDirectory(Volume, &Search->Index, Scan->Cluster) == STATUS_SUCCESS    ? STATUS_PENDING
                                                                                             : STATUS_DISK_FULL;
    }
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    if (Search->Space->Count == Search->Wanted) {
        Search->Space->Next = Search->IsBeyondEnd && Entry.Name[0] != 0 ? Disk : 0;
        return STATUS_SUCCESS;
    }
    Search->IsBeyondEnd |= Entry.Name[0] == 0;
    if (Search->IsBeyondEnd || (Entry.Name[0] == FAT_DELETED && Search->Wanted <= Search->PerSector)) {
        TakeFreeEntry(Search, Volume, Disk, Scan->Passed - 1);
    } else {
        Search->Space->Count = 0;
    }
    return STATUS_PENDING;
}

/* Room for Wanted entries in a row. STATUS_DISK_FULL: the root is full, or the disk. */
PAGEABLE static NTSTATUS FindSpace(PFAT_VOLUME Volume, ULONG Directory, ULONG Wanted, SPACE *Space) {
    FAT_SCAN Scan;
    PFAT_INDEX Index = FatGetIndex(Volume, Directory);
    SEARCH Search = {
        .Index = Index, .Wanted = Wanted, .PerSector = Volume->SectorBytes / FAT_ENTRY_BYTES, .Space = Space};
    NTSTATUS Status = STATUS_SUCCESS;
    *Space = (SPACE){};
    if (Index == NULL || !FatScanFromSlot(&Scan, Volume, Index, Index->NoRoomBefore[Wanted])) {
        Status = FatBeginScan(&Scan, Volume, Directory);
    }
    if (NT_SUCCESS(Status)) {
        do {
            Status = LookAt(&Search, &Scan);
        } while (Status == STATUS_PENDING);
    }
    FatEndScan(&Scan);
    if (NT_SUCCESS(Status) && Search.Index != NULL) {
        FatNoteRoom(Volume, Search.Index, Wanted, Space->First);
    }
    return Status;
}

/* Makes what lies beyond the end fit for use: nothing stale may come to light behind the new entries, and the end must
 * not hide them. */
PAGEABLE static NTSTATUS PrepareSpace(PFAT_VOLUME Volume, const SPACE *Space) {
    static const UCHAR Deleted = FAT_DELETED;
    NTSTATUS Status = STATUS_SUCCESS;
    if (Space->Next != 0) {
        Status = FatWrite(Volume, Space->Next, NULL, FAT_ENTRY_BYTES);
    }
    for (ULONG i = Space->SkippedCount; i > 0 && NT_SUCCESS(Status); i--) {
        Status = FatWrite(Volume, Space->Skipped + (i - 1) * FAT_ENTRY_BYTES, &Deleted, 1);
    }
    return Status;
}

/* ---- Writing entries, a sector at a time ---- */

/* The first slot of the sector that slot Index lies in. */
PAGEABLE static ULONG FirstInSector(PFAT_VOLUME Volume, const ULONG64 *Slot, ULONG Index) {
    ULONG64 Sector = Slot[Index] / Volume->SectorBytes;
    while (Index > 0 && Slot[Index - 1] / Volume->SectorBytes == Sector) {
        Index--;
    }
    return Index;
}

PAGEABLE static NTSTATUS WriteSlots(PFAT_VOLUME Volume, const ULONG64 *Slot, ULONG Count, const UCHAR *Entries) {
    NTSTATUS Status = STATUS_SUCCESS;
    for (ULONG End = Count; End != 0 && NT_SUCCESS(Status);) {
        ULONG First = FirstInSector(Volume, Slot, End - 1);
        Status = FatWrite(Volume, Slot[First], Entries + First * FAT_ENTRY_BYTES, (End - First) * FAT_ENTRY_BYTES);
        End = First;
    }
    return Status;
}

/* Part Number (1..) of a name, as it lies on the disk. */
PAGEABLE static VOID MakePart(PUCHAR Part, const WCHAR *Name, ULONG Length, ULONG Number, ULONG Parts, UCHAR Checksum) {
    RtlZeroMemory(Part, FAT_ENTRY_BYTES);
    Part[0] = (UCHAR)(Number | (Number == Parts ? 0x40 : 0));
    Part[11] = FAT_ATTRIBUTE_LONG_NAME;
    Part[13] = Checksum;
    for (ULONG i = 0; i < 13; i++) {
        ULONG At = (Number - 1) * 13 + i;
        ULONG Offset = i < 5 ? 1 + 2 * i : i < 11 ? 14 + 2 * (i - 5) : 28 + 2 * (i - 11);
        USHORT Character = At < Length ? Name[At] : At == Length ? 0 : 0xFFFF;
        Part[Offset] = (UCHAR)Character;
        Part[Offset + 1] = (UCHAR)(Character >> 8);
    }
}

/* ---- Short names that are free in the directory ---- */

#define CANDIDATES 8

/* Which of some short names the directory has already, or perhaps: a bit for each. One walk for all of them. */
PAGEABLE static NTSTATUS FindTaken(PFAT_VOLUME Volume, ULONG Directory, UCHAR Candidate[CANDIDATES][11], PULONG Taken) {
    FAT_SCAN Scan;
    FAT_ENTRY Entry;
    ULONG64 Disk;
    PFAT_INDEX Index = FatGetIndex(Volume, Directory);
    *Taken = 0;
    if (Index != NULL) {
        for (ULONG i = 0; i < CANDIDATES; i++) {
            *Taken |= (ULONG)FatMayHaveShortName(Index, Candidate[i]) << i;
        }
        return STATUS_SUCCESS;
    }
    NTSTATUS Status = FatBeginScan(&Scan, Volume, Directory);
    while (NT_SUCCESS(Status)) {
        Status = FatReadEntry(&Scan, &Entry, &Disk);
        if (!NT_SUCCESS(Status) || Entry.Name[0] == 0) {
            break;
        }
        for (ULONG i = 0; !(Entry.Attributes & FAT_ATTRIBUTE_LABEL) && i < CANDIDATES; i++) {
            if (Entry.Name[0] == Candidate[i][0] && memcmp(Entry.Name, Candidate[i], sizeof(Entry.Name)) == 0) {
                *Taken |= 1u << i;
            }
        }
    }
    FatEndScan(&Scan);
    return Status == STATUS_NO_MORE_FILES ? STATUS_SUCCESS : Status;
}

/* Sets Entry->Name and Case; *Parts is how many entries the long name takes. */
PAGEABLE static NTSTATUS ChooseShortName(PFAT_VOLUME Volume, ULONG Directory, const WCHAR *Name, ULONG Length,
                                         PFAT_ENTRY Entry, PULONG Parts) {
    UCHAR Base[11], Candidate[CANDIDATES][11];
    *Parts = 0;
    if (FatMakeShortName(Name, Length, Base, &Entry->Case)) {
        RtlCopyMemory(Entry->Name, Base, sizeof(Base));
        return STATUS_SUCCESS;
    }
    *Parts = (Length + 12) / 13;
    for (ULONG First = 1; First <= HIGHEST_NUMBER; First += CANDIDATES) {
        ULONG Taken;
        for (ULONG i = 0; i < CANDIDATES; i++) {
            RtlCopyMemory(Candidate[i], Base, sizeof(Base));
            FatNumberShortName(Candidate[i], Name, Length, First + i);
        }
        NTSTATUS Status = FindTaken(Volume, Directory, Candidate, &Taken);
        for (ULONG i = 0; i < CANDIDATES && NT_SUCCESS(Status); i++) {
            if (!(Taken >> i & 1)) {
                RtlCopyMemory(Entry->Name, Candidate[i], sizeof(Base));
                return STATUS_SUCCESS;
            }
        }
        if (!NT_SUCCESS(Status)) {
            return Status;
        }
    }
    return STATUS_DISK_FULL;
}

/* ---- The two calls, and the index after them ---- */

PAGEABLE static VOID NoteInsertion(PFAT_VOLUME Volume, ULONG Directory, const SPACE *Space, const WCHAR *Name,
                                   ULONG Length, const FAT_ENTRY *Entry, NTSTATUS Status) {
    PFAT_INDEX Index = FatFindIndex(Volume, Directory);
    if (Index != NULL && (!NT_SUCCESS(Status) || !FatIndexFile(Volume, Index, Space->First, Name, Length, Entry))) {
        FatForgetIndex(Volume, Directory);
    }
}

PAGEABLE NTSTATUS FatInsert(PFAT_VOLUME Volume, ULONG Directory, const WCHAR *Name, ULONG Length, PFAT_ENTRY Entry,
                            PULONG64 Disk) {
    UCHAR Entries[FAT_MAXIMUM_SLOTS * FAT_ENTRY_BYTES];
    SPACE Space;
    ULONG Parts;
    NTSTATUS Status = ChooseShortName(Volume, Directory, Name, Length, Entry, &Parts);
    if (NT_SUCCESS(Status)) {
        Status = FindSpace(Volume, Directory, Parts + 1, &Space);
    }
    if (NT_SUCCESS(Status)) {
        Status = PrepareSpace(Volume, &Space);
    }
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    UCHAR Checksum = FatChecksum(Entry->Name);
    for (ULONG i = 0; i < Parts; i++) {
        MakePart(Entries + i * FAT_ENTRY_BYTES, Name, Length, Parts - i, Parts, Checksum);
    }
    RtlCopyMemory(Entries + Parts * FAT_ENTRY_BYTES, Entry, FAT_ENTRY_BYTES);
    *Disk = Space.Slot[Parts];
    Status = WriteSlots(Volume, Space.Slot, Parts + 1, Entries);
    NoteInsertion(Volume, Directory, &Space, Name, Length, Entry, Status);
    return Status;
}

/* Finds the entry at Disk with the parts of its name. Slot: the number of the first of them, where there is an index. */
PAGEABLE static NTSTATUS FindEntry(PFAT_VOLUME Volume, ULONG Directory, ULONG64 Disk, PULONG Slot, PFAT_FOUND Found) {
    FAT_SCAN Scan;
    PFAT_INDEX Index = FatGetIndex(Volume, Directory);
    if (Index != NULL) {
        return FatFindSlot(Volume, Index, Disk, Slot, Found);
    }
    NTSTATUS Status = FatBeginScan(&Scan, Volume, Directory);
    do {
        if (NT_SUCCESS(Status)) {
            Status = FatNextFile(&Scan, Found);
        }
    } while (NT_SUCCESS(Status) && Found->Disk != Disk);
    FatEndScan(&Scan);
    return Status == STATUS_NO_MORE_FILES ? STATUS_FILE_CORRUPT_ERROR : Status;
}

/* Reads the entries that are going to be removed. */
PAGEABLE static NTSTATUS Remember(PFAT_VOLUME Volume, const FAT_FOUND *Found, PFAT_REMOVED Removed) {
    FAT_CURSOR Cursor = {.Volume = Volume};
    NTSTATUS Status = STATUS_SUCCESS;
    Removed->Count = Found->Parts + 1;
    RtlCopyMemory(Removed->Slot, Found->Part, Found->Parts * sizeof(Removed->Slot[0]));
    Removed->Slot[Found->Parts] = Found->Disk;
    for (ULONG i = 0; i < Removed->Count && NT_SUCCESS(Status); i++) {
        const UCHAR *Data;
        Status = FatTouch(&Cursor, Removed->Slot[i], &Data);
        if (NT_SUCCESS(Status)) {
            RtlCopyMemory(Removed->Entries + i * FAT_ENTRY_BYTES, Data, FAT_ENTRY_BYTES);
        }
    }
    FatDrop(&Cursor);
    return Status;
}

/* Sector by sector from the front: the rest of a name is then never without its entry. */
PAGEABLE static NTSTATUS DeleteSlots(PFAT_VOLUME Volume, const FAT_REMOVED *Removed) {
    UCHAR Entries[FAT_MAXIMUM_SLOTS * FAT_ENTRY_BYTES];
    NTSTATUS Status = STATUS_SUCCESS;
    RtlCopyMemory(Entries, Removed->Entries, Removed->Count * FAT_ENTRY_BYTES);
    for (ULONG i = 0; i < Removed->Count; i++) {
        Entries[i * FAT_ENTRY_BYTES] = FAT_DELETED;
    }
    for (ULONG First = 0, End; First < Removed->Count && NT_SUCCESS(Status); First = End) {
        End = First + 1;
        while (End < Removed->Count &&
               Removed->Slot[End] / Volume->SectorBytes == Removed->Slot[First] / Volume->SectorBytes) {
            End++;
        }
        Status =
            FatWrite(Volume, Removed->Slot[First], Entries + First * FAT_ENTRY_BYTES, (End - First) * FAT_ENTRY_BYTES);
    }
    return Status;
}

PAGEABLE NTSTATUS FatRestore(PFAT_VOLUME Volume, ULONG Directory, const FAT_REMOVED *Removed) {
    FatForgetIndex(Volume, Directory);
    return WriteSlots(Volume, Removed->Slot, Removed->Count, Removed->Entries);
}

PAGEABLE NTSTATUS FatRemove(PFAT_VOLUME Volume, ULONG Directory, ULONG64 Disk, PFAT_REMOVED Removed) {
    FAT_FOUND Found;
    FAT_REMOVED Own;
    ULONG Slot = 0;
    Removed = Removed == NULL ? &Own : Removed;
    NTSTATUS Status = FindEntry(Volume, Directory, Disk, &Slot, &Found);
    if (NT_SUCCESS(Status)) {
        Status = Remember(Volume, &Found, Removed);
    }
    if (NT_SUCCESS(Status)) {
        Status = DeleteSlots(Volume, Removed);
        PFAT_INDEX Index = FatFindIndex(Volume, Directory);
        if (!NT_SUCCESS(Status)) {
            FatRestore(Volume, Directory, Removed);
        } else if (Index != NULL) {
            FatUnindexFile(Volume, Index, Slot, &Found);
        }
    }
    return Status;
}
