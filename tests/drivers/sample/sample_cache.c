/* sample_cache.c: a cache under an ERESOURCE: readers share it, a miss upgrades by release and looks again.
 *
 * expect: completed
 * run: --unload
 */
#include <ntddk.h>

#define CACHE_TAG 'hcaC'
#define THREADS 4
#define KEYS 8
#define ROUNDS 40

typedef struct _CACHE_ENTRY {
    LIST_ENTRY Link;
    ULONG Key, Square;
    LONG Hits;
} CACHE_ENTRY, *PCACHE_ENTRY;

DRIVER_INITIALIZE DriverEntry;
DRIVER_UNLOAD Unload;
KSTART_ROUTINE Reader;

static ERESOURCE Lock;
static LIST_ENTRY Entries;
static PAGED_LOOKASIDE_LIST Lookaside;
static PETHREAD Threads[THREADS];
static LONG Loads, Wrong;

/* The lock is held, shared or exclusive. */
static PCACHE_ENTRY Find(ULONG Key) {
    for (PLIST_ENTRY Entry = Entries.Flink; Entry != &Entries; Entry = Entry->Flink) {
        PCACHE_ENTRY Found = CONTAINING_RECORD(Entry, CACHE_ENTRY, Link);
        if (Found->Key == Key) {
            return Found;
        }
    }
    return NULL;
}

/* The lock is held exclusively, as an ASSERT says. */
static PCACHE_ENTRY Load(ULONG Key) {
    ASSERT(ExIsResourceAcquiredExclusiveLite(&Lock));
    PCACHE_ENTRY Entry = (PCACHE_ENTRY)ExAllocateFromPagedLookasideList(&Lookaside);
    if (Entry != NULL) {
        Entry->Key = Key;
        Entry->Square = Key * Key;
        Entry->Hits = 0;
        InsertHeadList(&Entries, &Entry->Link);
        Loads++;
    }
    return Entry;
}

static NTSTATUS Lookup(ULONG Key, PULONG Square) {
    NTSTATUS Status = STATUS_INSUFFICIENT_RESOURCES;
    KeEnterCriticalRegion();
    ExAcquireResourceSharedLite(&Lock, TRUE);
    PCACHE_ENTRY Entry = Find(Key);
    if (Entry == NULL) {
        ExReleaseResourceLite(&Lock);
        ExAcquireResourceExclusiveLite(&Lock, TRUE);
        Entry = Find(Key); /* another thread may have loaded it meanwhile */
        if (Entry == NULL) {
            Entry = Load(Key);
        }
        ExConvertExclusiveToSharedLite(&Lock);
    }
    if (Entry != NULL) {
        InterlockedIncrement(&Entry->Hits);
        *Square = Entry->Square;
        Status = STATUS_SUCCESS;
    }
    ExReleaseResourceLite(&Lock);
    KeLeaveCriticalRegion();
    return Status;
}

VOID Reader(PVOID Context) {
    ULONG Seed = (ULONG)(ULONG_PTR)Context, Square;
    for (ULONG i = 0; i < ROUNDS; i++) {
        ULONG Key = RtlRandomEx(&Seed) % KEYS;
        if (!NT_SUCCESS(Lookup(Key, &Square)) || Square != Key * Key) {
            InterlockedIncrement(&Wrong);
        }
    }
    PsTerminateSystemThread(STATUS_SUCCESS);
}

VOID Unload(PDRIVER_OBJECT DriverObject) {
    LONG Hits = 0;
    UNREFERENCED_PARAMETER(DriverObject);
    for (ULONG i = 0; i < THREADS; i++) {
        KeWaitForSingleObject(Threads[i], Executive, KernelMode, FALSE, NULL);
        ObDereferenceObject(Threads[i]);
    }
    while (!IsListEmpty(&Entries)) {
        PCACHE_ENTRY Entry = CONTAINING_RECORD(RemoveHeadList(&Entries), CACHE_ENTRY, Link);
        Hits += Entry->Hits;
        ExFreeToPagedLookasideList(&Lookaside, Entry);
    }
    ExDeletePagedLookasideList(&Lookaside);
    ExDeleteResourceLite(&Lock);
    DbgPrint("%d hits, %d loads, %d wrong\n", Hits, Loads, Wrong);
    if (Hits != THREADS * ROUNDS || Loads != KEYS || Wrong != 0) {
        KeBugCheckEx(0xDEAD0001, Hits, Loads, Wrong, 0);
    }
}

NTSTATUS DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath) {
    UNREFERENCED_PARAMETER(RegistryPath);
    InitializeListHead(&Entries);
    ExInitializeResourceLite(&Lock);
    ExInitializePagedLookasideList(&Lookaside, NULL, NULL, 0, sizeof(CACHE_ENTRY), CACHE_TAG, 0);
    DriverObject->DriverUnload = Unload;
    for (ULONG i = 0; i < THREADS; i++) {
        HANDLE Handle;
        NTSTATUS Status = PsCreateSystemThread(&Handle, THREAD_ALL_ACCESS, NULL, NULL, NULL, Reader, (PVOID)(ULONG_PTR)(i + 1));
        if (!NT_SUCCESS(Status)) {
            KeBugCheck(0xDEAD0002);
        }
        ObReferenceObjectByHandle(Handle, SYNCHRONIZE, *PsThreadType, KernelMode, (PVOID *)&Threads[i], NULL);
        ZwClose(Handle);
    }
    return STATUS_SUCCESS;
}
