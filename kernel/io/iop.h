/* iop.h: declarations shared by the files of io/. */
#ifndef _IOP_H_
#define _IOP_H_

#include <io.h>
#include <ldr.h>
#include <ob.h>
#include <pci.h>
#include <ring.h>

/* A pool tag, the first character first in memory. */
#define IOP_TAG(A, B, C, D) ((ULONG)(A) | (ULONG)(B) << 8 | (ULONG)(C) << 16 | (ULONG)(D) << 24)
#define TAG_IO IOP_TAG('I', 'o', ' ', ' ')

#define TAG_IRP IOP_TAG('I', 'r', 'p', ' ')
#define TAG_FILE IOP_TAG('F', 'i', 'l', 'e')
#define TAG_MDL IOP_TAG('M', 'd', 'l', ' ')

extern struct _OBJECT_TYPE IopDeviceType, IopDriverType, IopFileType;

/* ---- Devices (device.c, attach.c) ---- */
/* The system's part of a device, behind the driver's extension. Guarded by IopDeviceLock. */
typedef struct _IOP_DEVICE {
    PDEVICE_OBJECT Device;
    BOOLEAN IsDeletePending; /* its memory goes with the last open file */
    BOOLEAN IsStartIoDeferred, IsStartIoNonCancelable;
    volatile LONG StartIoCount; /* calls of IoStartNextPacket in progress (packet.c) */
    PDEVICE_OBJECT AttachedTo;  /* the device below it in the stack */
    LIST_ENTRY ShutdownEntry;   /* in a list of shutdown.c, or empty */
} IOP_DEVICE, *PIOP_DEVICE;

extern KSPIN_LOCK IopDeviceLock;
static FORCEINLINE PIOP_DEVICE IopGetDeviceExtension(PDEVICE_OBJECT Device) {
    return Device->DeviceObjectExtension;
}
/* <= DISPATCH_LEVEL. Counts one more open file; keeps the memory, not the driver. STATUS_NO_SUCH_DEVICE while it is
 * initializing or being deleted, STATUS_ACCESS_DENIED for a second open of an exclusive one. */
NTSTATUS IopReferenceDevice(PDEVICE_OBJECT Device, BOOLEAN IsRelative);
VOID IopDereferenceDevice(PDEVICE_OBJECT Device);

/* For files of the ring that keep something for a device or a driver object. PASSIVE_LEVEL. */
typedef enum _IOP_OBJECT_EVENT {
    DeviceCreated,
    DeviceDeleted,
    DeviceForgotten,
    DriverCreated,
    DriverDeleted,
    DriverGone
} IOP_OBJECT_EVENT;
typedef VOID IOP_OBJECT_ROUTINE(PVOID Object, IOP_OBJECT_EVENT Event);
#define IOP_OBJECT_WATCH(Routine_) static IOP_OBJECT_ROUTINE *const Routine_##Row KE_ROW(".iowatch") = Routine_
VOID IopTellOfObject(PVOID Object, IOP_OBJECT_EVENT Event);
/* Gives a new device its name. NULL: devices have no names, and are found through their drivers. */
extern NTSTATUS (*IopNameHook)(PDEVICE_OBJECT Device, PUNICODE_STRING Name, ULONG Characteristics);

/* ---- Drivers (driver.c, driverextension.c) ---- */
struct _IOP_CLIENT;
/* One object: driver object, extension, and the text of "\Driver\NAME". */
typedef struct _IOP_DRIVER {
    DRIVER_OBJECT Object;
    DRIVER_EXTENSION Extension;
    struct _IOP_CLIENT *Clients; /* its extensions (driverextension.c); guarded by IopDeviceLock */
    WCHAR Name[8 + LDR_NAME_BYTES];
} IOP_DRIVER, *PIOP_DRIVER;

/* ---- IRPs that the I/O manager sends itself (request.c) ---- */
/* IRP.Reserved, which no driver has a use for */
#define IOP_IRP_WAITED 0x01       /* completion sets UserEvent and does nothing else: the sender does the rest */
#define IOP_IRP_HOLDS_THREAD 0x02 /* Tail.Overlay.Thread is referenced */
#define IOP_IRP_HOLDS_FILE 0x04   /* OriginalFileObject is referenced */
#define IOP_IRP_HOLDS_EVENT 0x08  /* UserEvent is an object that is referenced */
#define IOP_IRP_FROM_ZW 0x10      /* an event of the file object is to be set too */
#define IOP_IRP_QUEUED 0x20       /* it ends in its thread: threadirp.c, whose lock guards this and the next two */
#define IOP_IRP_COMPLETING 0x40   /* it has no stack location any more */
#define IOP_IRP_ORPHAN 0x80       /* its thread has ended */
#define IOP_IRP_FROM_POOL 0x100   /* IoAllocateIrp's: the driver must not use its memory for anything else */
#define IOP_IRP_SENT 0x200        /* in a list of threadirp.c, whose lock guards this too */

