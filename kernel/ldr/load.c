/* load.c: from a name to a running driver: the steps, their worker thread, the text of a refusal.
 *
 * As on Windows, the requester's packet goes to a system worker thread, which runs IopLoadUnloadDriver ->
 * IopLoadDriver -> PnpCallDriverEntry -> DriverEntry. A mutex or a raised IRQL that DriverEntry leaves behind in its
 * thread is therefore found when the worker routine returns, and blamed on that routine. */
#include "ldrp.h"
#include <io.h>
#include <kd.h>
#include <mm.h>
#include <rtl.h>

#define DRIVER_FOLDER "\\SystemRoot\\System32\\drivers\\"
#define SERVICES_KEY "\\Registry\\Machine\\System\\CurrentControlSet\\Services\\"

/* One request, on the stack of the requester, which waits until Done. */
typedef struct _LOAD_PACKET {
    WORK_QUEUE_ITEM WorkItem;
    KEVENT Done;
    PCSTR Name; /* to load; NULL: DriverObject is to be unloaded */
    PDRIVER_OBJECT DriverObject;
    NTSTATUS Status;
} LOAD_PACKET, *PLOAD_PACKET;

/* Held from the search for a name to its entry in the list; not over DriverEntry, which may load other drivers. */
static KMUTEX LoadMutex;

typedef VOID INITIALIZER(VOID);

VOID (*LdrImageHook)(PUNICODE_STRING Name, PVOID Base, SIZE_T Bytes);

/* Boot CPU. */
VOID LdrpInitializeLoading(VOID) {
    KeInitializeMutex(&LoadMutex, 0);
}

/* Appends Text, widened; terminated. */
static VOID AppendText(PUNICODE_STRING String, PCSTR Text) {
    ULONG Length = String->Length / sizeof(WCHAR);
    for (; *Text != 0 && (Length + 1) * sizeof(WCHAR) < String->MaximumLength; Text++) {
        String->Buffer[Length++] = (UCHAR)*Text;
    }
    String->Buffer[Length] = 0;
    String->Length = (USHORT)(Length * sizeof(WCHAR));
}

/* \SystemRoot\System32\drivers\NAME.sys: where drivers expect to be. */
static VOID NameModule(PKLDR_DATA_TABLE_ENTRY Module) {
    PUNICODE_STRING Full = &Module->FullDllName, Base = &Module->BaseDllName;
    *Full = (UNICODE_STRING){0, sizeof(Module->WideName), Module->WideName};
    AppendText(Full, DRIVER_FOLDER);
    *Base =
        (UNICODE_STRING){0, (USHORT)(Full->MaximumLength - Full->Length), Full->Buffer + Full->Length / sizeof(WCHAR)};
    AppendText(Base, Module->Name);
    AppendText(Base, ".sys");
    Full->Length += Base->Length;
    Full->MaximumLength = Full->Length + sizeof(WCHAR);
    Base->MaximumLength = Base->Length + sizeof(WCHAR);
}

static BOOLEAN CreateModule(PLDRP_IMAGE Image) {
    PKLDR_DATA_TABLE_ENTRY Module = ExAllocatePoolWithTag(NonPagedPoolNx, sizeof(*Module), LOADER_TAG);
    if (Module == NULL) {
        return LdrpRefuseAs(Image, STATUS_INSUFFICIENT_RESOURCES, "no memory");
    }
    RtlZeroMemory(Module, sizeof(*Module));
    RtlFormat(Module->Name, sizeof(Module->Name), "%s", Image->Name);
    C_ASSERT(sizeof(DRIVER_FOLDER) + sizeof(Module->Name) + 4 <= RTL_NUMBER_OF(Module->WideName));
    NameModule(Module);
    Module->LoadCount = 1;
    Module->Flags = ((const ELF_HEADER *)Image->File)->Flags & LDR_INTEGRITY_CHECKED;
    LdrpFindSymbols(Module, Module->Name);
    Image->Module = Module;
    return TRUE;
}

static BOOLEAN IsGoodName(PCSTR Name) {
    SIZE_T Length = strlen(Name);
    for (SIZE_T i = 0; i < Length; i++) {
        if (Name[i] <= ' ' || Name[i] > '~' || Name[i] == '/' || Name[i] == '\\') {
            return FALSE;
        }
    }
    return Length != 0 && Length < LDR_NAME_BYTES;
}

static BOOLEAN FindImage(PLDRP_IMAGE Image) {
    const void *File;
    if (!IsGoodName(Image->Name)) {
        return LdrpRefuseAs(Image, STATUS_INVALID_PARAMETER, "not a driver's name");
    }
    if (LdrpFindModuleByName(Image->Name) != NULL) {
        return LdrpRefuseAs(Image, STATUS_IMAGE_ALREADY_LOADED, "already loaded");
    }
    if (!LdrpFindFile("drivers", Image->Name, "sys", &File, &Image->FileBytes)) {
        return LdrpRefuseAs(Image, STATUS_OBJECT_NAME_NOT_FOUND, "not in the boot archive");
    }
    Image->File = File;
    return TRUE;
}

/* PASSIVE, LoadMutex held. On success the module is in memory, ready to run, and in the list. FALSE: refused, nothing
 * is left. */
