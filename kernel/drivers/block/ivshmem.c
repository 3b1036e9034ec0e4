/* ivshmem.c: the repeatable disk: memory shared with the host, at a speed that the seed decides.
 *
 * QEMU's own disks answer when the host gets round to it, so no two runs are alike. Shared memory (ivshmem-plain: BAR
 * 2 is the disk) answers at once, which is repeatable but is no disk: nothing would ever be in flight. So each
 * request gets a delay drawn from the seed, and completes when the time-stamp counter, which counts instructions in
 * such a run, has come that far: requests overtake each other, and one seed is one order of events.
 *
 *      Submit --> InFlight list, due = now + draw --> a CPU's next clock interrupt --> DPC: what is due --> Complete
 *                                                          ^                            |
 *                                                          +---- something is left -----+
 *
 * The data of a disk moves at some moment between submission and completion, and a page may change in between: so that
 * moment, too, is drawn, at the one end or the other. Without a seed there is no delay: the DPC is queued by Submit.
 * Most requests of the volume C: have none either, as behind a disk's own cache: a driver that writes a thousand files
 * would else wait ten thousand times, and each time that all CPUs halt costs the emulator more than all of the request.
 *
 * The disk has no interrupt. From the DPC on everything is as with any other disk. */
#include <block.h>
#include <pci.h>

#define BAR_MEMORY 2
#define MAXIMUM_REQUEST_BYTES 0x100000
#define LARGEST_DISK_BYTES (256ULL << 20) /* mapped, at most */
#define SHORTEST_DELAY 500                /* TSC ticks */
#define DELAY_MASK 0xFFFF
#define SLOW_ONE_OF 8               /* of the requests of the volume */
#define TAG_BLOCK (ULONG)0x6B6C4249 /* "IBlk" */

typedef struct _DISK {
    BLOCK_DEVICE Block;
    CHAR Name[32];
    PUCHAR Memory;
    ULONG64 Seed;
    KDPC CompletionDpc;
    KSPIN_LOCK Lock; /* guards all below */
    LIST_ENTRY InFlight;
    ULONG64 RandomState;
    BOOLEAN IsPolled; /* the machine is dying: one CPU, no locks, no delays */
} DISK, *PDISK;

/* DriverContext of a request in flight. */
enum { ContextDue, ContextResult };

/* The request's data is still to be moved; a status that no request ends with. */
#define RESULT_NOT_MOVED STATUS_PENDING

/* A multiplicative generator over 2^64 with a mixing step, so that neighbouring seeds have nothing in common. Under
 * Lock. */
static ULONG64 Draw(PDISK Disk) {
    ULONG64 Value = Disk->RandomState += 0x9E3779B97F4A7C15;
    Value = (Value ^ Value >> 32) * 0xD6E8FEB86659FD93;
    return Value ^ Value >> 32;
}

static BOOLEAN IsInside(PDISK Disk, PBLOCK_REQUEST Request) {
    ULONG64 Sectors = Request->LengthBytes / BLOCK_SECTOR_SIZE;
    return Sectors != 0 && Request->LengthBytes % BLOCK_SECTOR_SIZE == 0 &&
           Request->LengthBytes <= Disk->Block.MaximumBytes && Request->Sector < Disk->Block.SectorCount &&
           Sectors <= Disk->Block.SectorCount - Request->Sector;
}

static NTSTATUS MoveData(PDISK Disk, PBLOCK_REQUEST Request) {
    PHYSICAL_ADDRESS Physical = {.QuadPart = (LONGLONG)Request->PhysicalAddress};
    PVOID Buffer = MmGetVirtualForPhysical(Physical);
    PVOID Stored = Disk->Memory + Request->Sector * BLOCK_SECTOR_SIZE;
    if (Request->IsWrite) {
        RtlCopyMemory(Stored, Buffer, Request->LengthBytes);
    } else {
        RtlCopyMemory(Buffer, Stored, Request->LengthBytes);
    }
    return STATUS_SUCCESS;
}

static VOID SetResult(PBLOCK_REQUEST Request, NTSTATUS Result) {
    Request->DriverContext[ContextResult] = (PVOID)(LONG_PTR)Result;
}

