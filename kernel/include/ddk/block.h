/* block.h: the interface between disk drivers and the pager, an addition of this kernel to WDM.
 *
 * A request is started in any context at <= DISPATCH_LEVEL, completes through ISR -> DPC, and its completion routine
 * runs at DISPATCH_LEVEL: it usually sets an event on which a thread waits at <= APC_LEVEL. */
#ifndef _BLOCK_H_
#define _BLOCK_H_

#include <wdm.h>

#ifdef __cplusplus
extern "C" {
#endif

#define BLOCK_SECTOR_SIZE 512

typedef struct _BLOCK_REQUEST {
    LIST_ENTRY ListEntry; /* the driver's */
    BOOLEAN IsWrite;
    ULONG64 Sector;
    ULONG64 PhysicalAddress; /* one contiguous buffer */
    ULONG LengthBytes;       /* multiple of BLOCK_SECTOR_SIZE, at most BLOCK_DEVICE.MaximumBytes */
    NTSTATUS Status;         /* STATUS_PENDING until complete */
    /* At DISPATCH_LEVEL, after Status is set. May start a new request. */
    VOID (*Complete)(struct _BLOCK_REQUEST *Request);
    PVOID Context;
    PVOID DriverContext[2];
} BLOCK_REQUEST, *PBLOCK_REQUEST;

typedef struct _BLOCK_DEVICE {
    LIST_ENTRY ListEntry;
    PCSTR Name; /* "virtio-blk at 00:03.0" */
    ULONG64 SectorCount;
    ULONG MaximumBytes;
    /* Starts a request; a full queue is the driver's to hold back. <= DISPATCH_LEVEL. */
    VOID (*Submit)(struct _BLOCK_DEVICE *Device, PBLOCK_REQUEST Request);
    /* For a machine that is dying: any IRQL, one CPU running. The first call takes the device over, in any state that
     * the CPUs now frozen left it in: requests in flight are forgotten. From then on Submit takes no lock, and each
     * call of Poll completes the requests that are ready, at the caller's IRQL. So: Poll, Submit, Poll until Status
     * changes. */
    VOID (*Poll)(struct _BLOCK_DEVICE *Device);
    PVOID Extension;
} BLOCK_DEVICE, *PBLOCK_DEVICE;

/* Sector 0 decides: the first disk that begins with a FAT boot sector is the volume C:. The others get roles in the
 * order of registration: the page file, then the crash dump. The device and its name stay forever.
 * STATUS_NOT_SUPPORTED: too small to be of use, or a second volume; an error of the disk: sector 0 cannot be read, so
 * a page file might overwrite something. Each with a message. PASSIVE_LEVEL, from DriverEntry. */
NTSTATUS IoRegisterBlockDevice(PBLOCK_DEVICE Device);

/* The disk that is C:, or NULL. Any IRQL. */
PBLOCK_DEVICE IoGetVolumeDisk(VOID);

/* ---- Views of a disk, through which a file system sees its metadata, as by CcMapData on Windows NT ----
 * A view maps one page of the disk at an address of its own, for one operation: the page table gets an entry that is
 * not valid and names the cached page, and the first touch is a soft fault. So a look through a view at
 * DISPATCH_LEVEL stops the machine, however often the page was read before. */
typedef struct _DISK_VIEW {
    const UCHAR *Data; /* read-only; the bytes at the offset asked for, valid to the end of their page */
    PVOID Page;        /* the memory manager's */
    ULONG Slot;
} DISK_VIEW, *PDISK_VIEW;

/* <= APC_LEVEL: reads the page if need be; an error of the disk, or STATUS_INSUFFICIENT_RESOURCES. At DISPATCH_LEVEL
 * it reads nothing and succeeds, for a view that must not be touched there. */
NTSTATUS MmMapDiskView(PBLOCK_DEVICE Device, ULONG64 Offset, PDISK_VIEW View);
VOID MmUnmapDiskView(PDISK_VIEW View); /* <= DISPATCH_LEVEL */

/* The same page where it lies, as CcPinRead gives it: no address of its own, no fault. <= APC_LEVEL. */
NTSTATUS MmPinDiskPage(PBLOCK_DEVICE Device, ULONG64 Offset, PDISK_VIEW View);
VOID MmUnpinDiskPage(PDISK_VIEW View); /* <= DISPATCH_LEVEL */

/* Through the same cache; any offset and length. A write has reached the disk when it returns; Buffer NULL writes
 * zeros. After a failed write the cache reads the disk again. The caller serialises calls that must not mix. <=
 * APC_LEVEL, may fault on Buffer. */
NTSTATUS MmReadDisk(PBLOCK_DEVICE Device, ULONG64 Offset, PVOID Buffer, ULONG Length);
NTSTATUS MmWriteDisk(PBLOCK_DEVICE Device, ULONG64 Offset, PCVOID Buffer, ULONG Length);

/* seed= of the command line: 0 is a run that need not be repeatable. Any IRQL. */
ULONG64 KeQueryBootSeed(VOID);

/* Queues Dpc at the next interrupt of CPU Processor's clock: a tick, or the jitter of a seeded run, which comes after
 * some hundred to some thousand instructions. One DPC may wait on each CPU: FALSE, another one does. Any IRQL. */
BOOLEAN KeQueueDpcAtClock(PKDPC Dpc, ULONG Processor);

#ifdef __cplusplus
}
#endif
#endif
