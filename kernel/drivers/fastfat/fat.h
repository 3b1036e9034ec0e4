/* fat.h: the FAT file system as it lies on a disk, and its core: no IRP, no lock, no thread.
 *
 * The core reaches the disk through block.h alone, so it also builds on a host, over an image in memory.
 *
 *      boot sector | reserved | table of clusters (1 or 2 copies) | root directory (FAT12, FAT16) | clusters 2, 3, 4 ...
 *
 * A directory is a chain of clusters full of 32-byte entries. A file's entry names the first cluster; the table names,
 * for each cluster, the next one. Every write keeps to one order, so that a machine may die between any two sectors
 * and leave nothing worse than clusters that no file owns:
 *
 *      new data goes to clusters that nothing points to; then one sector, the one with the entry, makes it count;
 *      then what the entry pointed to before is freed.
 *
 * Two sectors that must change together are changed in that way too, by a copy, as long as the copy is small
 * (COPY_LIMIT in file.c).
 *
 * All functions: PASSIVE_LEVEL or APC_LEVEL, may fault and wait for the disk; the caller serialises those of one
 * volume. Damage on the disk ends in STATUS_DISK_CORRUPT_ERROR (the volume) or STATUS_FILE_CORRUPT_ERROR (a
 * file or a directory), never in a loop. */
#ifndef _FAT_H_
#define _FAT_H_

#include <ntddk.h>
#include <block.h>

/* Code of the file system is pageable, like a real one's. */
#ifndef PAGEABLE
#define PAGEABLE __attribute__((section("PAGE")))
#endif

#define FAT_END 0xFFFFFFFFu /* of a chain */
#define FAT_BAD 0xFFFFFFF7u /* a cluster that is not to be used */
#define FAT_FREE 0u         /* an unused cluster */
#define FAT_FIRST_CLUSTER 2u
#define FAT_UNKNOWN 0xFFFFFFFFu

#define FAT_ATTRIBUTE_READ_ONLY 0x01
#define FAT_ATTRIBUTE_HIDDEN 0x02
#define FAT_ATTRIBUTE_SYSTEM 0x04
#define FAT_ATTRIBUTE_LABEL 0x08
#define FAT_ATTRIBUTE_DIRECTORY 0x10
#define FAT_ATTRIBUTE_ARCHIVE 0x20
#define FAT_ATTRIBUTE_LONG_NAME 0x0F
#define FAT_DELETED 0xE5   /* first byte of an entry that is free again */
#define FAT_CASE_BASE 0x08 /* the name is shown in lower case... */
#define FAT_CASE_EXTENSION 0x10

#define FAT_MAXIMUM_NAME 255
#define FAT_NAME_PARTS 20 /* entries for the longest name, 13 characters each */
#define FAT_MAXIMUM_SLOTS (FAT_NAME_PARTS + 1)
#define FAT_ENTRY_BYTES 32u
#define FAT_MAXIMUM_ENTRIES 65536u

typedef struct _FAT_ENTRY {
    UCHAR Name[11];
    UCHAR Attributes;
    UCHAR Case;
    UCHAR CreateTenths; /* 10 ms, 0..199 */
    USHORT CreateTime, CreateDate;
    USHORT AccessDate;
    USHORT ClusterHigh; /* FAT32 */
    USHORT WriteTime, WriteDate;
    USHORT ClusterLow;
    ULONG Size;
} FAT_ENTRY, *PFAT_ENTRY;
C_ASSERT(sizeof(FAT_ENTRY) == FAT_ENTRY_BYTES);

typedef struct _FAT_VOLUME {
    PBLOCK_DEVICE Disk;
    ULONG SectorBytes, ClusterBytes;
    ULONG Bits;                    /* 12, 16, 32 */
    ULONG TableCount, ActiveTable; /* ActiveTable: the one that is read */
    BOOLEAN IsMirrored;            /* all copies are written, not just the active one */
    ULONG64 TableStart, TableBytes;
    ULONG64 RootStart; /* FAT12, FAT16: the root directory is no chain */
    ULONG RootBytes;
    ULONG RootCluster; /* FAT32; with the others 0, which means the root */
    ULONG64 InfoStart; /* FAT32: the sector with the count of free clusters; 0: none */
    ULONG64 DataStart;
    ULONG ClusterCount;
    ULONG NextFree;         /* where the next search for a free cluster begins */
    ULONG FreeClusters;     /* FAT_UNKNOWN until the first query */
    ULONG ReservedClusters; /* of these: for data that is still to be written */
    LIST_ENTRY Indexes;     /* FAT_INDEX, the one used last first */
    ULONG SerialNumber;
    UCHAR Label[11];
} FAT_VOLUME, *PFAT_VOLUME;

