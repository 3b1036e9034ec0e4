/* virtio-blk.c: the virtual disk: requests in a shared ring, a doorbell down, an interrupt back.
 *
 *   descriptors: three in a row for each slot, so slot s is the chain 3s -> 3s+1 -> 3s+2; only the middle one changes
 *
 *        3s: header (read or write, sector)     3s+1: the caller's buffer     3s+2: one byte of status
 *           \________ the device reads ____/      \__ reads or writes __/       \__ the device writes
 *
 *   available ring: ours to write                        used ring: the device's to write
 *
 *        .  .  [ 3 ][ 0 ][ 6 ]  .  .  .                       .  .  [ 3 ][ 6 ]  .  .  .  .
 *               ^              ^                                     ^         ^
 *               the device     Index: we put the                     UsedSeen: Index: the device puts
 *               reads next     next chain here                       we read   the next finished chain here
 *
 * Both indices count forever and are taken modulo the ring's size. Chains may finish in any order: here 0 is still
 * out.
 *
 * The way of a request:
 *   Submit       (<= DISPATCH_LEVEL)  takes a free slot, fills it in, moves Index, rings; no free slot: it waits
 *   ServiceRoutine     (device IRQL)  queues the DPC and does nothing else
 *   CompletionDpc   (DISPATCH_LEVEL)  reads the used ring to its end, since interrupts melt together; starts what
 *                                     waits; then, without the lock, calls each request's completion routine
 *
 * Who writes what: the available ring, descriptors and headers are written before Index moves, and read by the device
 * after. x86 keeps stores in order, so a compiler barrier does (the release store). Between moving Index and reading
 * the device's wish not to be notified a store must pass before a load, and that x86 does not keep: hence
 * KeMemoryBarrier.
 *
 * Nothing here may be pageable: this code is what pages are read by. */
#include <block.h>
#include "virtio.h"

#define QUEUE_ENTRIES 256 /* room for so many; the device may want fewer */
#define SLOT_COUNT (QUEUE_ENTRIES / 3)
#define MAXIMUM_REQUEST_BYTES 0x100000
#define TAG_BLOCK (ULONG)0x6B6C4256 /* "VBlk" */
#define DPC_ENTRY 0                 /* the one entry of the MSI-X table that is used */

/* "Block Device": feature bits, configuration, requests */
#define FEATURE_SIZE_MAX (1ULL << 1)
#define FEATURE_READ_ONLY (1ULL << 5)
#define CONFIG_CAPACITY 0
#define CONFIG_SIZE_MAX 8
#define REQUEST_IN 0
#define REQUEST_OUT 1
#define REQUEST_OK 0
#define REQUEST_UNANSWERED 0xFF

typedef struct _REQUEST_HEADER {
    ULONG Type;
    ULONG Reserved;
    ULONG64 Sector;
} REQUEST_HEADER;

/* All that the device reads and writes but the callers' buffers, in contiguous memory. */
typedef struct _SHARED_MEMORY {
    VIRTQ_DESCRIPTOR Descriptor[QUEUE_ENTRIES];
    REQUEST_HEADER Header[SLOT_COUNT];
    struct {
        volatile USHORT Flags;
        volatile USHORT Index;
        USHORT Ring[QUEUE_ENTRIES];
    } Available;
    struct {
        volatile USHORT Flags;
        volatile USHORT Index;
        volatile VIRTQ_USED_ELEMENT Ring[QUEUE_ENTRIES];
    } DECLSPEC_ALIGN(4) Used;
    volatile UCHAR Status[SLOT_COUNT];
} SHARED_MEMORY, *PSHARED_MEMORY;

typedef struct _DISK {
    BLOCK_DEVICE Block;
    CHAR Name[32];
    VIRTIO_DEVICE Virtio;
    VIRTIO_QUEUE Queue;
    PKINTERRUPT Interrupt;
    KDPC CompletionDpc;
    PSHARED_MEMORY Shared;
    KSPIN_LOCK Lock; /* guards all below, and what is shared with the device */
    PBLOCK_REQUEST InFlight[SLOT_COUNT];
    UCHAR FreeSlot[SLOT_COUNT]; /* a stack */
    ULONG FreeCount;
    ULONG SlotCount;
    USHORT NextAvailable;
    USHORT UsedSeen;
    LIST_ENTRY Waiting; /* for a slot */
    LIST_ENTRY Refused; /* for the DPC to complete them: they never reach the device */
    BOOLEAN IsBroken;   /* the device has said something impossible */
    BOOLEAN IsPolled;   /* the machine is dying: one CPU, no locks, no interrupts */
} DISK, *PDISK;