static NTSTATUS GetResult(const BLOCK_REQUEST *Request) {
    return (NTSTATUS)(LONG_PTR)Request->DriverContext[ContextResult];
}

/* Whether this request takes its time. Under Lock. */
static BOOLEAN IsSlow(PDISK Disk) {
    return Disk->Seed != 0 && (IoGetVolumeDisk() != &Disk->Block || Draw(Disk) % SLOW_ONE_OF == 0);
}

/* Under Lock, or polled. */
static VOID Enqueue(PDISK Disk, PBLOCK_REQUEST Request, BOOLEAN HasDelay) {
    Request->Status = STATUS_PENDING;
    ULONG64 Delay = 0;
    BOOLEAN MovesAtOnce = FALSE;
    if (HasDelay) {
        ULONG64 Random = Draw(Disk);
        Delay = SHORTEST_DELAY + (Random & DELAY_MASK);
        MovesAtOnce = (Random >> 32 & 1) != 0;
    }
    Request->DriverContext[ContextDue] = (PVOID)(ULONG_PTR)(__rdtsc() + Delay);
    SetResult(Request, RESULT_NOT_MOVED);
    if (!IsInside(Disk, Request)) {
        SetResult(Request, STATUS_INVALID_PARAMETER);
    } else if (MovesAtOnce) {
        SetResult(Request, MoveData(Disk, Request));
    }
    InsertTailList(&Disk->InFlight, &Request->ListEntry);
}

/* Another disk may have its DPC at that CPU: then any other will do. No lock held. */
static VOID AwaitClock(PDISK Disk, ULONG64 Processor) {
    ULONG Count = KeQueryActiveProcessorCount(NULL);
    for (ULONG i = 0; i < Count; i++) {
        if (KeQueueDpcAtClock(&Disk->CompletionDpc, (ULONG)((Processor + i) % Count))) {
            return;
        }
    }
    KeInsertQueueDpc(&Disk->CompletionDpc, NULL, NULL);
}

static VOID Submit(PBLOCK_DEVICE Device, PBLOCK_REQUEST Request) {
    PDISK Disk = Device->Extension;
    if (Disk->IsPolled) {
        Enqueue(Disk, Request, FALSE);
        return;
    }
    KIRQL OldIrql;
    KeAcquireSpinLock(&Disk->Lock, &OldIrql);
    BOOLEAN HasDelay = IsSlow(Disk);
    Enqueue(Disk, Request, HasDelay);
    ULONG64 Processor = Draw(Disk) >> 8; /* whose clock is to look after it */
    KeReleaseSpinLock(&Disk->Lock, OldIrql);
    if (HasDelay) {
        AwaitClock(Disk, Processor);
    } else {
        KeInsertQueueDpc(&Disk->CompletionDpc, NULL, NULL);
    }
}

/* Moves what is due from the disk's list to Due. Under Lock, or polled. TRUE: something is left. */
static BOOLEAN TakeDue(PDISK Disk, PLIST_ENTRY Due) {
    ULONG64 Now = __rdtsc();
    for (PLIST_ENTRY Entry = Disk->InFlight.Flink, Next; Entry != &Disk->InFlight; Entry = Next) {
        Next = Entry->Flink;
        PBLOCK_REQUEST Request = CONTAINING_RECORD(Entry, BLOCK_REQUEST, ListEntry);
        if ((ULONG64)(ULONG_PTR)Request->DriverContext[ContextDue] <= Now) {
            RemoveEntryList(Entry);
            InsertTailList(Due, Entry);
        }
    }
    return !IsListEmpty(&Disk->InFlight);
}

/* No lock held. Once its status is set, a request may be gone. */
static VOID CompleteAll(PDISK Disk, PLIST_ENTRY Due) {
    while (!IsListEmpty(Due)) {
        PBLOCK_REQUEST Request = CONTAINING_RECORD(RemoveHeadList(Due), BLOCK_REQUEST, ListEntry);
        NTSTATUS Result = GetResult(Request);
        if (Result == RESULT_NOT_MOVED) {
            Result = MoveData(Disk, Request);
        }
        Request->Status = Result;
        Request->Complete(Request);
    }
}