static BOOLEAN MapImage(PLDRP_IMAGE Image) {
    if (!FindImage(Image) || !LdrpParseImage(Image) || !CreateModule(Image)) {
        return FALSE;
    }
    PKLDR_DATA_TABLE_ENTRY Module = Image->Module;
    if (!LdrpPlaceSections(Image) || !LdrpRelocateImage(Image) || !LdrpFindEntryPoint(Image) ||
        !LdrpCheckInitializers(Image)) {
        if (Module->DllBase != NULL) {
            MmReleaseDriverImage(Module->DllBase, Module->SizeOfImage);
        }
        ExFreePoolWithTag(Module, LOADER_TAG);
        return FALSE;
    }
    LdrpProtectSections(Image);
    LdrpInsertModule(Module);
    return TRUE;
}

/* PASSIVE. The constructors of C++ objects with static storage, then DriverEntry. */
static __attribute__((noinline)) NTSTATUS PnpCallDriverEntry(PLDRP_IMAGE Image, PDRIVER_OBJECT DriverObject) {
    PKLDR_DATA_TABLE_ENTRY Module = Image->Module;
    WCHAR PathBuffer[sizeof(SERVICES_KEY) + LDR_NAME_BYTES];
    UNICODE_STRING RegistryPath = {0, sizeof(PathBuffer), PathBuffer};
    for (ULONG i = 0; i < Module->SectionCount; i++) {
        const LDR_SECTION *Section = &Module->Section[i];
        if (Image->Sections[Section->ElfIndex].Type == SHT_INIT_ARRAY) {
            INITIALIZER **Initializers = (INITIALIZER **)Section->Start;
            for (SIZE_T n = 0; n < Section->Bytes / sizeof(PVOID); n++) {
                Initializers[n]();
            }
        }
    }
    AppendText(&RegistryPath, SERVICES_KEY);
    AppendText(&RegistryPath, Module->Name);
    RegistryPath.MaximumLength = RegistryPath.Length + sizeof(WCHAR);
    return ((PDRIVER_INITIALIZE)Module->EntryPoint)(DriverObject, &RegistryPath);
}

/* PASSIVE, on a worker thread. */
static __attribute__((noinline)) NTSTATUS IopLoadDriver(PCSTR Name, PDRIVER_OBJECT *DriverObject) {
    LDRP_IMAGE Image = {.Name = Name};
    KeWaitForSingleObject(&LoadMutex, Executive, KernelMode, FALSE, NULL);
    BOOLEAN IsMapped = MapImage(&Image);
    KeReleaseMutex(&LoadMutex, FALSE);
    if (!IsMapped) {
        KdPrintf("ldr: %.63s.sys: refused: %s\n", Name, Image.Reason);
        return Image.Status;
    }
    PKLDR_DATA_TABLE_ENTRY Module = Image.Module;
    PDRIVER_OBJECT Driver = IopCreateDriverObject(Module);
    NTSTATUS Status = STATUS_INSUFFICIENT_RESOURCES;
    if (Driver != NULL) {
        Module->DriverObject = Driver;
        if (LdrImageHook != NULL) {
            LdrImageHook(&Module->FullDllName, Module->DllBase, Module->SizeOfImage);
        }
        Status = PnpCallDriverEntry(&Image, Driver);
    }
    if (!NT_SUCCESS(Status)) {
        KdPrintf("ldr: %s.sys: unloaded: DriverEntry returned 0x%08X\n", Name, Status);
        if (Driver != NULL) {
            IopDeleteDriverObject(Driver);
        }
        LdrpRemoveModule(Module);
        return Status;
    }
    LdrpDiscardInit(&Image);
    IopReadyDevices(Driver);
    *DriverObject = Driver;
    return Status;
}

/* The worker routine of every load and unload. PASSIVE. */
VOID IopLoadUnloadDriver(PVOID Parameter) {
    PLOAD_PACKET Packet = Parameter;
    if (Packet->Name != NULL) {
        Packet->Status = IopLoadDriver(Packet->Name, &Packet->DriverObject);
    } else {
        Packet->Status = LdrpUnloadDriver(Packet->DriverObject);
    }
    KeSetEvent(&Packet->Done, IO_NO_INCREMENT, FALSE); /* the packet is gone from here on */
}

/* Hands a packet to a worker thread and waits for it. PASSIVE. */
static NTSTATUS RunPacket(PLOAD_PACKET Packet) {
    KeInitializeEvent(&Packet->Done, NotificationEvent, FALSE);
    ExInitializeWorkItem(&Packet->WorkItem, IopLoadUnloadDriver, Packet);
    ExQueueWorkItem(&Packet->WorkItem, DelayedWorkQueue);
    KeWaitForSingleObject(&Packet->Done, Executive, KernelMode, FALSE, NULL);
    return Packet->Status;
}

/* Documented as NtLoadDriver; the result is DriverEntry's, or the reason for the refusal. */
NTSTATUS LdrLoadDriver(PCSTR Name, PDRIVER_OBJECT *DriverObject) {
    PAGED_CODE();
    LOAD_PACKET Packet = {.Name = Name};
    NTSTATUS Status = RunPacket(&Packet);
    if (DriverObject != NULL) {
        *DriverObject = NT_SUCCESS(Status) ? Packet.DriverObject : NULL;
    }
    return Status;
}

NTSTATUS LdrUnloadDriver(PDRIVER_OBJECT DriverObject) {
    PAGED_CODE();
    LOAD_PACKET Packet = {.DriverObject = DriverObject};
    return RunPacket(&Packet);
}