/* ---- Submitting: all under Lock, or polled ---- */

static BOOLEAN IsValid(PDISK Disk, PBLOCK_REQUEST Request) {
    ULONG64 Sectors = Request->LengthBytes / BLOCK_SECTOR_SIZE;
    return Sectors != 0 && Request->LengthBytes % BLOCK_SECTOR_SIZE == 0 &&
           Request->LengthBytes <= Disk->Block.MaximumBytes && Request->Sector < Disk->Block.SectorCount &&
           Sectors <= Disk->Block.SectorCount - Request->Sector;
}

/* The status that a request will be completed with; Status itself stays pending until then. */
static VOID SetResult(PBLOCK_REQUEST Request, NTSTATUS Result) {
    Request->DriverContext[0] = (PVOID)(LONG_PTR)Result;
}

static VOID PutInRing(PDISK Disk, PBLOCK_REQUEST Request) {
    PSHARED_MEMORY Shared = Disk->Shared;
    ULONG Slot = Disk->FreeSlot[--Disk->FreeCount];
    Disk->InFlight[Slot] = Request;
    Shared->Header[Slot].Type = Request->IsWrite ? REQUEST_OUT : REQUEST_IN;
    Shared->Header[Slot].Sector = Request->Sector;
    Shared->Status[Slot] = REQUEST_UNANSWERED;
    VIRTQ_DESCRIPTOR *Buffer = &Shared->Descriptor[3 * Slot + 1];
    Buffer->Address = Request->PhysicalAddress;
    Buffer->Length = Request->LengthBytes;
    Buffer->Flags = (USHORT)(VIRTQ_DESCRIPTOR_NEXT | (Request->IsWrite ? 0 : VIRTQ_DESCRIPTOR_DEVICE_WRITES));
    Shared->Available.Ring[Disk->NextAvailable % Disk->Queue.Size] = (USHORT)(3 * Slot);
    __atomic_store_n(&Shared->Available.Index, ++Disk->NextAvailable, __ATOMIC_RELEASE);
}

/* Moves what waits into the ring as far as there are slots, and rings the doorbell once for all of it. */
static VOID StartWaiting(PDISK Disk) {
    BOOLEAN HasNew = FALSE;
    while (Disk->FreeCount > 0 && !IsListEmpty(&Disk->Waiting)) {
        PutInRing(Disk, CONTAINING_RECORD(RemoveHeadList(&Disk->Waiting), BLOCK_REQUEST, ListEntry));
        HasNew = TRUE;
    }
    KeMemoryBarrier();
    if (HasNew && !(Disk->Shared->Used.Flags & VIRTQ_USED_NO_NOTIFY)) {
        *Disk->Queue.Doorbell = 0; /* the queue's number */
    }
}

/* FALSE: the request is refused, and the DPC has to be queued for it. */
static BOOLEAN Enqueue(PDISK Disk, PBLOCK_REQUEST Request) {
    Request->Status = STATUS_PENDING;
    if (Disk->IsBroken || !IsValid(Disk, Request)) {
        SetResult(Request, Disk->IsBroken ? STATUS_IO_DEVICE_ERROR : STATUS_INVALID_PARAMETER);
        InsertTailList(&Disk->Refused, &Request->ListEntry);
        return FALSE;
    }
    InsertTailList(&Disk->Waiting, &Request->ListEntry);
    StartWaiting(Disk);
    return TRUE;
}

static VOID Submit(PBLOCK_DEVICE Device, PBLOCK_REQUEST Request) {
    PDISK Disk = Device->Extension;
    if (Disk->IsPolled) {
        Enqueue(Disk, Request);
        return;
    }
    KIRQL OldIrql;
    KeAcquireSpinLock(&Disk->Lock, &OldIrql);
    BOOLEAN IsAccepted = Enqueue(Disk, Request);
    KeReleaseSpinLock(&Disk->Lock, OldIrql);
    if (!IsAccepted) {
        KeInsertQueueDpc(&Disk->CompletionDpc, NULL, NULL);
    }
}

/* ---- Completing ---- */

static VOID MoveList(PLIST_ENTRY From, PLIST_ENTRY To) {
    while (!IsListEmpty(From)) {
        InsertTailList(To, RemoveHeadList(From));
    }
}

