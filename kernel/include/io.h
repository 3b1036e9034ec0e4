/* io.h: drivers, devices and IRPs inside the kernel; the block interface between disk and pager. */
#ifndef _IO_H_
#define _IO_H_

#include <ke.h>
#include <block.h>

#define IO_TYPE_DEVICE 3
#define IO_TYPE_DRIVER 4
#define IO_TYPE_FILE 5
#define IO_TYPE_IRP 6

struct _KLDR_DATA_TABLE_ENTRY;
VOID IoScanPci(VOID);          /* PASSIVE, first thread, while no other CPU runs: pcibar.c says why */
VOID IoInitializeSystem(VOID); /* init/disks.c. PASSIVE, first thread: the disk drivers in their order */
PDRIVER_OBJECT IopCreateDriverObject(struct _KLDR_DATA_TABLE_ENTRY *Module); /* NULL: no memory */
VOID IopDeleteDriverObject(PDRIVER_OBJECT DriverObject);
VOID IopReadyDevices(
    PDRIVER_OBJECT DriverObject);        /* DriverEntry has returned: its devices can be opened. <= DISPATCH */
VOID IoShutdownSystem(VOID);             /* IRP_MJ_SHUTDOWN to the drivers that asked for it. PASSIVE, waits */
BOOLEAN IoHasShutdownNotification(VOID); /* any device waits for that. Any IRQL, a snapshot */
NTSTATUS IoFindDevice(PCSTR Name, PDEVICE_OBJECT *Device); /* "\Device\Secret"; no reference is taken */

/* Memory of an IRP, for ExFreePool, or NULL. <= DISPATCH. The pool's, unless the verifier watches IRPs: one store,
 * before the first driver is bound. */
extern PVOID (*IoAllocateIrpMemory)(SIZE_T Bytes);
BOOLEAN IoIsIrpOfThread(PIRP Irp); /* it ends in a thread, which frees it. Any IRQL */
BOOLEAN IoIsIrpSent(PIRP Irp);     /* it ends in no thread, and a driver has it; only after IoNoteSentIrps. Any IRQL */
/* Called with each request that is about to end in the current thread: its status block and event are still as the
 * requester gave them. APC_LEVEL. A hook of the ring. */
extern VOID (*IoRequesterHook)(PIRP Irp);

/* From now on requests that end in no thread are noted too. PASSIVE, before there are such requests. */
VOID IoNoteSentIrps(VOID);
/* The disk with this role: 0 page file, 1 crash dump. NULL: none. */
PBLOCK_DEVICE IoGetBlockDevice(ULONG Role);
PBLOCK_DEVICE IoGetDumpDisk(VOID); /* the one that is marked for the crash dump, else that of role 1 */
/* Waits for the disk. <= APC_LEVEL. Complete and Context are filled in here. */
NTSTATUS IoTransferBlocks(PBLOCK_DEVICE Device, PBLOCK_REQUEST Request);

extern volatile LONG64 IoInterruptCount; /* device interrupts since the start */
/* Called by the clock's and the jitter's interrupt on each CPU: releases the DPC of KeQueueDpcAtClock. >= DISPATCH_LEVEL. */
VOID KeReleaseClockDpc(VOID);

#endif
