/* fastfat.h: the driver around the core: the volume's device, control blocks of open files, and the handlers of IRPs.
 *
 * What may be paged is paged: all code but the dispatch routine, the control blocks of files, what is known of the
 * volume. The volume's lock and the device are not. */
#ifndef _FASTFAT_H_
#define _FASTFAT_H_

#include <ntifs.h>
#include "fat.h"

#define TAG_FAT (ULONG)0x20746146 /* "Fat " */

/* A file or directory that is open: one for all its handles. Paged. */
typedef struct _FCB {
    LIST_ENTRY ListEntry; /* of the VCB; a deleted file's is in none */
    FAT_NODE Node;
    ULONG References; /* file objects */
    ULONG Handles;    /* those of them that have not been cleaned up */
    SHARE_ACCESS ShareAccess;
    BOOLEAN IsDeletePending; /* goes with its last handle */
    BOOLEAN IsDeleted;
    BOOLEAN IsVolume;    /* the volume itself: "\??\C:" */
    UNICODE_STRING Path; /* "\Temp\a.txt", as it was asked for; its buffer belongs to the FCB */
} FCB, *PFCB;

/* What belongs to one file object. Paged. */
typedef struct _CCB {
    BOOLEAN DeletesOnClose;
    BOOLEAN HasScan; /* a directory has been listed in part */
    FAT_SCAN Scan;   /* where the list goes on; its cursor is not mapped */
    UNICODE_STRING Pattern;
} CCB, *PCCB;

/* The volume: the extension of its device. Nonpaged. */
typedef struct _VCB {
    PBLOCK_DEVICE Disk;
    ULONG BootMark;     /* four bytes of the boot sector: its serial number, or whatever stands there */
    ERESOURCE Resource; /* guards all below, and the volume on the disk */
    PFAT_VOLUME Volume; /* paged, like what follows */
    LIST_ENTRY Fcbs;
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
PFCB FatFindFcb(PVCB Vcb, ULONG64 Disk); /* by its entry; NULL: the file is not open */
/* A new one, in the list, without references. NULL: no memory. */
PFCB FatCreateFcb(PVCB Vcb, const FAT_NODE *Node, PCUNICODE_STRING Path);
VOID FatFreeFcb(PFCB Fcb);
BOOLEAN FatSetPath(PFCB Fcb, PCUNICODE_STRING Path); /* a copy; FALSE: no memory, and the old one stays */
BOOLEAN FatHasOpenChildren(PVCB Vcb, const FCB *Directory);
BOOLEAN FatIsDirectory(const FCB *Fcb);
ULONG FatFirstCluster(PVCB Vcb, const FCB *Fcb);
ULONG FatNtAttributes(const FAT_ENTRY *Entry);

#endif
