/* stepped.c: a driver that is gone through instruction by instruction: leaves, frames, calls of the kernel, a page fault. */
#include <ntddk.h>

#define LARGE 0x1100 /* more than a page: the compiler touches each */

DRIVER_INITIALIZE DriverEntry;
VOID Sample(PDRIVER_OBJECT DriverObject);

static KSPIN_LOCK Lock;
static FAST_MUTEX Mutex;
static KEVENT Event;
static SLIST_HEADER Entries;
static LIST_ENTRY List;

static ULONG Leaf(const ULONG *Numbers, ULONG Count) {
    ULONG Sum = 0;
    for (ULONG i = 0; i < Count; i++) {
        Sum += Numbers[i];
    }
    return Sum;
}

/* It leaves early, before it has made its frame. */
static ULONG Early(const ULONG *Numbers, ULONG Count, PKEVENT Done) {
    if (Numbers == NULL) {
        return 1;
    }
    KeClearEvent(Done);
    return Leaf(Numbers, Count) + Leaf(Numbers + 1, Count - 1) * Count;
}

static ULONG Large(ULONG Index) {
    volatile UCHAR Bytes[LARGE];
    Bytes[Index] = (UCHAR)Index;
    return Bytes[Index];
}

static VOID Locks(VOID) {
    KIRQL OldIrql;
    KeAcquireSpinLock(&Lock, &OldIrql);
    KeReleaseSpinLock(&Lock, OldIrql);
    ExAcquireFastMutex(&Mutex);
    ExReleaseFastMutex(&Mutex);
}

static VOID Lists(PSLIST_ENTRY Entry, PLIST_ENTRY Link) {
    InterlockedPushEntrySList(&Entries, Entry);
    InterlockedPopEntrySList(&Entries);
    InsertTailList(&List, Link);
    RemoveHeadList(&List);
}

VOID Sample(PDRIVER_OBJECT DriverObject) {
    static SLIST_ENTRY Entry;
    static LIST_ENTRY Link;
    ULONG Numbers[4] = {1, 2, 3, (ULONG)(ULONG_PTR)DriverObject};
    Early(NULL, Leaf(Numbers, 2), &Event);
    Early(Numbers, 2, &Event);
    Large(3);
    Locks();
    Lists(&Entry, &Link);
    RtlZeroMemory(Numbers, sizeof(Numbers));
    PULONG Paged = ExAllocatePoolWithTag(PagedPool, 3 * PAGE_SIZE, 'petS');
    if (Paged != NULL) {
        Paged[PAGE_SIZE / sizeof(ULONG)] = 1; /* a page that has never been touched: a fault */
        ExFreePoolWithTag(Paged, 'petS');
    }
}

NTSTATUS DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath) {
    UNREFERENCED_PARAMETER(RegistryPath);
    KeInitializeSpinLock(&Lock);
    ExInitializeFastMutex(&Mutex);
    KeInitializeEvent(&Event, NotificationEvent, FALSE);
    ExInitializeSListHead(&Entries);
    InitializeListHead(&List);
    Sample(DriverObject);
    return STATUS_SUCCESS;
}
