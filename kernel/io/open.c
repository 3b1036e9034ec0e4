/* open.c: IoGetDeviceObjectPointer: from a name to a device that takes requests. */
#include "iop.h"

/* PASSIVE_LEVEL; waits. The driver sees an open, and the close of its only handle before this returns. The caller owns
 * a reference to FileObject, which keeps the device, and drops it at PASSIVE_LEVEL. Fails as the driver's CREATE routine
 * does. wdm.h: IoGetDeviceObjectPointer. */
NTSTATUS IoGetDeviceObjectPointer(PUNICODE_STRING ObjectName, ACCESS_MASK DesiredAccess, PFILE_OBJECT *FileObject,
                                  PDEVICE_OBJECT *DeviceObject) {
    OBJECT_ATTRIBUTES Attributes;
    IO_STATUS_BLOCK Result;
    HANDLE Handle;
    PVOID File;
    InitializeObjectAttributes(&Attributes, ObjectName, OBJ_KERNEL_HANDLE | OBJ_CASE_INSENSITIVE, NULL, NULL);
    NTSTATUS Status = ZwOpenFile(&Handle, DesiredAccess, &Attributes, &Result, 0, FILE_NON_DIRECTORY_FILE);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    Status = ObReferenceObjectByHandle(Handle, 0, &IopFileType, KernelMode, &File, NULL);
    if (NT_SUCCESS(Status)) {
        *FileObject = File;
        *DeviceObject = IoGetRelatedDeviceObject(File);
    }
    ZwClose(Handle);
    return Status;
}
