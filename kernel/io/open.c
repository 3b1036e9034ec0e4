/* open.c: opening a device by its name: a file object stands for one open, and its end is the driver's close.
 *
 * The driver hears of it by three requests: CREATE, which it may refuse; CLEANUP when the last handle is closed,
 * which for IoGetDeviceObjectPointer is before it returns; CLOSE when the last reference to the file object is
 * dropped. */
#include <ob.h>
#include "iop.h"

static VOID DeleteFile(PVOID Object);
static struct _OBJECT_TYPE IopFileType = {.Name = "File", .Delete = DeleteFile};

/* Sends a request without parameters or buffers, and waits for it. PASSIVE_LEVEL. */
static NTSTATUS SendSimpleRequest(PFILE_OBJECT File, UCHAR MajorFunction) {
    PIRP Irp = IoAllocateIrp(File->DeviceObject->StackSize, FALSE);
    if (Irp == NULL) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    KEVENT Done;
    IO_STATUS_BLOCK Result = {};
    KeInitializeEvent(&Done, NotificationEvent, FALSE);
    Irp->UserEvent = &Done;
    Irp->UserIosb = &Result;
    PIO_STACK_LOCATION Stack = IoGetNextIrpStackLocation(Irp);
    Stack->MajorFunction = MajorFunction;
    Stack->FileObject = File;
    IofCallDriver(File->DeviceObject, Irp);
    KeWaitForSingleObject(&Done, Executive, KernelMode, FALSE, NULL);
    return Result.Status;
}

static VOID DeleteFile(PVOID Object) {
    PFILE_OBJECT File = Object;
    if (File->Flags & FO_FILE_OPEN) {
        SendSimpleRequest(File, IRP_MJ_CLOSE);
    }
    IopDereferenceDevice(File->DeviceObject);
}

/* PASSIVE_LEVEL; waits. The caller owns a reference to FileObject, which keeps the device, and drops it at
 * PASSIVE_LEVEL. Fails as the driver's CREATE routine does. wdm.h: IoGetDeviceObjectPointer. */
NTSTATUS IoGetDeviceObjectPointer(PUNICODE_STRING ObjectName, ACCESS_MASK DesiredAccess, PFILE_OBJECT *FileObject,
                                  PDEVICE_OBJECT *DeviceObject) {
    PAGED_CODE();
    UNREFERENCED_PARAMETER(DesiredAccess);
    PDEVICE_OBJECT Device;
    NTSTATUS Status = IopReferenceDevice(ObjectName, &Device);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    PFILE_OBJECT File = ObCreateObject(&IopFileType, sizeof(*File));
    if (File == NULL) {
        IopDereferenceDevice(Device);
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    File->Type = IO_TYPE_FILE;
    File->Size = sizeof(*File);
    File->DeviceObject = Device;
    Status = SendSimpleRequest(File, IRP_MJ_CREATE);
    if (!NT_SUCCESS(Status)) {
        ObDereferenceObject(File);
        return Status;
    }
    File->Flags |= FO_FILE_OPEN;
    SendSimpleRequest(File, IRP_MJ_CLEANUP);
    *FileObject = File;
    *DeviceObject = Device;
    return STATUS_SUCCESS;
}