/* ---- The lists of threadirp.c, besides each thread's own; the lock guards all ---- */
extern KSPIN_LOCK IopThreadIrpLock;
extern LIST_ENTRY IopOrphanIrps; /* their thread has ended */
extern LIST_ENTRY IopSentIrps;   /* they end in no thread: from their first driver to their last, if that is noted */
PIRP IopCountDownIn(const LIST_ENTRY *Head,
                    PULONG Index); /* the *Index-th, or NULL: *Index is less by those there are */

/* ---- Requests that end in their threads (threadirp.c). <= DISPATCH_LEVEL. Without the ring they are not listed: there
 * no thread that sends requests ends before they do ---- */
typedef struct _IOP_THREAD_IRPS {
    VOID (*Queue)(PIRP Irp);
    VOID (*Unqueue)(PIRP Irp);
    VOID (*ForgetSent)(PIRP Irp);
    BOOLEAN (*BeginCompletion)(PIRP Irp);
} IOP_THREAD_IRPS;
extern const IOP_THREAD_IRPS *IopThreadIrps;
extern VOID (*IopSentHook)(PIRP Irp); /* its first driver is about to be called */

/* Tail.Overlay.Thread is set. */
static FORCEINLINE VOID IopQueueThreadIrp(PIRP Irp) {
    if (IopThreadIrps != NULL) {
        IopThreadIrps->Queue(Irp);
    }
}

/* It is freed, or made anew. */
static FORCEINLINE VOID IopUnqueueThreadIrp(PIRP Irp) {
    if (Irp->Reserved & IOP_IRP_QUEUED) {
        IopThreadIrps->Unqueue(Irp);
    }
}

/* It has passed its last driver, or goes. */
static FORCEINLINE VOID IopForgetSentIrp(PIRP Irp) {
    if (Irp->Reserved & IOP_IRP_SENT) {
        IopThreadIrps->ForgetSent(Irp);
    }
}

/* FALSE: the requester is gone. */
static FORCEINLINE BOOLEAN IopBeginThreadCompletion(PIRP Irp) {
    return !(Irp->Reserved & IOP_IRP_QUEUED) || IopThreadIrps->BeginCompletion(Irp);
}
/* For IopSendAndWait, when the driver has returned an answer. TRUE: without completing the IRP, which is the driver's
 * from now on, so that the sender's frame may go. */
BOOLEAN IopLeaveIrp(PIRP Irp);

/* For File's device, with the next location filled in as far as all requests have it. NULL: no memory. */
PIRP IopAllocateFileIrp(PFILE_OBJECT File, PDEVICE_OBJECT Device, UCHAR MajorFunction);
/* Sends the IRP, waits for it if it is pended, copies its output back, frees it. Result is left alone when the driver
 * returns an error at once, or returns without completing the IRP. At the IRQL of the caller. */
NTSTATUS IopSendAndWait(PDEVICE_OBJECT Device, PIRP Irp, PIO_STATUS_BLOCK Result);

/* ---- The buffers of a request (buffer.c) ---- */
/* After completion, in the requester's context: output, buffers, MDLs. <= APC_LEVEL unless all is resident. */
VOID IopReturnBuffers(PIRP Irp);
/* Buffers that a driver gets by their frames (mdl.c). Without the ring: STATUS_NOT_SUPPORTED. */
typedef struct _IOP_DIRECT_BUFFERS {
    NTSTATUS (*Attach)(PIRP Irp, PVOID Buffer, ULONG Length, LOCK_OPERATION Operation); /* locks it. <= APC_LEVEL */
    VOID (*Free)(PIRP Irp); /* unlocks it. <= DISPATCH_LEVEL */
} IOP_DIRECT_BUFFERS;
extern const IOP_DIRECT_BUFFERS *IopDirectBuffers;
static FORCEINLINE VOID IopFreeMdls(PIRP Irp) {
    if (Irp->MdlAddress != NULL && IopDirectBuffers != NULL) {
        IopDirectBuffers->Free(Irp);
    }
}
VOID IopReturnStatus(PIRP Irp, PIO_STATUS_BLOCK Result); /* then; a bad address is ignored, as on NT */
/* The buffer of a transfer as the device's flags want it; IsToDevice: the driver reads from it. No length, no buffer.
 * STATUS_ACCESS_VIOLATION, also from the next two: no memory can be there. Only copies for a Zw call are guarded. */
