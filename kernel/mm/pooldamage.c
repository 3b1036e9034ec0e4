/* pooldamage.c: the table of pool bugchecks: each kind of damage, with the code that Windows has for it.
 *
 * The first parameter tells the kinds apart; the finder passes the other three. Damage to a block that
 * lies free is one more case: to callers of ExAllocatePool2 it is the heap's own 0x13A (0x12, heap, page, 0), the older
 * calls report what the classic allocator reports. */
#include "pool.h"

#define HEAP_USE_AFTER_FREE 0x12 /* or an overflow of a neighbour */

static const struct {
    ULONG Code, Reason;
} Classic[] = {
    /* The caller's mistakes */
    [PoolFreedTwice] = {BAD_POOL_CALLER, 0x07},
    [PoolAllocatedTooHigh] = {BAD_POOL_CALLER, 0x08},
    [PoolFreedTooHigh] = {BAD_POOL_CALLER, 0x09},
    [PoolFreedByOtherTag] = {BAD_POOL_CALLER, 0x0A},
    [PoolFreedUserAddress] = {BAD_POOL_CALLER, 0x40},
    [PoolFreedNoPool] = {BAD_POOL_CALLER, 0x42},
    [PoolFreedNull] = {BAD_POOL_CALLER, 0x46},
    [PoolMustSucceed] = {BAD_POOL_CALLER, 0x9A},
    [PoolTagZero] = {BAD_POOL_CALLER, 0x9B},
    [PoolTagBig] = {BAD_POOL_CALLER, 0x9C},
    [PoolTagUnreadable] = {BAD_POOL_CALLER, 0x9D},
    [PoolFreedMiddle] = {BAD_POOL_CALLER, 0x41286},
    /* Overwritten memory */
    [PoolFreeContents] = {BAD_POOL_HEADER, 0x03},
    [PoolNeighbours] = {BAD_POOL_HEADER, 0x05},
    [PoolParkedHeader] = {BAD_POOL_HEADER, 0x0D},
    [PoolHeader] = {BAD_POOL_HEADER, 0x20},
    [PoolBigTail] = {BAD_POOL_HEADER, 0x21},
    [PoolBigUnknown] = {BAD_POOL_HEADER, 0x22},
};

/* Stops the machine. Any IRQL. */
DECLSPEC_NORETURN VOID MiStopForPool(POOL_DAMAGE Damage, ULONG_PTR P2, ULONG_PTR P3, ULONG_PTR P4) {
    KeBugCheckEx(Classic[Damage].Code, Classic[Damage].Reason, P2, P3, P4);
}

/* The same for a block of Heap that lies free, found by a call of either kind. */
DECLSPEC_NORETURN VOID MiStopForFreeBlock(POOL_CALL Call, PPOOL_HEAP Heap, POOL_DAMAGE Damage, PPOOL_HEADER Header,
                                          ULONG_PTR P3, ULONG_PTR P4) {
    if (Call == PoolCallHeap) {
        KeBugCheckEx(KERNEL_MODE_HEAP_CORRUPTION, HEAP_USE_AFTER_FREE, (ULONG_PTR)Heap, (ULONG_PTR)PAGE_ALIGN(Header),
                     0);
    }
    MiStopForPool(Damage, (ULONG_PTR)Header, P3, P4);
}