/* A place on the disk, in one pinned page at a time: near places cost one pin. */
typedef struct _FAT_CURSOR {
    PFAT_VOLUME Volume;
    ULONG64 Page; /* disk offset of what is pinned */
    BOOLEAN IsPinned;
    DISK_VIEW View;
} FAT_CURSOR, *PFAT_CURSOR;

/* A walk through the entries of a directory. */
typedef struct _FAT_SCAN {
    FAT_CURSOR Cursor;
    ULONG Cluster; /* 0: the fixed root */
    ULONG64 Disk;  /* offset of the next entry */
    ULONG Left;    /* bytes left in this cluster */
    ULONG Passed;  /* entries */
} FAT_SCAN, *PFAT_SCAN;

/* A file or directory that a scan has found. */
typedef struct _FAT_FOUND {
    FAT_ENTRY Entry;
    ULONG64 Disk;                 /* of its entry; identifies a file */
    ULONG Parts;                  /* entries of its long name, 0: it has none */
    ULONG64 Part[FAT_NAME_PARTS]; /* where they are, in the order of the directory */
    USHORT NameLength;            /* characters */
    WCHAR Name[FAT_MAXIMUM_NAME + 1];
} FAT_FOUND, *PFAT_FOUND;

/* An entry that has been removed, with the parts of its name. */
typedef struct _FAT_REMOVED {
    ULONG Count;
    ULONG64 Slot[FAT_MAXIMUM_SLOTS];
    UCHAR Entries[FAT_MAXIMUM_SLOTS * FAT_ENTRY_BYTES];
} FAT_REMOVED, *PFAT_REMOVED;

/* A name of a file in a directory's index: index.c. */
typedef struct _FAT_CELL {
    ULONG Hash, Next; /* number of the next cell of this bucket, or of the free ones, from 1; 0: none */
    ULONG Slot;       /* number of the file's first entry in the directory, from 0 */
} FAT_CELL, *PFAT_CELL;

typedef struct _FAT_INDEX {
    LIST_ENTRY ListEntry;
    ULONG Directory; /* first cluster; 0: the fixed root */
    PULONG Clusters; /* its chain */
    ULONG ClusterCount, ClusterRoom;
    PFAT_CELL Cells; /* the buckets behind them, CellRoom of each */
    PULONG Buckets;
    ULONG CellsUsed, CellRoom, FreeCell; /* CellsUsed: with the free ones between them */
    ULONG NameCount;
    ULONG NoRoomBefore[FAT_MAXIMUM_SLOTS + 1]; /* slot, for each number of entries in a row */
} FAT_INDEX, *PFAT_INDEX;

/* A file in use. Entry is as on the disk. */
typedef struct _FAT_NODE {
    ULONG Directory; /* first cluster of the directory that it is in */
    ULONG64 Disk;    /* of its entry; 0: the root, which has none */
    FAT_ENTRY Entry;
    ULONG HintIndex, HintCluster; /* a cluster of its chain, 0: none */
} FAT_NODE, *PFAT_NODE;

/* ---- volume.c ---- */
/* Reads the boot sector. STATUS_UNRECOGNIZED_VOLUME: no FAT file system. */
NTSTATUS FatMount(PFAT_VOLUME Volume, PBLOCK_DEVICE Disk);
/* The bytes at Offset, valid to the end of their page until the next touch or FatDrop. */
NTSTATUS FatTouch(PFAT_CURSOR Cursor, ULONG64 Offset, const UCHAR **Data);
VOID FatDrop(PFAT_CURSOR Cursor);
NTSTATUS FatWrite(PFAT_VOLUME Volume, ULONG64 Offset, PCVOID Data, ULONG Bytes); /* Data NULL: zeros */
ULONG64 FatClusterStart(PFAT_VOLUME Volume, ULONG Cluster);                      /* on the disk */
BOOLEAN FatIsCluster(PFAT_VOLUME Volume, ULONG Cluster);