NTSTATUS IopAttachTransferBuffer(PIRP Irp, PDEVICE_OBJECT Device, PVOID Buffer, ULONG Length, BOOLEAN IsToDevice);
NTSTATUS IopAttachSystemBuffer(PIRP Irp, PVOID Input, ULONG InputLength, PVOID Output, ULONG OutputLength);
NTSTATUS IopAttachDirect(PIRP Irp, PVOID Buffer, ULONG Length, LOCK_OPERATION Operation); /* by its frames */
PIRP IopAllocateThreaded(PDEVICE_OBJECT Device); /* build.c: for a request that ends in this thread; NULL: no memory */
/* The buffers of a control request by its method. */
NTSTATUS IopAttachControlBuffers(PIRP Irp, ULONG Method, PVOID Input, ULONG InputLength, PVOID Output,
                                 ULONG OutputLength);
VOID IopDropIrp(PIRP Irp); /* one that was never sent, or whose requester is gone: buffers, references, memory */

/* ---- Files (fileobject.c, create.c) ---- */
/* A call on a handle, from its checks to its end: file.c. */
typedef struct _IOP_CALL {
    PFILE_OBJECT File;
    PDEVICE_OBJECT Device; /* the top of the file's stack */
    ACCESS_MASK Granted;
    PKEVENT Event; /* the caller's, referenced, or NULL */
} IOP_CALL, *PIOP_CALL;

/* The parameters of an open, beside OBJECT_ATTRIBUTES. */
typedef struct _IOP_OPEN {
    ACCESS_MASK DesiredAccess; /* mapped */
    LARGE_INTEGER AllocationSize;
    ULONG FileAttributes, ShareAccess, Disposition, CreateOptions;
    PVOID EaBuffer;
    ULONG EaLength;
    UCHAR StackFlags; /* SL_OPEN_TARGET_DIRECTORY */
    IO_STATUS_BLOCK Result;
} IOP_OPEN, *PIOP_OPEN;

/* IRP_MJ_CREATE for the object of that name; File is referenced and has no handle. */
NTSTATUS IopOpenFile(POBJECT_ATTRIBUTES ObjectAttributes, PIOP_OPEN Open, PFILE_OBJECT *File);
VOID IopAcquireFileLock(PFILE_OBJECT File); /* of a synchronous file: one request at a time. <= APC if contended */
VOID IopReleaseFileLock(PFILE_OBJECT File);

/* STATUS_INVALID_HANDLE, STATUS_OBJECT_TYPE_MISMATCH, STATUS_ACCESS_DENIED. Event may be NULL. */
NTSTATUS IopBeginCall(HANDLE FileHandle, ACCESS_MASK AnyOf, HANDLE Event, PIOP_CALL Call);
VOID IopEndCall(PIOP_CALL Call);
/* Sends the IRP of a call: for a synchronous file it waits, otherwise the IRP ends by APC in this thread. IoStatusBlock,
 * ApcRoutine and ApcContext are the caller's. The IRP is no longer the caller's. */
NTSTATUS IopPerformCall(PIOP_CALL Call, PIRP Irp, PIO_APC_ROUTINE ApcRoutine, PVOID ApcContext,
                        PIO_STATUS_BLOCK IoStatusBlock);
/* The same by a caller that holds the file's lock, if the file is synchronous. */
NTSTATUS IopPerformLocked(PIOP_CALL Call, PIRP Irp, PIO_APC_ROUTINE ApcRoutine, PVOID ApcContext,
                          PIO_STATUS_BLOCK IoStatusBlock);
/* The same, always waited for: for calls without an event. */
NTSTATUS IopPerformAndWait(PIOP_CALL Call, PIRP Irp, PIO_STATUS_BLOCK IoStatusBlock);

/* ---- PCI (pcibar.c) ---- */
/* Fills Device->Bar; the device does not decode for a moment. At the bus scan. */
VOID IopMeasurePciBars(PPCI_DEVICE Device);

/* ---- Interrupts (interrupt.c) ---- */
#define IOP_DEVICE_IRQL 6 /* of every device interrupt: all come by message, so none shares a line with a slower one */

struct _KINTERRUPT {
    PKSERVICE_ROUTINE ServiceRoutine;
    PVOID ServiceContext;
    KSPIN_LOCK SpinLock; /* held while ServiceRoutine runs */
    KIRQL SynchronizeIrql;
    UCHAR Vector;
    ULONG Processor; /* the one that the message goes to */
    volatile ULONG *MsixEntry;
    SIZE_T MsixEntryBytes;
};

/* PASSIVE_LEVEL. The vector works from here on; the device does not send it yet. NULL: no vector or no memory. */
PKINTERRUPT IopCreateInterrupt(PKSERVICE_ROUTINE ServiceRoutine, PVOID ServiceContext);
/* PASSIVE_LEVEL; the device no longer sends the vector. Waits for a routine that still runs. */
VOID IopDeleteInterrupt(PKINTERRUPT Interrupt);

/* ---- Disks (block.c) ---- */
ULONG IopInsertBlockDevice(PBLOCK_DEVICE Device);
BOOLEAN IopSetVolumeDisk(PBLOCK_DEVICE Device); /* C:, unless there is one */

#endif
