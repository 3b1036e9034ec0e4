/* verifier.h: Driver Verifier as the loader, the pool, threads and the bugcheck see it.
 *
 * "verifier" on the kernel's command line is the standard set; verifier=OPTION,OPTION chooses; verify=NAME,NAME names
 * the drivers (otherwise each one that is not part of the machine: disks and their file system). A verified driver's
 * imports lead to thunks, which check and then make the call. Documented as Driver Verifier, with its bits. */
#ifndef _VERIFIER_H_
#define _VERIFIER_H_

#include <ke.h>
#include <ldr.h>

/* ---- Options: Driver Verifier's own bits ---- */
#define VF_SPECIAL_POOL 0x1u
#define VF_IRQL 0x2u /* trims before each raise; objects in pageable memory; waits, regions and locks at a wrong IRQL */
#define VF_LOW_RESOURCES 0x4u
#define VF_TRACKING 0x8u
#define VF_IO 0x10u
#define VF_DEADLOCK 0x20u
#define VF_MISC 0x800u
#define VF_STANDARD (VF_SPECIAL_POOL | VF_IRQL | VF_TRACKING | VF_IO | VF_DEADLOCK | VF_MISC)
extern ULONG VfOptions; /* 0: no driver is verified. Set before the first driver is bound, constant then. */

/* ---- The loader ---- */
/* The driver loaded next under this name ("secret"; NULL: every driver) is verified. PASSIVE. */
VOID VfEnable(PCSTR Driver);
BOOLEAN VfIsVerified(PCSTR Driver); /* PASSIVE */
/* DriverUnload has run, or DriverEntry has failed; nothing of the driver runs. PASSIVE. 0xC4 (0x62, ...): pool left. */
VOID VfDriverUnloaded(PKLDR_DATA_TABLE_ENTRY Module);

/* ---- The pool ---- */
extern volatile LONG VfTrackedBlocks;
VOID VfNotifyFree(PVOID P, ULONG Tag); /* before the block is freed; IRQL of the caller's */

/* Where the current thread is: from its first frame outside the kernel to the next frame of the kernel; the rest of
 * Frames is cleared. Any IRQL. */
VOID VfCaptureStack(PVOID *Frames, ULONG Maximum);

/* ---- IofCallDriver ---- */
NTSTATUS VfCallDispatch(PDRIVER_DISPATCH Routine, PDEVICE_OBJECT DeviceObject, PIRP Irp);

/* ---- Numbers for !verifier ---- */
typedef struct _VF_STATISTICS {
    volatile LONG RaiseIrqls, AcquireSpinLocks, SynchExecutions, Trims;
    volatile LONG AllocationsAttempted, AllocationsSucceeded, AllocationsSucceededSpecialPool;
    volatile LONG AllocationsFailed, AllocationsFailedDeliberately;
    volatile LONG CurrentPagedAllocations, CurrentNonPagedAllocations, PeakPagedAllocations, PeakNonPagedAllocations;
    volatile LONG64 CurrentPagedBytes, CurrentNonPagedBytes, PeakPagedBytes, PeakNonPagedBytes;
    volatile LONG DeadlockNodes, DeadlockEdges, DeadlockDropped;
} VF_STATISTICS;
extern VF_STATISTICS VfStatistics;

#endif