/* ---- table.c ---- */
NTSTATUS FatGetLink(PFAT_CURSOR Cursor, ULONG Cluster, PULONG Link);     /* as it is: also FAT_FREE and FAT_BAD */
NTSTATUS FatNextCluster(PFAT_CURSOR Cursor, ULONG Cluster, PULONG Next); /* a cluster or FAT_END, or corrupt */
NTSTATUS FatSetLink(PFAT_VOLUME Volume, ULONG Cluster, ULONG Link);
/* A chain of Count clusters that nothing points to; STATUS_DISK_FULL leaves nothing behind. */
NTSTATUS FatAllocateChain(PFAT_VOLUME Volume, ULONG Count, PULONG First);
NTSTATUS FatFreeChain(PFAT_VOLUME Volume, ULONG First);  /* 0: nothing to do */
NTSTATUS FatCountFree(PFAT_VOLUME Volume, PULONG Count); /* without those that are reserved */
NTSTATUS FatReserve(PFAT_VOLUME Volume, ULONG Count);    /* exclusively: STATUS_DISK_FULL */
VOID FatUnreserve(PFAT_VOLUME Volume, ULONG Count);

/* ---- name.c: lengths in characters ---- */
BOOLEAN FatIsNameValid(const WCHAR *Name, ULONG Length);
BOOLEAN FatNamesEqual(const WCHAR *A, ULONG LengthA, const WCHAR *B, ULONG LengthB);
WCHAR FatUpcase(WCHAR Character);
ULONG FatHashName(const WCHAR *Name, ULONG Length); /* the same in any case */
/* The 11 bytes of a short name. TRUE: they and *Case say all, no long name is needed. */
BOOLEAN FatMakeShortName(const WCHAR *Name, ULONG Length, UCHAR Short[11], PUCHAR Case);
VOID FatNumberShortName(UCHAR Short[11], const WCHAR *Name, ULONG Length, ULONG Number); /* makes it BASE~N.EXT */
ULONG FatShortToText(const FAT_ENTRY *Entry, WCHAR Text[13]);                            /* its length */
UCHAR FatChecksum(const UCHAR Short[11]);
BOOLEAN FatMatches(const WCHAR *Pattern, ULONG PatternLength, const WCHAR *Name, ULONG Length); /* * ? < > " */

/* ---- scan.c ---- */
NTSTATUS FatBeginScan(PFAT_SCAN Scan, PFAT_VOLUME Volume, ULONG Directory);
NTSTATUS FatReadEntry(PFAT_SCAN Scan, PFAT_ENTRY Entry, PULONG64 Disk); /* STATUS_NO_MORE_FILES: no more room */
NTSTATUS FatNextFile(PFAT_SCAN Scan, PFAT_FOUND Found); /* "." and ".." too. STATUS_NO_MORE_FILES: no more files */
VOID FatEndScan(PFAT_SCAN Scan);
BOOLEAN FatIsDots(const FAT_ENTRY *Entry);
BOOLEAN FatIsNamed(const FAT_FOUND *Found, const WCHAR *Name, ULONG Length); /* by its long name or by its short one */
/* STATUS_OBJECT_NAME_NOT_FOUND: there is none. */
NTSTATUS FatLookup(PFAT_VOLUME Volume, ULONG Directory, const WCHAR *Name, ULONG Length, PFAT_FOUND Found);
NTSTATUS FatIsDirectoryEmpty(PFAT_VOLUME Volume, ULONG Directory, PBOOLEAN IsEmpty);

/* ---- index.c ---- */
PFAT_INDEX FatGetIndex(PFAT_VOLUME Volume, ULONG Directory);  /* NULL: no memory, or a damaged directory: then walk */
PFAT_INDEX FatFindIndex(PFAT_VOLUME Volume, ULONG Directory); /* only one that is there */
VOID FatForgetIndex(PFAT_VOLUME Volume, ULONG Directory);     /* it may be wrong, or the directory is gone */
VOID FatForgetIndexes(PFAT_VOLUME Volume);
NTSTATUS FatFindIndexed(PFAT_VOLUME Volume, PFAT_INDEX Index, const WCHAR *Name, ULONG Length, PFAT_FOUND Found);
/* The file whose entry is at Disk. */
NTSTATUS FatFindSlot(PFAT_VOLUME Volume, PFAT_INDEX Index, ULONG64 Disk, PULONG Slot, PFAT_FOUND Found);
NTSTATUS FatReadSlot(PFAT_VOLUME Volume, const FAT_INDEX *Index, ULONG Slot, PFAT_FOUND Found);
BOOLEAN FatMayHaveShortName(PFAT_INDEX Index, const UCHAR Short[11]); /* FALSE: no file has it */
/* A scan that begins at a slot; FALSE: the directory ends before it. */
BOOLEAN FatScanFromSlot(PFAT_SCAN Scan, PFAT_VOLUME Volume, const FAT_INDEX *Index, ULONG Slot);
/* Notes a change. FALSE: no memory; the caller forgets the index. */
BOOLEAN FatIndexFile(PFAT_VOLUME Volume, PFAT_INDEX Index, ULONG Slot, const WCHAR *Name, ULONG Length,
                     const FAT_ENTRY *Entry);
