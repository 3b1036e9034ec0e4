/* iop.h: what the files of io/ know of each other and nobody else does. */
#ifndef _IOP_H_
#define _IOP_H_

#include <io.h>
#include <pci.h>

#define IO_TYPE_DEVICE 3
#define IO_TYPE_DRIVER 4
#define IO_TYPE_FILE 5
#define IO_TYPE_IRP 6
/* A pool tag, the first character first in memory. */
#define IOP_TAG(A, B, C, D) ((ULONG)(A) | (ULONG)(B) << 8 | (ULONG)(C) << 16 | (ULONG)(D) << 24)
#define TAG_IO IOP_TAG('I', 'o', ' ', ' ')

/* ---- Devices (device.c) ---- */
/* The system's part of a device, in front of the driver's. Links and flags are guarded by IopDeviceLock. */
typedef struct _IOP_DEVICE {
    LIST_ENTRY NameListEntry;                /* in the list of devices with a name, or empty */
    UNICODE_STRING Name;                     /* in the piece of pool behind the extension */
    BOOLEAN IsDeletePending;                 /* freed with the last reference */
    DEVICE_OBJECT DECLSPEC_ALIGN(16) Device; /* the driver's extension follows */
} IOP_DEVICE, *PIOP_DEVICE;

/* <= DISPATCH_LEVEL. The reference keeps the memory, not the driver. Exclusive devices have one at most. */
NTSTATUS IopReferenceDevice(PCUNICODE_STRING Name, PDEVICE_OBJECT *Device);
VOID IopDereferenceDevice(PDEVICE_OBJECT Device);

/* ---- PCI (pciconfig.c) ---- */
VOID IopScanPci(VOID); /* PASSIVE_LEVEL, once */

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

/* PASSIVE_LEVEL. The vector works from here on; nobody sends it yet. NULL: no vector or no memory. */
PKINTERRUPT IopCreateInterrupt(PKSERVICE_ROUTINE ServiceRoutine, PVOID ServiceContext);
/* PASSIVE_LEVEL; nobody sends the vector any more. Waits out a routine that still runs. */
VOID IopDeleteInterrupt(PKINTERRUPT Interrupt);

/* ---- Disks (block.c) ---- */
ULONG IopInsertBlockDevice(PBLOCK_DEVICE Device);
BOOLEAN IopSetVolumeDisk(PBLOCK_DEVICE Device); /* C:, unless there is one */

/* ---- C: for machines without a disk that has one (ramvolume.c) ---- */
VOID IopCreateRamVolume(VOID); /* PASSIVE_LEVEL */

/* ---- The disk for machines without one (ramstore.c) ---- */
VOID IopCreateRamStore(VOID); /* PASSIVE_LEVEL */

#endif
