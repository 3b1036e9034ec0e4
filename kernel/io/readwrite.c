/* readwrite.c: ZwReadFile, ZwWriteFile, ZwFlushBuffersFile, and the offset of a transfer.
 *
 * A synchronous file has a position: a call without ByteOffset starts there, and the file system moves it. Any other
 * file needs a ByteOffset. */
#include "iop.h"

static BOOLEAN IsSpecialOffset(const LARGE_INTEGER *Offset, ULONG LowPart) {
    return Offset->HighPart == -1 && Offset->LowPart == LowPart;
}

/* Where the transfer begins. The position is read under the file's lock when the IRP is sent: UsesPosition. */
static NTSTATUS DecideOffset(PIOP_CALL Call, const LARGE_INTEGER *Given, BOOLEAN IsWrite, LARGE_INTEGER *Offset,
                             PBOOLEAN UsesPosition) {
    BOOLEAN IsSynchronous = (Call->File->Flags & FO_SYNCHRONOUS_IO) != 0;
    BOOLEAN AppendsOnly = IsWrite && !(Call->Granted & FILE_WRITE_DATA);
    BOOLEAN SaysPosition = Given == NULL || IsSpecialOffset(Given, FILE_USE_FILE_POINTER_POSITION);
    *UsesPosition = FALSE;
    if (AppendsOnly || (IsWrite && Given != NULL && IsSpecialOffset(Given, FILE_WRITE_TO_END_OF_FILE))) {
        *Offset = (LARGE_INTEGER){.u = {FILE_WRITE_TO_END_OF_FILE, -1}};
        return STATUS_SUCCESS;
    }
    if (SaysPosition && IsSynchronous) {
        *UsesPosition = TRUE;
        return STATUS_SUCCESS;
    }
    if (SaysPosition || Given->QuadPart < 0) {
        return STATUS_INVALID_PARAMETER;
    }
    *Offset = *Given;
    return STATUS_SUCCESS;
}

/* Without intermediate buffering whole sectors only. */
static NTSTATUS CheckAlignment(PIOP_CALL Call, ULONG Length, LARGE_INTEGER Offset) {
    USHORT Sector = Call->Device->SectorSize;
    if (!(Call->File->Flags & FO_NO_INTERMEDIATE_BUFFERING) || Sector == 0) {
        return STATUS_SUCCESS;
    }
    BOOLEAN IsAligned = Length % Sector == 0 && (Offset.QuadPart < 0 || Offset.QuadPart % Sector == 0);
    return IsAligned ? STATUS_SUCCESS : STATUS_INVALID_PARAMETER;
}

typedef struct _TRANSFER {
    PVOID Buffer;
    ULONG Length;
    const LARGE_INTEGER *ByteOffset;
    ULONG Key;
    BOOLEAN IsWrite;
} TRANSFER;

static NTSTATUS BuildTransfer(PIOP_CALL Call, const TRANSFER *Transfer, LARGE_INTEGER Offset, PIRP *Built) {
    PIRP Irp = IopAllocateFileIrp(Call->File, Call->Device, Transfer->IsWrite ? IRP_MJ_WRITE : IRP_MJ_READ);
    if (Irp == NULL) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    PIO_STACK_LOCATION Stack = IoGetNextIrpStackLocation(Irp);
    Stack->Parameters.Read.Length = Transfer->Length; /* Write is laid out the same */
    Stack->Parameters.Read.Key = Transfer->Key;
    Stack->Parameters.Read.ByteOffset = Offset;
    Stack->Flags = Transfer->IsWrite && (Call->File->Flags & FO_WRITE_THROUGH) ? SL_WRITE_THROUGH : 0;
    Irp->Flags |= Transfer->IsWrite ? IRP_WRITE_OPERATION : IRP_READ_OPERATION;
    Irp->Flags |= Call->File->Flags & FO_NO_INTERMEDIATE_BUFFERING ? IRP_NOCACHE : 0;
    NTSTATUS Status = IopAttachTransferBuffer(Irp, Call->Device, Transfer->Buffer, Transfer->Length, Transfer->IsWrite);
    if (!NT_SUCCESS(Status)) {
        IopDropIrp(Irp);
        return Status;
    }
    *Built = Irp;
    return STATUS_SUCCESS;
}

