/* verify_mixed.c: four kinds of locks in a circle: mutex, ERESOURCE, push lock, fast mutex, and the mutex again.
 *
 * expect: bugcheck 0x000000C4 (0x1001, driver, 0, 0) in verify_mixed!Fourth
 * run: --verifier=deadlock
 */
#include <ntddk.h>

DRIVER_INITIALIZE DriverEntry;

static FAST_MUTEX Fast;
static KMUTEX Mutex;
static ERESOURCE Resource;
static EX_PUSH_LOCK PushLock;

/* mutex, then resource */
static VOID First(VOID) {
    KeWaitForSingleObject(&Mutex, Executive, KernelMode, FALSE, NULL);
    ExAcquireResourceExclusiveLite(&Resource, TRUE);
    ExReleaseResourceLite(&Resource);
    KeReleaseMutex(&Mutex, FALSE);
}

/* resource, then push lock */
static VOID Second(VOID) {
    KeEnterCriticalRegion();
    ExAcquireResourceExclusiveLite(&Resource, TRUE);
    ExAcquirePushLockExclusive(&PushLock);
    ExReleasePushLockExclusive(&PushLock);
    ExReleaseResourceLite(&Resource);
    KeLeaveCriticalRegion();
}

/* push lock, then fast mutex */
static VOID Third(VOID) {
    KeEnterCriticalRegion();
    ExAcquirePushLockExclusive(&PushLock);
    ExAcquireFastMutex(&Fast);
    ExReleaseFastMutex(&Fast);
    ExReleasePushLockExclusive(&PushLock);
    KeLeaveCriticalRegion();
}

static VOID Fourth(VOID) {
    ExAcquireFastMutex(&Fast);
    KeWaitForSingleObject(&Mutex, Executive, KernelMode, FALSE, NULL);
    KeReleaseMutex(&Mutex, FALSE);
    ExReleaseFastMutex(&Fast);
}

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING Path) {
    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(Path);
    ExInitializeFastMutex(&Fast);
    KeInitializeMutex(&Mutex, 0);
    ExInitializeResourceLite(&Resource);
    ExInitializePushLock(&PushLock);
    First();
    Second();
    Third();
    Fourth();
    ExDeleteResourceLite(&Resource);
    return STATUS_SUCCESS;
}
