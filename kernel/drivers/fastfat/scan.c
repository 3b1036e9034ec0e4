/* scan.c: the walk through a directory, which puts long names together.
 *
 *      part 2 of "a longer name.txt" | part 1 | ALONGE~1.TXT: attributes, first cluster, size | next file ...
 *
 * The parts of a long name stand before the entry that they belong to, the last part first. They count only if their
 * numbers go down to 1 and each carries the checksum of the short name that follows; otherwise the file has its short
 * name. A directory ends at the first entry that begins with 0, or with its chain. */
#include "fat.h"

#define PART_LAST 0x40 /* in Name[0], the part's number: the first one to come */
#define PART_NUMBER 0x3F
#define PART_CHARACTERS 13

PAGEABLE NTSTATUS FatBeginScan(PFAT_SCAN Scan, PFAT_VOLUME Volume, ULONG Directory) {
    Scan->Cursor = (FAT_CURSOR){.Volume = Volume};
    Scan->Cluster = Directory;
    Scan->Passed = 0;
    if (Directory == 0 && Volume->RootCluster == 0) {
        Scan->Disk = Volume->RootStart;
        Scan->Left = Volume->RootBytes;
        return STATUS_SUCCESS;
    }
    if (Directory == 0) {
        Scan->Cluster = Directory = Volume->RootCluster;
    }
    if (!FatIsCluster(Volume, Directory)) {
        Scan->Left = 0;
        return STATUS_FILE_CORRUPT_ERROR;
    }
    Scan->Disk = FatClusterStart(Volume, Directory);
    Scan->Left = Volume->ClusterBytes;
    return STATUS_SUCCESS;
}

/* From the end of a cluster to the next one. */
PAGEABLE static NTSTATUS StepCluster(PFAT_SCAN Scan) {
    PFAT_VOLUME Volume = Scan->Cursor.Volume;
    FAT_CURSOR Table = {.Volume = Volume};
    ULONG Next = FAT_END;
    NTSTATUS Status = Scan->Cluster == 0 ? STATUS_SUCCESS : FatNextCluster(&Table, Scan->Cluster, &Next);
    FatDrop(&Table);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    if (Next == FAT_END) {
        return STATUS_NO_MORE_FILES;
    }
    Scan->Cluster = Next;
    Scan->Disk = FatClusterStart(Volume, Next);
    Scan->Left = Volume->ClusterBytes;
    return STATUS_SUCCESS;
}

PAGEABLE NTSTATUS FatReadEntry(PFAT_SCAN Scan, PFAT_ENTRY Entry, PULONG64 Disk) {
    const UCHAR *Data;
    NTSTATUS Status = Scan->Left == 0 ? StepCluster(Scan) : STATUS_SUCCESS;
    if (NT_SUCCESS(Status) && Scan->Passed == FAT_MAXIMUM_ENTRIES) {
        return STATUS_FILE_CORRUPT_ERROR; /* longer than a directory can be: its chain is a ring */
    }
    if (NT_SUCCESS(Status)) {
        Status = FatTouch(&Scan->Cursor, Scan->Disk, &Data);
    }
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    *Entry = *(const FAT_ENTRY *)Data;
    *Disk = Scan->Disk;
    Scan->Disk += FAT_ENTRY_BYTES;
    Scan->Left -= FAT_ENTRY_BYTES;
    Scan->Passed++;
    return STATUS_SUCCESS;
}

PAGEABLE VOID FatEndScan(PFAT_SCAN Scan) {
    FatDrop(&Scan->Cursor);
}

/* ---- Long names ---- */

typedef struct _LONG_NAME {
    ULONG Expected; /* number of the part to come; 0: complete, or none */
    ULONG Length;   /* of the whole, 0: none */
    UCHAR Checksum;
} LONG_NAME;

PAGEABLE static WCHAR PartCharacter(const UCHAR *Part, ULONG Index) {
    ULONG Offset = Index < 5 ? 1 + 2 * Index : Index < 11 ? 14 + 2 * (Index - 5) : 28 + 2 * (Index - 11);
    return (WCHAR)(Part[Offset] | Part[Offset + 1] << 8);
}

/* Characters of a part before its terminator. */
PAGEABLE static ULONG PartLength(const UCHAR *Part) {
    ULONG Length = 0;
    while (Length < PART_CHARACTERS && PartCharacter(Part, Length) != 0) {
        Length++;
    }
    return Length;
}

PAGEABLE static VOID ForgetName(LONG_NAME *Long, PFAT_FOUND Found) {
    *Long = (LONG_NAME){};
    Found->Parts = 0;
}