static NTSTATUS SendTransfer(PIOP_CALL Call, const TRANSFER *Transfer, PIO_APC_ROUTINE ApcRoutine, PVOID ApcContext,
                             PIO_STATUS_BLOCK IoStatusBlock) {
    LARGE_INTEGER Offset = {.QuadPart = 0};
    BOOLEAN UsesPosition;
    PIRP Irp;
    NTSTATUS Status = DecideOffset(Call, Transfer->ByteOffset, Transfer->IsWrite, &Offset, &UsesPosition);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    /* The lock is held from here on: the position must not move between its reading and the sending. */
    BOOLEAN IsSynchronous = (Call->File->Flags & FO_SYNCHRONOUS_IO) != 0;
    if (IsSynchronous) {
        IopAcquireFileLock(Call->File);
        Offset = UsesPosition ? Call->File->CurrentByteOffset : Offset;
    }
    Status = CheckAlignment(Call, Transfer->Length, Offset);
    if (NT_SUCCESS(Status)) {
        Status = BuildTransfer(Call, Transfer, Offset, &Irp);
    }
    if (NT_SUCCESS(Status)) {
        Status = IopPerformLocked(Call, Irp, ApcRoutine, ApcContext, IoStatusBlock);
    }
    if (IsSynchronous) {
        IopReleaseFileLock(Call->File);
    }
    return Status;
}

static NTSTATUS TransferByHandle(HANDLE FileHandle, HANDLE Event, PIO_APC_ROUTINE ApcRoutine, PVOID ApcContext,
                                 PIO_STATUS_BLOCK IoStatusBlock, const TRANSFER *Transfer) {
    IOP_CALL Call;
    NTSTATUS Status =
        IopBeginCall(FileHandle, Transfer->IsWrite ? FILE_WRITE_DATA | FILE_APPEND_DATA : FILE_READ_DATA, Event, &Call);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    Status = SendTransfer(&Call, Transfer, ApcRoutine, ApcContext, IoStatusBlock);
    IopEndCall(&Call);
    return Status;
}

/* PASSIVE_LEVEL by its documentation. STATUS_INVALID_PARAMETER without a ByteOffset for a file that is not synchronous;
 * STATUS_ACCESS_DENIED for a handle without FILE_READ_DATA. wdm.h: ZwReadFile. */
NTSTATUS ZwReadFile(HANDLE FileHandle, HANDLE Event, PIO_APC_ROUTINE ApcRoutine, PVOID ApcContext,
                    PIO_STATUS_BLOCK IoStatusBlock, PVOID Buffer, ULONG Length, PLARGE_INTEGER ByteOffset, PULONG Key) {
    TRANSFER Transfer = {Buffer, Length, ByteOffset, Key == NULL ? 0 : *Key, FALSE};
    return TransferByHandle(FileHandle, Event, ApcRoutine, ApcContext, IoStatusBlock, &Transfer);
}

/* PASSIVE_LEVEL by its documentation. A handle with FILE_APPEND_DATA alone writes to the end of the file and ignores
 * ByteOffset. wdm.h: ZwWriteFile. */
NTSTATUS ZwWriteFile(HANDLE FileHandle, HANDLE Event, PIO_APC_ROUTINE ApcRoutine, PVOID ApcContext,
                     PIO_STATUS_BLOCK IoStatusBlock, PVOID Buffer, ULONG Length, PLARGE_INTEGER ByteOffset,
                     PULONG Key) {
    TRANSFER Transfer = {Buffer, Length, ByteOffset, Key == NULL ? 0 : *Key, TRUE};
    return TransferByHandle(FileHandle, Event, ApcRoutine, ApcContext, IoStatusBlock, &Transfer);
}

/* PASSIVE_LEVEL by its documentation. ntifs.h: ZwFlushBuffersFile. */
NTSTATUS ZwFlushBuffersFile(HANDLE FileHandle, PIO_STATUS_BLOCK IoStatusBlock) {
    IOP_CALL Call;
    NTSTATUS Status = IopBeginCall(FileHandle, FILE_WRITE_DATA | FILE_APPEND_DATA, NULL, &Call);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    PIRP Irp = IopAllocateFileIrp(Call.File, Call.Device, IRP_MJ_FLUSH_BUFFERS);
    Status = Irp == NULL ? STATUS_INSUFFICIENT_RESOURCES : IopPerformAndWait(&Call, Irp, IoStatusBlock);
    IopEndCall(&Call);
    return Status;
}
