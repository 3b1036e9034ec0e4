/* fastfat.h: the driver around the core: the volume's device, control blocks, handlers of IRPs.
 *
 * Nearly all is paged: the code but for the dispatch routine, the control blocks of files, the facts about the volume.
 * The volume's lock and the device are not. */
#ifndef _FASTFAT_H_
#define _FASTFAT_H_

#include <ntifs.h>
#include "fat.h"

#define TAG_FAT (ULONG)0x20746146 /* "Fat " */
#define FCB_BUCKETS 61            /* a prime: entries of files lie at even distances */

/* The page of a file in which small writes gather: cache.c. All zero: there is none. */
typedef struct _FAT_PAGE {
    LIST_ENTRY ListEntry; /* of the VCB, the one that was taken longest ago first */
    PUCHAR Bytes;
    ULONG Offset;               /* in the file */
    ULONG DirtyStart, DirtyEnd; /* in the page; DirtyEnd 0: the disk has all of it */
    ULONG ReservedClusters;     /* for what is dirty */
} FAT_PAGE, *PFAT_PAGE;

/* A file or directory that is open: one for all its handles. Paged. */
typedef struct _FCB {
    LIST_ENTRY ListEntry, BucketEntry; /* of the VCB; a deleted file's are in none */
    FAT_NODE Node;                     /* as the disk has it: the length is FatSizeOf's to tell */
    FAT_PAGE Page;
    ULONG References; /* file objects */
    ULONG Handles;    /* those of them that have not been cleaned up */
    SHARE_ACCESS ShareAccess;
    BOOLEAN IsDeletePending; /* goes with its last handle */
    BOOLEAN IsDeleted;
    BOOLEAN IsVolume;    /* the volume itself: "\??\C:" */
    UNICODE_STRING Path; /* "\Temp\a.txt", as it was asked for; its buffer belongs to the FCB */
} FCB, *PFCB;

/* The driver's part of one file object. Paged. */
typedef struct _CCB {
    BOOLEAN DeletesOnClose;
    BOOLEAN HasScan; /* a directory has been listed in part */
    FAT_SCAN Scan;   /* where the list goes on; its cursor is not mapped */
    UNICODE_STRING Pattern;
} CCB, *PCCB;

/* The volume: the extension of its device. Nonpaged. */
typedef struct _VCB {
    PBLOCK_DEVICE Disk;
    ULONG BootMark;     /* four bytes of the boot sector: its serial number, or others */
    ERESOURCE Resource; /* guards all below, and the volume on the disk */
    PFAT_VOLUME Volume; /* paged, like the members of the lists */
    LIST_ENTRY Fcbs;
    LIST_ENTRY Buckets[FCB_BUCKETS]; /* the same, by the places of their entries */
    LIST_ENTRY Pages;                /* FCB.Page, of the files that have one */
    ULONG PageCount;
    PUCHAR SparePage; /* the last file's page, for the next one; NULL: none */
    BOOLEAN IsLazyWriterStarted;
    KTIMER LazyTimer; /* lazy.c's, like what follows */
    KDPC LazyDpc;
    PIO_WORKITEM LazyItem;
} VCB, *PVCB;

/* A handler: the VCB's resource is held exclusively, IRQL <= APC_LEVEL. Information goes into Irp->IoStatus. */
typedef NTSTATUS FAT_HANDLER(PVCB Vcb, PIRP Irp, PIO_STACK_LOCATION Stack);
FAT_HANDLER FatCommonCreate;      /* create.c */
FAT_HANDLER FatCommonCleanup;     /* fcb.c */
FAT_HANDLER FatCommonClose;       /* fcb.c */
FAT_HANDLER FatCommonRead;        /* data.c */
FAT_HANDLER FatCommonWrite;       /* data.c */
FAT_HANDLER FatCommonFlush;       /* data.c */
FAT_HANDLER FatCommonQuery;       /* query.c */
FAT_HANDLER FatCommonQueryVolume; /* query.c */
FAT_HANDLER FatCommonSet;         /* set.c */
FAT_HANDLER FatCommonDirectory;   /* list.c */

/* ---- fcb.c: with the resource held ---- */
VOID FatInitializeFcbs(PVCB Vcb);        /* none; without the resource */
PFCB FatFindFcb(PVCB Vcb, ULONG64 Disk); /* by its entry; NULL: the file is not open */
VOID FatMoveFcb(PVCB Vcb, PFCB Fcb);     /* its entry lies elsewhere now */
VOID FatForgetFcb(PFCB Fcb);             /* its file is deleted: out of the lists */
/* A new one, in the list, without references. NULL: no memory. */
PFCB FatCreateFcb(PVCB Vcb, const FAT_NODE *Node, PCUNICODE_STRING Path);
VOID FatFreeFcb(PFCB Fcb);
BOOLEAN FatSetPath(PFCB Fcb, PCUNICODE_STRING Path); /* a copy; FALSE: no memory, and the old one stays */
BOOLEAN FatHasOpenChildren(PVCB Vcb, const FCB *Directory);
BOOLEAN FatIsDirectory(const FCB *Fcb);
ULONG FatFirstCluster(PVCB Vcb, const FCB *Fcb);
ULONG FatNtAttributes(const FAT_ENTRY *Entry);

/* ---- cache.c: with the resource held ---- */
ULONG FatSizeOf(const FCB *Fcb); /* the file's length, with what is still to be written */
BOOLEAN FatIsDirty(const FCB *Fcb);
/* IsThrough: on the disk when it returns. Otherwise perhaps later, but never more than the disk has room for. */
NTSTATUS FatCachedWrite(PVCB Vcb, PFCB Fcb, ULONG64 Offset, ULONG Length, PCVOID Buffer, BOOLEAN IsThrough);
NTSTATUS FatCachedRead(PVCB Vcb, PFCB Fcb, ULONG Offset, ULONG Length, PVOID Buffer); /* Length is within the file */
NTSTATUS FatFlush(PVCB Vcb, PFCB Fcb); /* writes the dirty page to the disk; after an error it is still dirty */
VOID FatDiscard(PVCB Vcb, PFCB Fcb);   /* the page goes, and what is dirty is lost */

/* ---- lazy.c: with the resource held, but for FatInitializeLazyWriter ---- */
NTSTATUS FatInitializeLazyWriter(PVCB Vcb, PDEVICE_OBJECT Device);
VOID FatStartLazyWriter(PVCB Vcb); /* a page is dirty */
NTSTATUS FatFlushAll(PVCB Vcb);    /* every file; the first error, after all have been tried */

#endif