/* A device that contradicts itself is not trusted any further: it is reset, so that it touches no memory, and every
 * request, now and later, fails. Under Lock, or polled. */
static VOID GiveUp(PDISK Disk, PLIST_ENTRY Done) {
    Disk->IsBroken = TRUE;
    VirtioReset(&Disk->Virtio);
    for (ULONG Slot = 0; Slot < Disk->SlotCount; Slot++) {
        if (Disk->InFlight[Slot]) {
            InsertTailList(&Disk->Waiting, &Disk->InFlight[Slot]->ListEntry);
            Disk->InFlight[Slot] = NULL;
        }
    }
    for (PLIST_ENTRY Entry = Disk->Waiting.Flink; Entry != &Disk->Waiting; Entry = Entry->Flink) {
        SetResult(CONTAINING_RECORD(Entry, BLOCK_REQUEST, ListEntry), STATUS_IO_DEVICE_ERROR);
    }
    MoveList(&Disk->Waiting, Done);
    DbgPrint("io: %s: it finished a request that it was not given: out of use from now on\n", Disk->Name);
}

/* One element of the used ring. FALSE: it names no chain that is out. */
static BOOLEAN FinishChain(PDISK Disk, ULONG Id, PLIST_ENTRY Done) {
    ULONG Slot = Id / 3;
    if (Id % 3 != 0 || Slot >= Disk->SlotCount || Disk->InFlight[Slot] == NULL) {
        return FALSE;
    }
    PBLOCK_REQUEST Request = Disk->InFlight[Slot];
    Disk->InFlight[Slot] = NULL;
    Disk->FreeSlot[Disk->FreeCount++] = (UCHAR)Slot;
    SetResult(Request, Disk->Shared->Status[Slot] == REQUEST_OK ? STATUS_SUCCESS : STATUS_IO_DEVICE_ERROR);
    InsertTailList(Done, &Request->ListEntry);
    return TRUE;
}

/* Under Lock, or polled. Done: the requests to complete when the lock is released. */
static VOID Drain(PDISK Disk, PLIST_ENTRY Done) {
    PSHARED_MEMORY Shared = Disk->Shared;
    MoveList(&Disk->Refused, Done);
    while (!Disk->IsBroken && Disk->UsedSeen != __atomic_load_n(&Shared->Used.Index, __ATOMIC_ACQUIRE)) {
        ULONG Id = Shared->Used.Ring[Disk->UsedSeen % Disk->Queue.Size].Id;
        Disk->UsedSeen++;
        if (!FinishChain(Disk, Id, Done)) {
            GiveUp(Disk, Done);
        }
    }
    if (!Disk->IsBroken) {
        StartWaiting(Disk);
    }
}

/* No lock held. Once its status is set, a request may be gone: the next one is found before. */
static VOID CompleteAll(PLIST_ENTRY Done) {
    while (!IsListEmpty(Done)) {
        PBLOCK_REQUEST Request = CONTAINING_RECORD(RemoveHeadList(Done), BLOCK_REQUEST, ListEntry);
        Request->Status = (NTSTATUS)(LONG_PTR)Request->DriverContext[0];
        Request->Complete(Request);
    }
}

static VOID CompletionDpc(PKDPC Dpc, PVOID Context, PVOID Argument1, PVOID Argument2) {
    UNREFERENCED_PARAMETER(Dpc);
    UNREFERENCED_PARAMETER(Argument1);
    UNREFERENCED_PARAMETER(Argument2);
    PDISK Disk = Context;
    LIST_ENTRY Done;
    InitializeListHead(&Done);
    KeAcquireSpinLockAtDpcLevel(&Disk->Lock);
    Drain(Disk, &Done);
    KeReleaseSpinLockFromDpcLevel(&Disk->Lock);
    CompleteAll(&Done);
}

static BOOLEAN ServiceRoutine(PKINTERRUPT Interrupt, PVOID Context) {
    UNREFERENCED_PARAMETER(Interrupt);
    PDISK Disk = Context;
    KeInsertQueueDpc(&Disk->CompletionDpc, NULL, NULL);
    return TRUE;
}

/* ---- Starting ---- */

static ULONG64 PhysicalOf(PDISK Disk, SIZE_T Offset) {
    return (ULONG64)MmGetPhysicalAddress(Disk->Shared).QuadPart + Offset;
}

