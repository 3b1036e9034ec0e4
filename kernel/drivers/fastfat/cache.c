/* cache.c: the cached page of an open file, which gathers small writes into one disk request.
 *
 * A file has at most one such page, and it holds the whole page as readers are to see it. The bytes between DirtyStart and
 * DirtyEnd have not reached the disk yet. They do when another page takes its place, at a flush, when a handle of the file is
 * closed, when something else changes the file, and in any case within a second (lazy.c).
 *
 *      file      | on the disk ........ |
 *      page                    [....####    ]     #: dirty. Nothing lies between the end on the disk and the first of
 *      length    ----------------------->         them: a write that would leave a hole is not gathered
 *
 * A write that is gathered has reserved the clusters that it will need. So STATUS_DISK_FULL comes from the write itself.
 * What cannot be written stays in the page, to be tried again, until the file's last handle is closed.
 *
 * All functions: the VCB's resource is held exclusively, IRQL <= APC_LEVEL; they may fault and wait for the disk. */
#include "fastfat.h"

#define MAXIMUM_PAGES 64 /* of all files together */
#define LARGEST_END 0xFFFFFFFFULL

PAGEABLE static BOOLEAN IsDirty(const FAT_PAGE *Page) {
    return Page->DirtyEnd != 0;
}

PAGEABLE BOOLEAN FatIsDirty(const FCB *Fcb) {
    return IsDirty(&Fcb->Page);
}

PAGEABLE ULONG FatSizeOf(const FCB *Fcb) {
    ULONG End = Fcb->Page.Offset + Fcb->Page.DirtyEnd;
    return IsDirty(&Fcb->Page) && End > Fcb->Node.Entry.Size ? End : Fcb->Node.Entry.Size;
}

PAGEABLE static VOID KeepOrFree(PVCB Vcb, PUCHAR Bytes) {
    if (Vcb->SparePage == NULL) {
        Vcb->SparePage = Bytes;
    } else {
        ExFreePoolWithTag(Bytes, TAG_FAT);
    }
}

PAGEABLE VOID FatDiscard(PVCB Vcb, PFCB Fcb) {
    PFAT_PAGE Page = &Fcb->Page;
    FatUnreserve(Vcb->Volume, Page->ReservedClusters);
    if (Page->Bytes != NULL) {
        RemoveEntryList(&Page->ListEntry);
        Vcb->PageCount--;
        KeepOrFree(Vcb, Page->Bytes);
    }
    *Page = (FAT_PAGE){};
}

PAGEABLE NTSTATUS FatFlush(PVCB Vcb, PFCB Fcb) {
    PFAT_PAGE Page = &Fcb->Page;
    if (!IsDirty(Page)) {
        return STATUS_SUCCESS;
    }
    FatUnreserve(Vcb->Volume, Page->ReservedClusters); /* this write may have them */
    NTSTATUS Status = FatWriteFile(Vcb->Volume, &Fcb->Node, Page->Offset + Page->DirtyStart,
                                   Page->DirtyEnd - Page->DirtyStart, Page->Bytes + Page->DirtyStart);
    if (NT_SUCCESS(Status)) {
        Page->DirtyStart = Page->DirtyEnd = Page->ReservedClusters = 0;
    } else {
        Vcb->Volume->ReservedClusters += Page->ReservedClusters;
    }
    return Status;
}

/* ---- Taking a page ---- */

/* The page that was taken longest ago makes room for another file's. */
PAGEABLE static NTSTATUS DropOldest(PVCB Vcb) {
    PFCB Oldest = CONTAINING_RECORD(Vcb->Pages.Flink, FCB, Page.ListEntry);
    NTSTATUS Status = FatFlush(Vcb, Oldest);
    if (NT_SUCCESS(Status)) {
        FatDiscard(Vcb, Oldest);
    }
    return Status;
}

/* Memory for a page. FALSE: there is none, or no page can be given up for it. */
PAGEABLE static BOOLEAN MakePage(PVCB Vcb, PFAT_PAGE Page) {
    if (Vcb->PageCount >= MAXIMUM_PAGES && !NT_SUCCESS(DropOldest(Vcb))) {
        return FALSE;
    }
    Page->Bytes = Vcb->SparePage != NULL ? Vcb->SparePage : ExAllocatePoolWithTag(PagedPool, PAGE_SIZE, TAG_FAT);
    Vcb->SparePage = NULL;
    if (Page->Bytes == NULL) {
        return FALSE;
    }
    InsertTailList(&Vcb->Pages, &Page->ListEntry);
    Vcb->PageCount++;
    return TRUE;
}

PAGEABLE static BOOLEAN HasPage(const FCB *Fcb, ULONG Offset) {
    return Fcb->Page.Bytes != NULL && Fcb->Page.Offset == Offset;
}

/* Makes the file's page the one at Offset, with the disk's content. STATUS_INSUFFICIENT_RESOURCES: no page can be had;
 * any other error: the old page cannot be written, or the new one cannot be read. */