static VOID CompletionDpc(PKDPC Dpc, PVOID Context, PVOID Argument1, PVOID Argument2) {
    UNREFERENCED_PARAMETER(Dpc);
    UNREFERENCED_PARAMETER(Argument1);
    UNREFERENCED_PARAMETER(Argument2);
    PDISK Disk = Context;
    LIST_ENTRY Due;
    InitializeListHead(&Due);
    KeAcquireSpinLockAtDpcLevel(&Disk->Lock);
    BOOLEAN HasMore = TakeDue(Disk, &Due);
    KeReleaseSpinLockFromDpcLevel(&Disk->Lock);
    CompleteAll(Disk, &Due);
    if (HasMore) {
        AwaitClock(Disk, KeGetCurrentProcessorNumber());
    }
}

/* The list may be half changed by a CPU that was stopped in the middle: it begins anew. */
static VOID Poll(PBLOCK_DEVICE Device) {
    PDISK Disk = Device->Extension;
    LIST_ENTRY Due;
    InitializeListHead(&Due);
    if (!Disk->IsPolled) {
        Disk->IsPolled = TRUE;
        InitializeListHead(&Disk->InFlight);
    }
    TakeDue(Disk, &Due);
    CompleteAll(Disk, &Due);
}

static PDISK CreateDisk(PPCI_DEVICE Pci, PUCHAR Memory, ULONG64 Bytes) {
    PDISK Disk = ExAllocatePoolWithTag(NonPagedPoolNx, sizeof(*Disk), TAG_BLOCK);
    if (Disk == NULL) {
        return NULL;
    }
    RtlZeroMemory(Disk, sizeof(*Disk));
    RtlCopyMemory(Disk->Name, "ivshmem at ", 11);
    RtlCopyMemory(Disk->Name + 11, Pci->Address, sizeof(Pci->Address));
    Disk->Block = (BLOCK_DEVICE){.Name = Disk->Name,
                                 .SectorCount = Bytes / BLOCK_SECTOR_SIZE,
                                 .MaximumBytes = MAXIMUM_REQUEST_BYTES,
                                 .Submit = Submit,
                                 .Poll = Poll,
                                 .Extension = Disk};
    Disk->Memory = Memory;
    Disk->Seed = Disk->RandomState = KeQueryBootSeed();
    InitializeListHead(&Disk->InFlight);
    KeInitializeSpinLock(&Disk->Lock);
    KeInitializeDpc(&Disk->CompletionDpc, CompletionDpc, Disk);
    KeSetImportanceDpc(&Disk->CompletionDpc, MediumHighImportance);
    return Disk;
}

static VOID AddDisk(PPCI_DEVICE Pci) {
    PCI_BAR Bar = {};
    IoEnablePciDevice(Pci);
    NTSTATUS Status = IoQueryPciBar(Pci, BAR_MEMORY, &Bar);
    ULONG64 Bytes = Bar.LengthBytes < LARGEST_DISK_BYTES ? Bar.LengthBytes : LARGEST_DISK_BYTES;
    PUCHAR Memory = NT_SUCCESS(Status) ? IoMapPciBar(Pci, BAR_MEMORY, 0, Bytes, MmCached) : NULL;
    PDISK Disk = Memory ? CreateDisk(Pci, Memory, Bytes) : NULL;
    if (Disk == NULL) {
        DbgPrint("io: ivshmem at %s: %s: not used\n", Pci->Address,
                 NT_SUCCESS(Status) ? "no memory to map it" : "it has no shared memory");
    }
    if (Disk == NULL || !NT_SUCCESS(IoRegisterBlockDevice(&Disk->Block))) {
        if (Disk) {
            ExFreePoolWithTag(Disk, TAG_BLOCK);
        }
        if (Memory) {
            MmUnmapIoSpace(Memory, Bytes);
        }
    }
}

/* Disks stay forever, so there is no way to unload. */
NTSTATUS DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath) {
    UNREFERENCED_PARAMETER(DriverObject);
    UNREFERENCED_PARAMETER(RegistryPath);
    for (PPCI_DEVICE Pci = NULL; (Pci = IoFindPciDevice(0x1AF4, 0x1110, Pci)) != NULL;) {
        AddDisk(Pci);
    }
    return STATUS_SUCCESS;
}
