/* stacks.c: kernel stacks: resident, two guard pages below, a few kept for the next thread.
 *
 *      Va                  Va + 8 KiB               StackBase
 *      | 2 guard pages      |  <--- stack grows ----|
 *
 * The first push beyond the end hits a guard page; the CPU cannot push the page fault's frame either, and that is a
 * double fault (0x7F, 8) on a stack of its own: an overflow never damages a neighbour. Two, because a driver's function
 * that makes room for an array of variable length moves RSP by a page before it touches the page above. */
#include "mi.h"

#define CACHED_STACKS 8

KE_DECLARE_LOCK(MmStackLock, RANK_PFN - 2, "kernel stacks kept for reuse");

static ULONG64 Cached[CACHED_STACKS]; /* StackBase of stacks of KERNEL_STACK_SIZE */
static ULONG CachedCount;

static ULONG64 TakeCached(VOID) {
    KIRQL OldIrql = KeAcquireSpinLockRaiseToDpc(&MmStackLock);
    ULONG64 StackBase = CachedCount == 0 ? 0 : Cached[--CachedCount];
    KeReleaseSpinLock(&MmStackLock, OldIrql);
    return StackBase;
}

static BOOLEAN PutCached(ULONG64 StackBase) {
    KIRQL OldIrql = KeAcquireSpinLockRaiseToDpc(&MmStackLock);
    BOOLEAN IsKept = CachedCount < CACHED_STACKS;
    if (IsKept) {
        Cached[CachedCount++] = StackBase;
    }
    KeReleaseSpinLock(&MmStackLock, OldIrql);
    return IsKept;
}

/* Returns the stack's highest address + 1, or 0. Bytes is a multiple of the page size; contents are undefined.
 * <= DISPATCH_LEVEL (HIGH_LEVEL on the boot CPU), no lock of RANK_PFN or above held. */
ULONG64 MmCreateKernelStack(SIZE_T Bytes) {
    ULONG64 Pages = BYTES_TO_PAGES(Bytes), StackBase = 0;
    if (Bytes == KERNEL_STACK_SIZE && KiCurrentIrql() <= DISPATCH_LEVEL && (StackBase = TakeCached()) != 0) {
        return StackBase;
    }
    ULONG64 Va = MiReserveRange(&MiStackRange, Pages + MM_STACK_GUARD_PAGES);
    if (Va == 0) {
        return 0;
    }
    if (!MiMapResidentPages(Va + MM_STACK_GUARD_PAGES * PAGE_SIZE, Pages, MI_DATA_BITS, FALSE)) {
        MiReleaseRange(&MiStackRange, Va, Pages + MM_STACK_GUARD_PAGES);
        return 0;
    }
    return Va + ((Pages + MM_STACK_GUARD_PAGES) << PAGE_SHIFT);
}

/* No thread may run on the stack any more. <= DISPATCH_LEVEL, same locks. */
VOID MmDeleteKernelStack(ULONG64 StackBase, SIZE_T Bytes) {
    ULONG64 Pages = BYTES_TO_PAGES(Bytes), Va = StackBase - ((Pages + MM_STACK_GUARD_PAGES) << PAGE_SHIFT);
    if (Bytes == KERNEL_STACK_SIZE && PutCached(StackBase)) {
        return;
    }
    MiUnmapPages(Va + MM_STACK_GUARD_PAGES * PAGE_SIZE, Pages);
    MiReleaseRange(&MiStackRange, Va, Pages + MM_STACK_GUARD_PAGES);
}

/* The bounds of the stack that the caller runs on: its thread's, or inside a DPC the CPU's own. <= DISPATCH_LEVEL. */
VOID IoGetStackLimits(PULONG_PTR LowLimit, PULONG_PTR HighLimit) {
    ULONG64 Here = (ULONG64)__builtin_frame_address(0), DpcStack = KeGetCurrentPrcb()->DpcStack;
    PKTHREAD Thread = KeGetCurrentThread();
    BOOLEAN IsDpc = Here < DpcStack && Here >= DpcStack - DPC_STACK_SIZE;
    *HighLimit = IsDpc ? DpcStack : Thread->StackBase;
    *LowLimit = IsDpc ? DpcStack - DPC_STACK_SIZE : Thread->StackLimit;
}

/* Bytes between the caller's frame and the end of its stack. <= DISPATCH_LEVEL. */
ULONG_PTR IoGetRemainingStackSize(VOID) {
    ULONG_PTR LowLimit, HighLimit;
    IoGetStackLimits(&LowLimit, &HighLimit);
    return (ULONG_PTR)__builtin_frame_address(0) - LowLimit;
}
