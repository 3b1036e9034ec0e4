/* vf.h: declarations shared by the files of the verifier (vf/).
 *
 * A thunk is called by a verified driver in place of the kernel's function of that name, at the driver's IRQL, with
 * the driver's arguments. It must look like the function in every way but its checks. */
#ifndef _VF_H_
#define _VF_H_

#include <kd.h>
#include <mm.h>
#include <ring.h>
#include <rtl.h>
#include <verifier.h>

/* One import; a table ends with a row whose Import is NULL. */
typedef struct _VF_THUNK {
    PCSTR Import;
    const void *Thunk;
} VF_THUNK;
extern const VF_THUNK VfIrqlThunks[], VfSpinLockThunks[], VfWaitThunks[], VfMutexThunks[], VfResourceThunks[],
    VfPoolThunks[], VfObjectThunks[], VfIoThunks[], VfSendThunks[], VfDeviceThunks[], VfServiceThunks[];

static FORCEINLINE BOOLEAN VfHas(ULONG Option) {
    return (VfOptions & Option) != 0;
}

/* DRIVER_VERIFIER_DETECTED_VIOLATION. */
#define VF_STOP(Rule, P2, P3, P4) \
    KeBugCheckEx(DRIVER_VERIFIER_DETECTED_VIOLATION, (Rule), (ULONG_PTR)(P2), (ULONG_PTR)(P3), (ULONG_PTR)(P4))

/* DRIVER_VERIFIER_IOMANAGER_VIOLATION. */
#define VF_IO_STOP(Rule, P2, P3, P4) \
    KeBugCheckEx(DRIVER_VERIFIER_IOMANAGER_VIOLATION, (Rule), (ULONG_PTR)(P2), (ULONG_PTR)(P3), (ULONG_PTR)(P4))

#define VF_FRAMES 6 /* of a stack that is kept */

/* ---- verifierirql.c ---- */
/* <= DISPATCH_LEVEL, before IRQL goes to NewIrql: takes all pageable memory away, if it was not high already. */
VOID VfTrimBeforeRaise(KIRQL NewIrql);
/* The current thread's normal kernel APCs cannot run: a critical or guarded region, or APC_LEVEL. */
BOOLEAN VfAreApcsDisabled(VOID);

/* ---- verifierobject.c ---- */
/* An object that is touched at DISPATCH_LEVEL lies in resident memory, otherwise 0xC4 (0xE1, object, 0, 0). */
VOID VfCheckResident(const void *Object);
BOOLEAN VfIsPageableAddress(ULONG64 Va);
BOOLEAN VfIsOnStack(const void *Address); /* the current thread's */
/* Objects that a driver must delete before it gives their memory back. Table under one lock. <= DISPATCH_LEVEL. */
typedef enum _VF_OBJECT_KIND { VfTimer, VfResource } VF_OBJECT_KIND;
BOOLEAN VfRegisterObject(PVOID Object, VF_OBJECT_KIND Kind);         /* FALSE: it was there already */
BOOLEAN VfUnregisterObject(PVOID Object, VF_OBJECT_KIND Kind);       /* FALSE: it was not there */
VOID VfCheckFreedRange(ULONG64 Start, SIZE_T Bytes, BOOLEAN IsPool); /* 0xC4 0x15, 0x17, 0xD2, 0xC7 */

/* ---- verifierirp.c ---- */
/* A request that a dispatch routine is busy with. */
typedef struct _VF_DISPATCH {
    LIST_ENTRY ListEntry;
    PIRP Irp; /* compared, never read: it may be gone */
    PDEVICE_OBJECT Device;
    CHAR Location;
    PKTHREAD Thread;   /* that runs the routine */
    BOOLEAN IsWatched; /* the routine is a verified driver's */
    enum { VfIrpHeld, VfIrpPassedOn, VfIrpCompleted } Fate;
    NTSTATUS CompletedWith;
} VF_DISPATCH;
VOID VfWatchIrps(VOID); /* from now on IRPs come from special pool; before the first driver is bound */
/* Around the call of the routine, on its caller's stack. <= DISPATCH_LEVEL. */
VOID VfBeginDispatch(VF_DISPATCH *Record, PDRIVER_DISPATCH Routine, PIRP Irp);
VOID VfEndDispatch(VF_DISPATCH *Record, PDRIVER_DISPATCH Routine, NTSTATUS Returned);
VOID VfMarkCompleted(PIRP Irp); /* IoCompleteRequest is about to be called. <= DISPATCH_LEVEL */
/* This thread's dispatch routine that has the request has passed it on, and it is not back yet. <= DISPATCH_LEVEL */
BOOLEAN VfIsBeneath(PIRP Irp);
BOOLEAN VfIsAllocatedIrp(const void *Address); /* one of IoAllocateIrp's, in special pool. Any IRQL */

/* ---- verifiertrack.c ---- */
/* <= DISPATCH_LEVEL. Remembers a block of the driver that Caller belongs to. FALSE: no memory for that. */
BOOLEAN VfTrackBlock(PVOID P, SIZE_T Bytes, ULONG Tag, BOOLEAN IsPaged, BOOLEAN HasTail, PVOID Caller);
BOOLEAN VfIsTracked(PVOID P); /* lies in such a block */
BOOLEAN VfIsBlock(PVOID P);   /* is the start of one */
#define VF_TAIL_BYTES 16      /* behind a block of normal pool: overwritten, it is 0xC4 0x51 when the block is freed */
BOOLEAN VfDescribeLeak(ULONG Line, PCHAR Buffer, SIZE_T Bytes);

/* ---- deadlock.c ---- */
typedef enum _VF_LOCK_KIND {
    VfSpinLock,
    VfReaderWriterSpinLock,
    VfMutex,
    VfFastMutex,
    VfGuardedMutex,
    VfEresource,
    VfPushLock
} VF_LOCK_KIND;
typedef enum _VF_LOCK_MODE { VfShared, VfExclusive } VF_LOCK_MODE;

/* All: any IRQL, no lock held that they take; nothing without VF_DEADLOCK. */
BOOLEAN VfDeadlockEnable(VOID);                                        /* PASSIVE; FALSE: no memory */
VOID VfLockInitialized(PVOID Lock, VF_LOCK_KIND Kind);                 /* 0x1005 */
VOID VfLockWanted(PVOID Lock, VF_LOCK_KIND Kind, VF_LOCK_MODE Mode);   /* before it may wait: 0x1000, 0x1001, 0x1002 */
VOID VfLockAcquired(PVOID Lock, VF_LOCK_KIND Kind, VF_LOCK_MODE Mode); /* once it is owned, by any call */
VOID VfLockReleased(PVOID Lock, VF_LOCK_KIND Kind);                    /* before it is: 0x1004, 0x1007 */
VOID VfLockConverted(PVOID Lock);                                      /* exclusive to shared */
VOID VfLockDeleted(PVOID Lock);                                        /* 0x100B when it is owned */
VOID VfForgetLocks(ULONG64 Start, SIZE_T Bytes);                       /* memory goes: 0x100B */
BOOLEAN VfIsLockOwned(PVOID Lock);

/* ---- deadlockreport.c ---- */
BOOLEAN VfDescribeDeadlock(ULONG Line, PCHAR Buffer, SIZE_T Bytes);
PCSTR VfLockKindName(VF_LOCK_KIND Kind);

#endif
