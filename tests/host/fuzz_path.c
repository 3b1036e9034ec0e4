/* fuzz_path.c: arbitrary paths through a small name space with links that lead on, nowhere and in circles: the lookup
 * ends, gives back every reference, and what is left of the path lies inside it. Built with -fsanitize=fuzzer. */
#include "../../kernel/ob/obp.h"

int CheckFailures;
_Noreturn void abort(void);
void *malloc(size_t Bytes);
void free(void *Memory);

static OBJECT_TYPE Directories, Links, Devices;
POBJECT_TYPE ObpDirectoryType = &Directories, ObpSymbolicLinkType = &Links;
POBP_DIRECTORY ObpRoot;
KSPIN_LOCK ObpNameLock;

/* ---- What the lookup asks of the kernel ---- */
static LONG64 References;

POBJECT_TYPE ObGetType(PVOID Object) {
    return ObpHeader(Object)->Type;
}
LONG_PTR ObfReferenceObject(PVOID Object) {
    References++;
    return ++ObpHeader(Object)->PointerCount;
}
LONG_PTR ObfDereferenceObject(PVOID Object) {
    References--;
    CHECK(ObpHeader(Object)->PointerCount > 1);
    return --ObpHeader(Object)->PointerCount;
}
KIRQL KeAcquireSpinLockRaiseToDpc(PKSPIN_LOCK SpinLock) {
    return (KIRQL)(SpinLock == NULL);
}
VOID KeReleaseSpinLock(PKSPIN_LOCK SpinLock, KIRQL NewIrql) {
    CHECK(SpinLock == &ObpNameLock && NewIrql == 0);
}
PVOID ExAllocatePoolWithTag(POOL_TYPE PoolType, SIZE_T Bytes, ULONG Tag) {
    CHECK(PoolType == NonPagedPoolNx && Tag != 0);
    return malloc(Bytes);
}
VOID ExFreePoolWithTag(PVOID Memory, ULONG Tag) {
    CHECK(Tag != 0);
    free(Memory);
}
NTSTATUS KiCopyGuarded(PVOID To, const void *From, SIZE_T Bytes) {
    memcpy(To, From, Bytes);
    return STATUS_SUCCESS;
}
PVOID ObpFindName(POBP_DIRECTORY Directory, PCUNICODE_STRING Name, BOOLEAN IsCaseInsensitive) {
    for (PLIST_ENTRY Entry = Directory->Names.Flink; Entry != &Directory->Names; Entry = Entry->Flink) {
        POBP_NAME Known = CONTAINING_RECORD(Entry, OBP_NAME, ListEntry);
        if (RtlEqualUnicodeString(&Known->Name, Name, IsCaseInsensitive)) {
            return Known->Object;
        }
    }
    return NULL;
}

/* ---- The name space ---- */

static PVOID Make(POBP_DIRECTORY Parent, PCWSTR Text, POBJECT_TYPE Type, SIZE_T BodyBytes) {
    POBJECT_HEADER Header = malloc(sizeof(*Header) + BodyBytes);
    POBP_NAME Name = malloc(sizeof(*Name));
    *Header = (OBJECT_HEADER){.PointerCount = 1, .Type = Type, .Name = Name};
    *Name = (OBP_NAME){.Directory = Parent, .Object = ObpBody(Header)};
    RtlInitUnicodeString(&Name->Name, Text);
    if (Parent != NULL) {
        InsertTailList(&Parent->Names, &Name->ListEntry);
    }
    if (Type == &Directories) {
        InitializeListHead(&((POBP_DIRECTORY)ObpBody(Header))->Names);
    }
    return ObpBody(Header);
}

static VOID MakeLink(POBP_DIRECTORY Parent, PCWSTR Text, PCWSTR Target) {
    POBP_SYMBOLIC_LINK Link = Make(Parent, Text, &Links, sizeof(*Link));
    RtlInitUnicodeString(&Link->Target, Target);
}

static VOID MakeNameSpace(VOID) {
    ObpRoot = Make(NULL, L"", &Directories, sizeof(OBP_DIRECTORY));
    POBP_DIRECTORY Device = Make(ObpRoot, L"Device", &Directories, sizeof(OBP_DIRECTORY));
    POBP_DIRECTORY Global = Make(ObpRoot, L"GLOBAL??", &Directories, sizeof(OBP_DIRECTORY));
    Make(Device, L"HarddiskVolume1", &Devices, 16);
    MakeLink(ObpRoot, L"??", L"\\GLOBAL??");
    MakeLink(ObpRoot, L"DosDevices", L"\\??");
    MakeLink(Global, L"C:", L"\\Device\\HarddiskVolume1");
    MakeLink(Global, L"Up", L"\\");
    MakeLink(Global, L"Loop", L"\\??\\Loop");
    MakeLink(Global, L"Long", L"\\??\\Long\\and\\longer");
    MakeLink(Global, L"Bad", L"no path");
    MakeLink(Global, L"None", L"\\Nowhere\\at\\all");
}

int LLVMFuzzerTestOneInput(const UCHAR *Data, SIZE_T Bytes) {
    if (ObpRoot == NULL) {
        MakeNameSpace();
    }
    if (Bytes < 1 || Bytes > 60000) {
        return 0;
    }
    ULONG Length = (ULONG)(Bytes - 1);
    PWCH Text = malloc(Length * sizeof(WCHAR) + 1); /* no terminator: it is a counted string */
    for (ULONG i = 0; i < Length; i++) {
        Text[i] = Data[1 + i];
    }
    UNICODE_STRING Name = {(USHORT)(Length * sizeof(WCHAR) & 0xFFFE), (USHORT)(Length * sizeof(WCHAR) & 0xFFFE), Text};
    ULONG Attributes = (Data[0] & 1 ? OBJ_CASE_INSENSITIVE : 0) | (Data[0] & 2 ? OBJ_OPENLINK : 0);
    OB_LOOKUP Lookup;
    NTSTATUS Status = ObLookupName(Data[0] & 4 ? ObpRoot : NULL, &Name, Attributes, &Lookup);
    CHECK(!NT_SUCCESS(Status) || Lookup.Object != NULL);
    volatile WCHAR Sum = 0;
    for (ULONG i = 0; i < Lookup.Rest.Length / sizeof(WCHAR); i++) {
        Sum += Lookup.Rest.Buffer[i];
    }
    ObReleaseLookup(&Lookup);
    CHECK(References == 0);
    free(Text);
    if (CheckFailures != 0) {
        abort();
    }
    return 0;
}