/* Every slot free, every chain laid out, both rings at their beginning. */
static VOID LayOutRing(PDISK Disk) {
    PSHARED_MEMORY Shared = Disk->Shared;
    RtlZeroMemory(Shared, sizeof(*Shared));
    InitializeListHead(&Disk->Waiting);
    InitializeListHead(&Disk->Refused);
    Disk->NextAvailable = Disk->UsedSeen = 0;
    Disk->FreeCount = 0;
    Disk->SlotCount = Disk->Queue.Size / 3;
    for (ULONG Slot = 0; Slot < Disk->SlotCount; Slot++) {
        VIRTQ_DESCRIPTOR *Chain = &Shared->Descriptor[3 * Slot];
        Chain[0].Address = PhysicalOf(Disk, offsetof(SHARED_MEMORY, Header) + Slot * sizeof(REQUEST_HEADER));
        Chain[0].Length = sizeof(REQUEST_HEADER);
        Chain[0].Flags = VIRTQ_DESCRIPTOR_NEXT;
        Chain[0].Next = (USHORT)(3 * Slot + 1);
        Chain[1].Next = (USHORT)(3 * Slot + 2);
        Chain[2].Address = PhysicalOf(Disk, offsetof(SHARED_MEMORY, Status) + Slot);
        Chain[2].Length = 1;
        Chain[2].Flags = VIRTQ_DESCRIPTOR_DEVICE_WRITES;
        Disk->InFlight[Slot] = NULL;
        Disk->FreeSlot[Disk->FreeCount++] = (UCHAR)Slot;
    }
}

static ULONG64 ReadCapacity(PVIRTIO_DEVICE Virtio) {
    volatile ULONG *Words = (volatile ULONG *)(Virtio->Config + CONFIG_CAPACITY);
    UCHAR Generation;
    ULONG64 Capacity;
    do { /* two words, and the disk may be resized between them */
        Generation = Virtio->Common->ConfigGeneration;
        Capacity = Words[0] | (ULONG64)Words[1] << 32;
    } while (Generation != Virtio->Common->ConfigGeneration);
    return Capacity;
}

/* From any state to a live device with an empty ring. Any IRQL. Returns NULL, or the problem in words. */
static PCSTR StartDevice(PDISK Disk, USHORT MsixVector) {
    PVIRTIO_DEVICE Virtio = &Disk->Virtio;
    ULONG64 Features;
    PCSTR Problem = VirtioNegotiate(Virtio, FEATURE_SIZE_MAX, &Features);
    if (Problem == NULL && (Features & FEATURE_READ_ONLY)) {
        Problem = "it is read-only";
    }
    if (Problem != NULL) {
        return Problem;
    }
    Disk->Queue = (VIRTIO_QUEUE){.Size = QUEUE_ENTRIES,
                                 .MsixVector = MsixVector,
                                 .Descriptors = PhysicalOf(Disk, offsetof(SHARED_MEMORY, Descriptor)),
                                 .Available = PhysicalOf(Disk, offsetof(SHARED_MEMORY, Available)),
                                 .Used = PhysicalOf(Disk, offsetof(SHARED_MEMORY, Used))};
    Problem = VirtioEnableQueue(Virtio, 0, &Disk->Queue);
    if (Problem == NULL && Disk->Queue.Size < 3) {
        Problem = "its queue is too short for a single request";
    }
    if (Problem != NULL) {
        return Problem;
    }
    LayOutRing(Disk);
    Disk->Shared->Available.Flags = MsixVector == VIRTIO_NO_VECTOR ? VIRTQ_AVAILABLE_NO_INTERRUPT : 0;
    Disk->Block.SectorCount = ReadCapacity(Virtio);
    Disk->Block.MaximumBytes = MAXIMUM_REQUEST_BYTES;
    if ((Features & FEATURE_SIZE_MAX) && Virtio->ConfigBytes >= CONFIG_SIZE_MAX + sizeof(ULONG)) {
        ULONG SizeMax = *(volatile ULONG *)(Virtio->Config + CONFIG_SIZE_MAX) & ~(BLOCK_SECTOR_SIZE - 1);
        Disk->Block.MaximumBytes = SizeMax < MAXIMUM_REQUEST_BYTES ? SizeMax : MAXIMUM_REQUEST_BYTES;
    }
    VirtioGoLive(Virtio);
    return NULL;
}

/* The ring may be half changed by a CPU that was stopped in the middle, so the device is started afresh. */
static VOID TakeOver(PDISK Disk) {
    Disk->IsPolled = TRUE;
    Disk->IsBroken = StartDevice(Disk, VIRTIO_NO_VECTOR) != NULL;
    if (Disk->IsBroken) {
        InitializeListHead(&Disk->Waiting);
        InitializeListHead(&Disk->Refused);
    }
}

