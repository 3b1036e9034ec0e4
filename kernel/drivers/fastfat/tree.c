/* tree.c: creating, removing and moving files and directories in an order that survives a crash.
 *
 *      create    a directory's cluster with "." and "..", then the entry
 *      delete    the entry, then the clusters
 *      rename    the old entry goes, ".." of a directory is corrected, then the new entry comes: for a moment nothing
 *                points to the clusters, which is better than two entries that do */
#include "fat.h"

PAGEABLE VOID FatMakeRootNode(PFAT_VOLUME Volume, PFAT_NODE Node) {
    *Node = (FAT_NODE){.Entry.Attributes = FAT_ATTRIBUTE_DIRECTORY};
    FatSetCluster(Volume, &Node->Entry, Volume->RootCluster);
}

PAGEABLE VOID FatMakeNode(PFAT_NODE Node, ULONG Directory, const FAT_FOUND *Found) {
    *Node = (FAT_NODE){.Directory = Directory, .Disk = Found->Disk, .Entry = Found->Entry};
}

/* The root is 0 in a "..", also where it is a chain. */
PAGEABLE static ULONG ParentLink(PFAT_VOLUME Volume, ULONG Directory) {
    return Directory == Volume->RootCluster ? 0 : Directory;
}

PAGEABLE static VOID MakeDots(PFAT_ENTRY Entry, ULONG Dots, const FAT_ENTRY *Pattern) {
    *Entry = *Pattern;
    Entry->Case = 0;
    for (ULONG i = 0; i < sizeof(Entry->Name); i++) {
        Entry->Name[i] = i < Dots ? '.' : ' ';
    }
}

/* A new, empty directory that nothing points to yet. */
PAGEABLE static NTSTATUS MakeDirectory(PFAT_VOLUME Volume, ULONG Parent, PFAT_ENTRY Entry) {
    FAT_ENTRY Dots[2];
    ULONG Cluster;
    NTSTATUS Status = FatAllocateChain(Volume, 1, &Cluster);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    FatSetCluster(Volume, Entry, Cluster);
    MakeDots(&Dots[0], 1, Entry);
    MakeDots(&Dots[1], 2, Entry);
    FatSetCluster(Volume, &Dots[1], ParentLink(Volume, Parent));
    Status = FatWrite(Volume, FatClusterStart(Volume, Cluster), NULL, Volume->ClusterBytes);
    if (NT_SUCCESS(Status)) {
        Status = FatWrite(Volume, FatClusterStart(Volume, Cluster), Dots, sizeof(Dots));
    }
    if (!NT_SUCCESS(Status)) {
        FatFreeChain(Volume, Cluster);
    }
    return Status;
}

PAGEABLE NTSTATUS FatCreate(PFAT_VOLUME Volume, ULONG Directory, const WCHAR *Name, ULONG Length, UCHAR Attributes,
                            PFAT_NODE Node) {
    FAT_ENTRY Entry = {.Attributes = Attributes};
    ULONG64 Disk;
    NTSTATUS Status = STATUS_SUCCESS;
    FatStampCreate(&Entry);
    if (Attributes & FAT_ATTRIBUTE_DIRECTORY) {
        Status = MakeDirectory(Volume, Directory, &Entry);
    }
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    Status = FatInsert(Volume, Directory, Name, Length, &Entry, &Disk);
    if (!NT_SUCCESS(Status)) {
        FatFreeChain(Volume, FatGetCluster(Volume, &Entry));
        return Status;
    }
    *Node = (FAT_NODE){.Directory = Directory, .Disk = Disk, .Entry = Entry};
    return STATUS_SUCCESS;
}

PAGEABLE NTSTATUS FatDelete(PFAT_VOLUME Volume, PFAT_NODE Node) {
    NTSTATUS Status = FatRemove(Volume, Node->Directory, Node->Disk, NULL);
    if (NT_SUCCESS(Status)) {
        if (Node->Entry.Attributes & FAT_ATTRIBUTE_DIRECTORY) {
            FatForgetIndex(Volume, FatGetCluster(Volume, &Node->Entry));
        }
        FatFreeChain(Volume, FatGetCluster(Volume, &Node->Entry));
    }
    return Status;
}

/* ".." is the second entry. */
PAGEABLE static NTSTATUS SetParent(PFAT_VOLUME Volume, const FAT_ENTRY *Directory, ULONG Parent) {
    ULONG Cluster = FatGetCluster(Volume, Directory);
    FAT_ENTRY Dots;
    if (!FatIsCluster(Volume, Cluster)) {
        return STATUS_FILE_CORRUPT_ERROR;
    }
    ULONG64 Disk = FatClusterStart(Volume, Cluster) + FAT_ENTRY_BYTES;
    NTSTATUS Status = MmReadDisk(Volume->Disk, Disk, &Dots, sizeof(Dots));
    if (NT_SUCCESS(Status) && (Dots.Name[0] != '.' || Dots.Name[1] != '.')) {
        return STATUS_FILE_CORRUPT_ERROR;
    }
    FatSetCluster(Volume, &Dots, ParentLink(Volume, Parent));
    return NT_SUCCESS(Status) ? FatWrite(Volume, Disk, &Dots, sizeof(Dots)) : Status;
}

/* The old entry as it was. */
PAGEABLE static VOID PutBack(PFAT_VOLUME Volume, PFAT_NODE Node, const FAT_REMOVED *Removed) {
    if (NT_SUCCESS(FatRestore(Volume, Node->Directory, Removed)) && Node->Entry.Attributes & FAT_ATTRIBUTE_DIRECTORY) {
        SetParent(Volume, &Node->Entry, Node->Directory);
    }
}

/* The target name is free, or the file's own in other letters; the caller has seen to that. */
PAGEABLE NTSTATUS FatRename(PFAT_VOLUME Volume, PFAT_NODE Node, ULONG Directory, const WCHAR *Name, ULONG Length) {
    FAT_ENTRY Entry = Node->Entry;
    FAT_REMOVED Removed;
    ULONG64 Disk;
    NTSTATUS Status = FatRemove(Volume, Node->Directory, Node->Disk, &Removed);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    if (Directory != Node->Directory && Entry.Attributes & FAT_ATTRIBUTE_DIRECTORY) {
        Status = SetParent(Volume, &Entry, Directory);
    }
    if (NT_SUCCESS(Status)) {
        Status = FatInsert(Volume, Directory, Name, Length, &Entry, &Disk);
    }
    if (!NT_SUCCESS(Status)) {
        PutBack(Volume, Node, &Removed);
        return Status;
    }
    Node->Directory = Directory;
    Node->Disk = Disk;
    Node->Entry = Entry;
    return STATUS_SUCCESS;
}