VOID FatUnindexFile(PFAT_VOLUME Volume, PFAT_INDEX Index, ULONG Slot, const FAT_FOUND *Found);
BOOLEAN FatIndexCluster(PFAT_INDEX Index, ULONG Cluster); /* at the directory's end */
/* A search for room for Wanted entries has ended at Slot. */
VOID FatNoteRoom(PFAT_VOLUME Volume, PFAT_INDEX Index, ULONG Wanted, ULONG Slot);

/* ---- directory.c ---- */
/* Entry's Name and Case are chosen here; *Disk tells where it is. */
NTSTATUS FatInsert(PFAT_VOLUME Volume, ULONG Directory, const WCHAR *Name, ULONG Length, PFAT_ENTRY Entry,
                   PULONG64 Disk);
/* The entry, not what it points to. Removed, unless NULL, remembers it. */
NTSTATUS FatRemove(PFAT_VOLUME Volume, ULONG Directory, ULONG64 Disk, PFAT_REMOVED Removed);
NTSTATUS FatRestore(PFAT_VOLUME Volume, ULONG Directory, const FAT_REMOVED *Removed); /* if the place is still free */

/* ---- file.c ---- */
ULONG FatClustersOf(PFAT_VOLUME Volume, ULONG64 Size);
ULONG FatGetCluster(PFAT_VOLUME Volume, const FAT_ENTRY *Entry); /* 0: none */
VOID FatSetCluster(PFAT_VOLUME Volume, PFAT_ENTRY Entry, ULONG Cluster);
NTSTATUS FatWriteEntry(PFAT_VOLUME Volume, PFAT_NODE Node, const FAT_ENTRY *Entry); /* both, or neither */
/* Length is within the file. */
NTSTATUS FatReadFile(PFAT_VOLUME Volume, PFAT_NODE Node, ULONG Offset, ULONG Length, PVOID Buffer);
/* The file grows when Offset + Length is beyond its end; the bytes between are zeros. */
NTSTATUS FatWriteFile(PFAT_VOLUME Volume, PFAT_NODE Node, ULONG64 Offset, ULONG Length, PCVOID Buffer);
NTSTATUS FatSetSize(PFAT_VOLUME Volume, PFAT_NODE Node, ULONG64 Size);
NTSTATUS FatEmptyFile(PFAT_VOLUME Volume, PFAT_NODE Node, UCHAR Attributes); /* with one write of the entry */

/* ---- tree.c ---- */
VOID FatMakeRootNode(PFAT_VOLUME Volume, PFAT_NODE Node);
VOID FatMakeNode(PFAT_NODE Node, ULONG Directory, const FAT_FOUND *Found);
NTSTATUS FatCreate(PFAT_VOLUME Volume, ULONG Directory, const WCHAR *Name, ULONG Length, UCHAR Attributes,
                   PFAT_NODE Node);
NTSTATUS FatDelete(PFAT_VOLUME Volume, PFAT_NODE Node); /* an empty directory or a file; the caller has checked */
NTSTATUS FatRename(PFAT_VOLUME Volume, PFAT_NODE Node, ULONG Directory, const WCHAR *Name, ULONG Length);

/* ---- time.c: NT's 100 ns since 1601 and FAT's 2 s since 1980 ---- */
VOID FatEncodeTime(LONGLONG Time, PUSHORT Date, PUSHORT Clock, PUCHAR Tenths);
LONGLONG FatDecodeTime(USHORT Date, USHORT Clock, UCHAR Tenths); /* 0: no date */
VOID FatStampWrite(PFAT_ENTRY Entry);                            /* now; and to be archived */
VOID FatStampCreate(PFAT_ENTRY Entry);

#endif