static VOID Poll(PBLOCK_DEVICE Device) {
    PDISK Disk = Device->Extension;
    LIST_ENTRY Done;
    InitializeListHead(&Done);
    if (!Disk->IsPolled) {
        TakeOver(Disk);
    }
    Drain(Disk, &Done);
    CompleteAll(&Done);
}

static PDISK AllocateDisk(PPCI_DEVICE Pci) {
    PHYSICAL_ADDRESS Anywhere = {.QuadPart = INT64_MAX};
    PDISK Disk = ExAllocatePoolWithTag(NonPagedPoolNx, sizeof(*Disk), TAG_BLOCK);
    PSHARED_MEMORY Shared = MmAllocateContiguousMemory(sizeof(*Shared), Anywhere);
    if (Disk == NULL || Shared == NULL) {
        if (Disk) {
            ExFreePoolWithTag(Disk, TAG_BLOCK);
        }
        if (Shared) {
            MmFreeContiguousMemory(Shared);
        }
        return NULL;
    }
    RtlZeroMemory(Disk, sizeof(*Disk));
    Disk->Shared = Shared;
    RtlCopyMemory(Disk->Name, "virtio-blk at ", 14);
    RtlCopyMemory(Disk->Name + 14, Pci->Address, sizeof(Pci->Address));
    Disk->Block.Name = Disk->Name;
    Disk->Block.Submit = Submit;
    Disk->Block.Poll = Poll;
    Disk->Block.Extension = Disk;
    KeInitializeSpinLock(&Disk->Lock);
    KeInitializeDpc(&Disk->CompletionDpc, CompletionDpc, Disk);
    return Disk;
}

static VOID FreeDisk(PDISK Disk) {
    if (Disk->Virtio.Common) {
        VirtioReset(&Disk->Virtio);
    }
    if (Disk->Interrupt) {
        IoDisconnectMsix(Disk->Interrupt);
    }
    VirtioUnmap(&Disk->Virtio);
    MmFreeContiguousMemory(Disk->Shared);
    ExFreePoolWithTag(Disk, TAG_BLOCK);
}

/* Returns NULL, or what is wrong. */
static PCSTR BringUp(PDISK Disk, PPCI_DEVICE Pci) {
    PCSTR Problem = VirtioMap(&Disk->Virtio, Pci);
    if (Problem != NULL) {
        return Problem;
    }
    if (!VirtioReset(&Disk->Virtio)) { /* the firmware may have left it running */
        return "it does not come out of its reset";
    }
    NTSTATUS Status = IoConnectMsix(Pci, DPC_ENTRY, ServiceRoutine, Disk, &Disk->Interrupt);
    if (!NT_SUCCESS(Status)) {
        return Status == STATUS_NOT_SUPPORTED ? "it has no MSI-X (vectors=0?)" : "no vector for its interrupt";
    }
    return StartDevice(Disk, DPC_ENTRY);
}

static VOID AddDisk(PPCI_DEVICE Pci) {
    PDISK Disk = AllocateDisk(Pci);
    if (Disk == NULL) {
        DbgPrint("io: virtio-blk at %s: no memory for it: not used\n", Pci->Address);
        return;
    }
    PCSTR Problem = BringUp(Disk, Pci);
    if (Problem != NULL) {
        DbgPrint("io: %s: %s: not used\n", Disk->Name, Problem);
    }
    if (Problem != NULL || !NT_SUCCESS(IoRegisterBlockDevice(&Disk->Block))) {
        FreeDisk(Disk);
    }
}

/* A disk's problem is reported where it is found; the driver itself is fine even when it has none to drive.
 * Disks stay forever, so there is no way to unload. */
NTSTATUS DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath) {
    UNREFERENCED_PARAMETER(DriverObject);
    UNREFERENCED_PARAMETER(RegistryPath);
    static const USHORT DeviceIds[] = {0x1042, 0x1001}; /* modern; with the older interface as well */
    for (ULONG i = 0; i < RTL_NUMBER_OF(DeviceIds); i++) {
        for (PPCI_DEVICE Pci = NULL; (Pci = IoFindPciDevice(0x1AF4, DeviceIds[i], Pci)) != NULL;) {
            AddDisk(Pci);
        }
    }
    return STATUS_SUCCESS;
}
