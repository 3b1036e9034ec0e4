/* control.c: ZwDeviceIoControlFile and ZwFsControlFile: the code, its buffers, the access it needs.
 *
 *      code = device type << 16 | access << 14 | function << 2 | method
 *
 *      method        input                     output
 *      BUFFERED      SystemBuffer              SystemBuffer, copied back
 *      IN_DIRECT     SystemBuffer              MdlAddress, locked for the device to read
 *      OUT_DIRECT    SystemBuffer              MdlAddress, locked for the device to write
 *      NEITHER       Type3InputBuffer          UserBuffer: the caller's addresses as they are */
#include "iop.h"

typedef struct _CONTROL {
    UCHAR MajorFunction;
    ULONG Code;
    PVOID Input;
    ULONG InputLength;
    PVOID Output;
    ULONG OutputLength;
} CONTROL;

/* The handle must have what the code asks for. */
static NTSTATUS CheckAccess(const IOP_CALL *Call, ULONG Code) {
    ULONG Needed = Code >> 14 & 3;
    BOOLEAN IsDenied = ((Needed & FILE_READ_ACCESS) && !(Call->Granted & FILE_READ_DATA)) ||
                       ((Needed & FILE_WRITE_ACCESS) && !(Call->Granted & FILE_WRITE_DATA));
    return IsDenied ? STATUS_ACCESS_DENIED : STATUS_SUCCESS;
}

static NTSTATUS BuildControl(PIOP_CALL Call, const CONTROL *Control, PIRP *Built) {
    PIRP Irp = IopAllocateFileIrp(Call->File, Call->Device, Control->MajorFunction);
    if (Irp == NULL) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    ULONG Method = METHOD_FROM_CTL_CODE(Control->Code);
    PIO_STACK_LOCATION Stack = IoGetNextIrpStackLocation(Irp);
    Stack->Parameters.DeviceIoControl.IoControlCode = Control->Code;
    Stack->Parameters.DeviceIoControl.InputBufferLength = Control->InputLength;
    Stack->Parameters.DeviceIoControl.OutputBufferLength = Control->OutputLength;
    Stack->Parameters.DeviceIoControl.Type3InputBuffer = Method == METHOD_NEITHER ? Control->Input : NULL;
    NTSTATUS Status = IopAttachControlBuffers(Irp, Method, Control->Input, Control->InputLength, Control->Output,
                                              Control->OutputLength);
    if (!NT_SUCCESS(Status)) {
        IopDropIrp(Irp);
        return Status;
    }
    *Built = Irp;
    return STATUS_SUCCESS;
}

static NTSTATUS ControlByHandle(HANDLE FileHandle, HANDLE Event, PIO_APC_ROUTINE ApcRoutine, PVOID ApcContext,
                                PIO_STATUS_BLOCK IoStatusBlock, const CONTROL *Control) {
    IOP_CALL Call;
    PIRP Irp;
    NTSTATUS Status = IopBeginCall(FileHandle, 0, Event, &Call);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    Status = CheckAccess(&Call, Control->Code);
    if (NT_SUCCESS(Status)) {
        Status = BuildControl(&Call, Control, &Irp);
    }
    if (NT_SUCCESS(Status)) {
        Status = IopPerformCall(&Call, Irp, ApcRoutine, ApcContext, IoStatusBlock);
    }
    IopEndCall(&Call);
    return Status;
}

/* PASSIVE_LEVEL. STATUS_ACCESS_DENIED when the handle lacks the access in the code. ntifs.h: ZwDeviceIoControlFile. */
NTSTATUS ZwDeviceIoControlFile(HANDLE FileHandle, HANDLE Event, PIO_APC_ROUTINE ApcRoutine, PVOID ApcContext,
                               PIO_STATUS_BLOCK IoStatusBlock, ULONG IoControlCode, PVOID InputBuffer,
                               ULONG InputBufferLength, PVOID OutputBuffer, ULONG OutputBufferLength) {
    CONTROL Control = {IRP_MJ_DEVICE_CONTROL, IoControlCode, InputBuffer,
                       InputBufferLength,     OutputBuffer,  OutputBufferLength};
    return ControlByHandle(FileHandle, Event, ApcRoutine, ApcContext, IoStatusBlock, &Control);
}

/* PASSIVE_LEVEL. ntifs.h: ZwFsControlFile. */
NTSTATUS ZwFsControlFile(HANDLE FileHandle, HANDLE Event, PIO_APC_ROUTINE ApcRoutine, PVOID ApcContext,
                         PIO_STATUS_BLOCK IoStatusBlock, ULONG FsControlCode, PVOID InputBuffer,
                         ULONG InputBufferLength, PVOID OutputBuffer, ULONG OutputBufferLength) {
    CONTROL Control = {IRP_MJ_FILE_SYSTEM_CONTROL, FsControlCode, InputBuffer,
                       InputBufferLength,          OutputBuffer,  OutputBufferLength};
    return ControlByHandle(FileHandle, Event, ApcRoutine, ApcContext, IoStatusBlock, &Control);
}
