/* data.c: the requests that read, write and flush a file's bytes: their buffers, offsets and lengths. */
#include "fastfat.h"

/* STATUS_SUCCESS, or why this file object has no bytes. */
PAGEABLE static NTSTATUS CheckFile(const FCB *Fcb) {
    if (Fcb == NULL || Fcb->IsVolume || FatIsDirectory(Fcb)) {
        return STATUS_INVALID_DEVICE_REQUEST;
    }
    return Fcb->IsDeleted ? STATUS_FILE_DELETED : STATUS_SUCCESS;
}

/* The caller's buffer, in the system's address space. */
PAGEABLE static PVOID BufferOf(PIRP Irp) {
    return Irp->MdlAddress ? MmGetSystemAddressForMdlSafe(Irp->MdlAddress, NormalPagePriority) : Irp->UserBuffer;
}

/* A synchronous file object goes on where this request ended. */
PAGEABLE static VOID Advance(PFILE_OBJECT File, ULONG64 Offset) {
    if (File->Flags & FO_SYNCHRONOUS_IO) {
        File->CurrentByteOffset.QuadPart = (LONGLONG)Offset;
    }
}

PAGEABLE NTSTATUS FatCommonRead(PVCB Vcb, PIRP Irp, PIO_STACK_LOCATION Stack) {
    PFCB Fcb = Stack->FileObject->FsContext;
    LONGLONG Offset = Stack->Parameters.Read.ByteOffset.QuadPart;
    ULONG Length = Stack->Parameters.Read.Length;
    PVOID Buffer = BufferOf(Irp);
    NTSTATUS Status = CheckFile(Fcb);
    if (!NT_SUCCESS(Status) || Length == 0) {
        return Status;
    }
    if (Offset < 0 || Buffer == NULL) {
        return Offset < 0 ? STATUS_INVALID_PARAMETER : STATUS_INSUFFICIENT_RESOURCES;
    }
    if (Offset >= FatSizeOf(Fcb)) {
        return STATUS_END_OF_FILE;
    }
    ULONG Left = FatSizeOf(Fcb) - (ULONG)Offset;
    Length = Length < Left ? Length : Left;
    Status = FatCachedRead(Vcb, Fcb, (ULONG)Offset, Length, Buffer);
    if (NT_SUCCESS(Status)) {
        Irp->IoStatus.Information = Length;
        Advance(Stack->FileObject, (ULONG64)Offset + Length);
    }
    return Status;
}

PAGEABLE NTSTATUS FatCommonWrite(PVCB Vcb, PIRP Irp, PIO_STACK_LOCATION Stack) {
    PFCB Fcb = Stack->FileObject->FsContext;
    LARGE_INTEGER Offset = Stack->Parameters.Write.ByteOffset;
    ULONG Length = Stack->Parameters.Write.Length;
    PVOID Buffer = BufferOf(Irp);
    NTSTATUS Status = CheckFile(Fcb);
    if (!NT_SUCCESS(Status) || Length == 0) {
        return Status;
    }
    if (Offset.HighPart == -1 && (ULONG)Offset.LowPart == FILE_WRITE_TO_END_OF_FILE) {
        Offset.QuadPart = FatSizeOf(Fcb);
    }
    if (Offset.QuadPart < 0 || Buffer == NULL) {
        return Offset.QuadPart < 0 ? STATUS_INVALID_PARAMETER : STATUS_INSUFFICIENT_RESOURCES;
    }
    BOOLEAN IsThrough = (Stack->Flags & SL_WRITE_THROUGH) || (Irp->Flags & IRP_NOCACHE);
    Status = FatCachedWrite(Vcb, Fcb, (ULONG64)Offset.QuadPart, Length, Buffer, IsThrough);
    if (NT_SUCCESS(Status)) {
        Irp->IoStatus.Information = Length;
        Advance(Stack->FileObject, (ULONG64)Offset.QuadPart + Length);
    }
    return Status;
}

/* The volume's file object means all files. */
PAGEABLE NTSTATUS FatCommonFlush(PVCB Vcb, PIRP Irp, PIO_STACK_LOCATION Stack) {
    PFCB Fcb = Stack->FileObject->FsContext;
    UNREFERENCED_PARAMETER(Irp);
    if (Fcb == NULL) {
        return STATUS_INVALID_DEVICE_REQUEST;
    }
    return Fcb->IsVolume ? FatFlushAll(Vcb) : FatFlush(Vcb, Fcb);
}