PAGEABLE static VOID TakePart(LONG_NAME *Long, PFAT_FOUND Found, const UCHAR *Part, ULONG64 Disk) {
    ULONG Number = Part[0] & PART_NUMBER, Length = PartLength(Part);
    if (Part[0] & PART_LAST) {
        ForgetName(Long, Found);
        if (Number >= 1 && Number <= FAT_NAME_PARTS && (Number - 1) * PART_CHARACTERS + Length <= FAT_MAXIMUM_NAME) {
            *Long = (LONG_NAME){Number, (Number - 1) * PART_CHARACTERS + Length, Part[13]};
        }
    }
    if (Number == 0 || Number != Long->Expected || Part[13] != Long->Checksum ||
        (Length < PART_CHARACTERS && !(Part[0] & PART_LAST))) {
        ForgetName(Long, Found);
        return;
    }
    for (ULONG i = 0; i < Length; i++) {
        Found->Name[(Number - 1) * PART_CHARACTERS + i] = PartCharacter(Part, i);
    }
    Found->Part[Found->Parts++] = Disk;
    Long->Expected--;
}

PAGEABLE static VOID FinishName(const LONG_NAME *Long, PFAT_FOUND Found) {
    BOOLEAN IsLong = Found->Parts != 0 && Long->Expected == 0 && Long->Length != 0 &&
                     Long->Checksum == FatChecksum(Found->Entry.Name);
    if (IsLong) {
        Found->NameLength = (USHORT)Long->Length;
    } else {
        Found->Parts = 0;
        Found->NameLength = (USHORT)FatShortToText(&Found->Entry, Found->Name);
    }
    Found->Name[Found->NameLength] = 0;
}

PAGEABLE NTSTATUS FatNextFile(PFAT_SCAN Scan, PFAT_FOUND Found) {
    LONG_NAME Long;
    ForgetName(&Long, Found);
    for (;;) {
        NTSTATUS Status = FatReadEntry(Scan, &Found->Entry, &Found->Disk);
        if (!NT_SUCCESS(Status)) {
            return Status;
        }
        const FAT_ENTRY *Entry = &Found->Entry;
        if (Entry->Name[0] == 0) {
            return STATUS_NO_MORE_FILES;
        }
        if (Entry->Name[0] == FAT_DELETED) {
            ForgetName(&Long, Found);
        } else if ((Entry->Attributes & 0x3F) == FAT_ATTRIBUTE_LONG_NAME) {
            TakePart(&Long, Found, (const UCHAR *)Entry, Found->Disk);
        } else if (Entry->Attributes & FAT_ATTRIBUTE_LABEL) {
            ForgetName(&Long, Found);
        } else {
            FinishName(&Long, Found);
            return STATUS_SUCCESS;
        }
    }
}

/* ---- Looking for one ---- */

PAGEABLE BOOLEAN FatIsDots(const FAT_ENTRY *Entry) {
    return Entry->Name[0] == '.' && (Entry->Name[1] == ' ' || (Entry->Name[1] == '.' && Entry->Name[2] == ' '));
}

PAGEABLE BOOLEAN FatIsNamed(const FAT_FOUND *Found, const WCHAR *Name, ULONG Length) {
    WCHAR Short[13];
    if (FatNamesEqual(Found->Name, Found->NameLength, Name, Length)) {
        return TRUE;
    }
    return Length <= 12 && Found->Parts != 0 &&
           FatNamesEqual(Short, FatShortToText(&Found->Entry, Short), Name, Length);
}

PAGEABLE NTSTATUS FatLookup(PFAT_VOLUME Volume, ULONG Directory, const WCHAR *Name, ULONG Length, PFAT_FOUND Found) {
    FAT_SCAN Scan;
    PFAT_INDEX Index = FatGetIndex(Volume, Directory);
    if (Index != NULL) {
        return FatFindIndexed(Volume, Index, Name, Length, Found);
    }
    NTSTATUS Status = FatBeginScan(&Scan, Volume, Directory);
    while (NT_SUCCESS(Status)) {
        Status = FatNextFile(&Scan, Found);
        if (NT_SUCCESS(Status) && !FatIsDots(&Found->Entry) && FatIsNamed(Found, Name, Length)) {
            break;
        }
    }
    FatEndScan(&Scan);
    return Status == STATUS_NO_MORE_FILES ? STATUS_OBJECT_NAME_NOT_FOUND : Status;
}

PAGEABLE NTSTATUS FatIsDirectoryEmpty(PFAT_VOLUME Volume, ULONG Directory, PBOOLEAN IsEmpty) {
    FAT_SCAN Scan;
    FAT_FOUND Found;
    PFAT_INDEX Index = FatGetIndex(Volume, Directory);
    if (Index != NULL) {
        *IsEmpty = Index->NameCount == 0;
        return STATUS_SUCCESS;
    }
    NTSTATUS Status = FatBeginScan(&Scan, Volume, Directory);
    *IsEmpty = TRUE;
    while (NT_SUCCESS(Status) && *IsEmpty) {
        Status = FatNextFile(&Scan, &Found);
        *IsEmpty = !NT_SUCCESS(Status) || FatIsDots(&Found.Entry);
    }
    FatEndScan(&Scan);
    return Status == STATUS_NO_MORE_FILES ? STATUS_SUCCESS : Status;
}
