/* guardedmutex.c: the guarded mutex: since Windows 8 a fast mutex under another name, also at APC_LEVEL.
 *
 * Before, it entered a guarded region instead and left the IRQL alone; drivers cannot tell, unless they look. The two
 * calls that nobody has to wait in stand in arch/x86_64/fastmutex.asm. */
#include <ex.h>

VOID ExpAcquireGuardedMutexContended(PKGUARDED_MUTEX Mutex, ULONG OldIrql); /* fastmutex.asm jumps to it */

/* <= DISPATCH_LEVEL; the mutex lies in resident memory. wdm.h: KeInitializeGuardedMutex. */
VOID KeInitializeGuardedMutex(PKGUARDED_MUTEX Mutex) {
    ExInitializeFastMutex(Mutex);
}

VOID ExpAcquireGuardedMutexContended(PKGUARDED_MUTEX Mutex, ULONG OldIrql) {
    ExpWaitForFastMutex(Mutex, LockGuardedMutex, OldIrql);
}

/* <= APC_LEVEL in; APC_LEVEL out if TRUE. wdm.h: KeTryToAcquireGuardedMutex. */
BOOLEAN KeTryToAcquireGuardedMutex(PKGUARDED_MUTEX Mutex) {
    return ExTryToAcquireFastMutex(Mutex);
}

/* For callers at APC_LEVEL or in a guarded region: the IRQL is left alone. wdm.h: KeAcquireGuardedMutexUnsafe. */
VOID KeAcquireGuardedMutexUnsafe(PKGUARDED_MUTEX Mutex) {
    ExpAcquireMutexUnsafe(Mutex, LockGuardedMutex);
}

VOID KeReleaseGuardedMutexUnsafe(PKGUARDED_MUTEX Mutex) {
    ExReleaseFastMutexUnsafe(Mutex);
}