PAGEABLE static NTSTATUS TakePage(PVCB Vcb, PFCB Fcb, ULONG Offset) {
    PFAT_PAGE Page = &Fcb->Page;
    NTSTATUS Status = FatFlush(Vcb, Fcb);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    if (Page->Bytes == NULL && !MakePage(Vcb, Page)) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    Page->Offset = Offset;
    ULONG Size = Fcb->Node.Entry.Size, OnDisk = Size > Offset ? Size - Offset : 0;
    Status = FatReadFile(Vcb->Volume, &Fcb->Node, Offset, OnDisk < PAGE_SIZE ? OnDisk : PAGE_SIZE, Page->Bytes);
    if (!NT_SUCCESS(Status)) {
        FatDiscard(Vcb, Fcb);
    }
    return Status;
}

/* ---- Writes ---- */

/* Clusters for a file that ends at End. */
PAGEABLE static NTSTATUS Reserve(PVCB Vcb, PFCB Fcb, ULONG64 End) {
    ULONG Has = FatClustersOf(Vcb->Volume, Fcb->Node.Entry.Size) + Fcb->Page.ReservedClusters;
    ULONG Needs = FatClustersOf(Vcb->Volume, End);
    NTSTATUS Status = Needs > Has ? FatReserve(Vcb->Volume, Needs - Has) : STATUS_SUCCESS;
    if (NT_SUCCESS(Status) && Needs > Has) {
        Fcb->Page.ReservedClusters += Needs - Has;
    }
    return Status;
}

PAGEABLE static VOID Put(PFAT_PAGE Page, ULONG InPage, ULONG Bytes, PCVOID Buffer) {
    RtlCopyMemory(Page->Bytes + InPage, Buffer, Bytes);
    BOOLEAN WasDirty = IsDirty(Page);
    Page->DirtyStart = WasDirty && Page->DirtyStart < InPage ? Page->DirtyStart : InPage;
    Page->DirtyEnd = WasDirty && Page->DirtyEnd > InPage + Bytes ? Page->DirtyEnd : InPage + Bytes;
}

/* In one page, or in two, of which the first is then written. The room for all of it comes first. */
PAGEABLE static NTSTATUS Gather(PVCB Vcb, PFCB Fcb, ULONG Offset, ULONG Length, const UCHAR *Buffer) {
    NTSTATUS Status = Reserve(Vcb, Fcb, (ULONG64)Offset + Length);
    while (Length != 0 && NT_SUCCESS(Status)) {
        ULONG InPage = BYTE_OFFSET(Offset), Bytes = PAGE_SIZE - InPage;
        Bytes = Bytes < Length ? Bytes : Length;
        if (!HasPage(Fcb, Offset - InPage)) {
            Status = TakePage(Vcb, Fcb, Offset - InPage);
            if (NT_SUCCESS(Status)) {
                Status = Reserve(Vcb, Fcb, (ULONG64)Offset + Bytes); /* a page that was written has used up its own */
            }
        }
        if (NT_SUCCESS(Status)) {
            Put(&Fcb->Page, InPage, Bytes, Buffer);
        }
        Offset += Bytes;
        Length -= Bytes;
        Buffer += Bytes;
    }
    if (FatIsDirty(Fcb)) {
        FatStartLazyWriter(Vcb);
    }
    return Status;
}

/* Only small writes that leave no hole; and while there is a handle whose end writes the page. */
PAGEABLE static BOOLEAN CanGather(const FCB *Fcb, ULONG64 Offset, ULONG Length) {
    return Length < PAGE_SIZE && Offset <= FatSizeOf(Fcb) && Offset + Length <= LARGEST_END && Fcb->Handles != 0;
}

PAGEABLE NTSTATUS FatCachedWrite(PVCB Vcb, PFCB Fcb, ULONG64 Offset, ULONG Length, PCVOID Buffer, BOOLEAN IsThrough) {
    NTSTATUS Status = STATUS_INSUFFICIENT_RESOURCES;
    if (!IsThrough && CanGather(Fcb, Offset, Length)) {
        Status = Gather(Vcb, Fcb, (ULONG)Offset, Length, Buffer);
    }
    if (Status != STATUS_INSUFFICIENT_RESOURCES) {
        return Status;
    }
    Status = FatFlush(Vcb, Fcb);
    if (NT_SUCCESS(Status)) {
        FatDiscard(Vcb, Fcb);
        Status = FatWriteFile(Vcb->Volume, &Fcb->Node, Offset, Length, Buffer);
    }
    return Status;
}

/* ---- Reads ---- */

PAGEABLE NTSTATUS FatCachedRead(PVCB Vcb, PFCB Fcb, ULONG Offset, ULONG Length, PVOID Buffer) {
    const FAT_PAGE *Page = &Fcb->Page;
    NTSTATUS Status = STATUS_SUCCESS;
    if (Page->Bytes != NULL && Offset >= Page->Offset && Offset - Page->Offset <= PAGE_SIZE - Length &&
        Length <= PAGE_SIZE) {
        RtlCopyMemory(Buffer, Page->Bytes + (Offset - Page->Offset), Length);
        return STATUS_SUCCESS;
    }
    if (IsDirty(Page) && (ULONG64)Offset + Length > Page->Offset + Page->DirtyStart) {
        Status = FatFlush(Vcb, Fcb);
    }
    return NT_SUCCESS(Status) ? FatReadFile(Vcb->Volume, &Fcb->Node, Offset, Length, Buffer) : Status;
}
