/* byname.c: calls that take a file's name and leave no handle behind. */
#include "iop.h"

/* PASSIVE_LEVEL. The statuses of an open for DELETE. ntifs.h: ZwDeleteFile. */
NTSTATUS ZwDeleteFile(POBJECT_ATTRIBUTES ObjectAttributes) {
    PFILE_OBJECT File;
    IOP_OPEN Open = {.DesiredAccess = DELETE,
                     .ShareAccess = FILE_SHARE_VALID_FLAGS,
                     .Disposition = FILE_OPEN,
                     .CreateOptions = FILE_DELETE_ON_CLOSE};
    NTSTATUS Status = IopOpenFile(ObjectAttributes, &Open, &File);
    if (NT_SUCCESS(Status)) {
        ObfDereferenceObject(File);
    }
    return Status;
}

/* PASSIVE_LEVEL. wdm.h: ZwQueryFullAttributesFile. */
NTSTATUS ZwQueryFullAttributesFile(POBJECT_ATTRIBUTES ObjectAttributes,
                                   PFILE_NETWORK_OPEN_INFORMATION FileInformation) {
    HANDLE Handle;
    IO_STATUS_BLOCK Result;
    NTSTATUS Status = ZwOpenFile(&Handle, FILE_READ_ATTRIBUTES, ObjectAttributes, &Result, FILE_SHARE_VALID_FLAGS, 0);
    if (NT_SUCCESS(Status)) {
        Status = ZwQueryInformationFile(Handle, &Result, FileInformation, sizeof(*FileInformation),
                                        FileNetworkOpenInformation);
        ZwClose(Handle);
    }
    return Status;
}
