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
    LIST_ENTRY ListEntry;      /* the driver's */
    BOOLEAN IsWrite;
    ULONG64 Sector;
    ULONG64 PhysicalAddress;   /* one contiguous buffer */
    ULONG LengthBytes;         /* multiple of BLOCK_SECTOR_SIZE, at most BLOCK_DEVICE.MaximumBytes */
    NTSTATUS Status;           /* STATUS_PENDING until complete */
    VOID (*Complete)(struct _BLOCK_REQUEST *Request); /* at DISPATCH_LEVEL, after Status is set; may start a new request */
    PVOID Context;
    PVOID DriverContext[2];
} BLOCK_REQUEST, *PBLOCK_REQUEST;

typedef struct _BLOCK_DEVICE {
    LIST_ENTRY ListEntry;
    PCSTR Name;                /* "virtio-blk at 00:03.0" */
    ULONG64 SectorCount;
    ULONG MaximumBytes;
    /* Starts a request; a full queue is the driver's to hold back. <= DISPATCH_LEVEL. */
    VOID (*Submit)(struct _BLOCK_DEVICE *Device, PBLOCK_REQUEST Request);
    /* Completes what is ready without interrupts, for a machine that is dying. Any IRQL, one CPU running. */
    VOID (*Poll)(struct _BLOCK_DEVICE *Device);
    PVOID Extension;
} BLOCK_DEVICE, *PBLOCK_DEVICE;

NTSTATUS IoRegisterBlockDevice(PBLOCK_DEVICE Device); /* PASSIVE, from DriverEntry */

#ifdef __cplusplus
}
#endif
#endif
