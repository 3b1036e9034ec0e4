/* block.h: the one interface between disk drivers and whoever pages, an addition of this kernel to WDM.
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
    /* For a machine that is dying: any IRQL, one CPU running. The first call takes the device over, whatever state
     * the CPUs that are now frozen left it in: requests in flight are forgotten. From then on Submit takes no lock,
     * and each call of Poll completes what is ready, at the caller's IRQL. So: Poll, Submit, Poll until Status
     * changes. */
    VOID (*Poll)(struct _BLOCK_DEVICE *Device);
    PVOID Extension;
} BLOCK_DEVICE, *PBLOCK_DEVICE;

/* Devices get roles in the order of registration: the page file, then the crash dump. The device and its name stay
 * for ever. STATUS_NOT_SUPPORTED: too small to be of use, said on the console. PASSIVE_LEVEL, from DriverEntry. */
NTSTATUS IoRegisterBlockDevice(PBLOCK_DEVICE Device);

/* seed= of the command line: 0 is a run that need not be repeatable. Any IRQL. */
ULONG64 KeQueryBootSeed(VOID);

/* Queues Dpc at the next interrupt of CPU Processor's clock: a tick, or the jitter of a seeded run, which comes after
 * some hundred to some thousand instructions. One DPC may wait on each CPU: FALSE, another one does. Any IRQL. */
BOOLEAN KeQueueDpcAtClock(PKDPC Dpc, ULONG Processor);

#ifdef __cplusplus
}
#endif
#endif
