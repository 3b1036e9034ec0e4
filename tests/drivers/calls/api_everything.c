/* api_everything.c: each call that public sample drivers make, in the way they make it, in one driver.
 *
 * expect: completed
 * run: --cpus 2 --unload
 */
#include <ntifs.h>
#include <ntddk.h>
#include <wdm.h>
#include <windef.h>
#include <ntstrsafe.h>

#define TAG 'tseT'
#define SOME_PROCESS_RIGHT PROCESS_TERMINATE

typedef struct _EXTENSION {
    FAST_MUTEX FastMutex;
    KGUARDED_MUTEX GuardedMutex;
    KMUTEX Mutex;
    KEVENT Event;
    KSEMAPHORE Semaphore;
    KSPIN_LOCK SpinLock;
    ERESOURCE Resource;
    EX_PUSH_LOCK PushLock;
    LIST_ENTRY List;
    BOOLEAN Done;
} EXTENSION, *PEXTENSION;

NTKERNELAPI char *PsGetProcessImageFileName(PEPROCESS Process);
NTKERNELAPI PEPROCESS IoThreadToProcess(PETHREAD Thread);
DRIVER_INITIALIZE DriverEntry;
DRIVER_UNLOAD Unload;
static NTSTATUS Worker(IN PVOID Context);
VOID Pageable();
#pragma alloc_text(PAGE, Pageable)

static PDEVICE_OBJECT Device;
static HANDLE ThreadHandle;
static LONG Failures;

#define CHECK(e) ((e) ? (void)0 : (void)(InterlockedIncrement(&Failures), DbgPrint("line %d: %s\n", __LINE__, #e)))

static void Locks(PEXTENSION E) {
    KIRQL OldIrql;
    LARGE_INTEGER Timeout;
    Timeout.QuadPart = -10 * 1000LL;
    ExAcquireFastMutex(&E->FastMutex);
    CHECK(KeGetCurrentIrql() == APC_LEVEL);
    ExReleaseFastMutex(&E->FastMutex);
    KeAcquireGuardedMutex(&E->GuardedMutex);
    KeReleaseGuardedMutex(&E->GuardedMutex);
    CHECK(KeWaitForSingleObject(&E->Mutex, Executive, KernelMode, FALSE, NULL) == STATUS_SUCCESS);
    KeReleaseMutex(&E->Mutex, FALSE);
    KeSetEvent(&E->Event, IO_NO_INCREMENT, FALSE);
    CHECK(KeWaitForSingleObject(&E->Event, Executive, KernelMode, FALSE, &Timeout) == STATUS_SUCCESS);
    CHECK(KeWaitForSingleObject(&E->Event, Executive, KernelMode, FALSE, &Timeout) == STATUS_TIMEOUT);
    CHECK(KeReleaseSemaphore(&E->Semaphore, IO_NO_INCREMENT, 1, FALSE) == 0);
    CHECK(KeWaitForSingleObject(&E->Semaphore, Executive, KernelMode, FALSE, NULL) == STATUS_SUCCESS);
    KeAcquireSpinLock(&E->SpinLock, &OldIrql);
    CHECK(KeGetCurrentIrql() == DISPATCH_LEVEL);
    KeReleaseSpinLock(&E->SpinLock, OldIrql);
    KeRaiseIrql(APC_LEVEL, &OldIrql);
    KeLowerIrql(OldIrql);
    KeEnterCriticalRegion();
    CHECK(ExAcquireResourceExclusiveLite(&E->Resource, TRUE));
    ExReleaseResourceLite(&E->Resource);
    CHECK(ExAcquireResourceSharedLite(&E->Resource, TRUE));
    ExReleaseResourceLite(&E->Resource);
    ExAcquirePushLockExclusive(&E->PushLock);
    ExReleasePushLockExclusive(&E->PushLock);
    ExAcquirePushLockShared(&E->PushLock);
    ExReleasePushLockShared(&E->PushLock);
    KeLeaveCriticalRegion();
    KeDelayExecutionThread(KernelMode, FALSE, &Timeout);
}

static void Files(void) {
    UNICODE_STRING Name;
    OBJECT_ATTRIBUTES Attributes;
    IO_STATUS_BLOCK StatusBlock;
    HANDLE File;
    WCHAR Path[] = L"\\DosDevices\\C:\\Temp2\\api.txt";
    CHAR Text[] = "fifteen bytes..";
    struct {
        FILE_RENAME_INFORMATION Header;
        WCHAR Room[64];
    } Rename;
    FILE_BASIC_INFORMATION Basic;
    RtlInitUnicodeString(&Name, L"\\??\\C:\\Temp\\api.txt");
    InitializeObjectAttributes(&Attributes, &Name, OBJ_CASE_INSENSITIVE | OBJ_KERNEL_HANDLE, NULL, NULL);
    CHECK(NT_SUCCESS(ZwCreateFile(&File, GENERIC_WRITE, &Attributes, &StatusBlock, NULL, FILE_ATTRIBUTE_NORMAL, 0,
                                  FILE_OVERWRITE_IF, FILE_SYNCHRONOUS_IO_NONALERT, NULL, 0)));
    CHECK(NT_SUCCESS(ZwWriteFile(File, NULL, NULL, NULL, &StatusBlock, Text, (ULONG)strlen(Text), NULL, NULL)));
    CHECK(StatusBlock.Information == 15);
    ZwClose(File);
    CHECK(NT_SUCCESS(ZwOpenFile(&File, FILE_ALL_ACCESS, &Attributes, &StatusBlock, FILE_SHARE_READ | FILE_SHARE_WRITE,
                                FILE_SYNCHRONOUS_IO_NONALERT)));
    CHECK(NT_SUCCESS(ZwReadFile(File, NULL, NULL, NULL, &StatusBlock, Text, 15, NULL, NULL)));
    CHECK(NT_SUCCESS(ZwQueryInformationFile(File, &StatusBlock, &Basic, sizeof(Basic), FileBasicInformation)));
    memset(&Rename, 0, sizeof(Rename));
    Rename.Header.ReplaceIfExists = TRUE;
    Rename.Header.FileNameLength = (ULONG)(wcslen(Path) * sizeof(WCHAR));
    RtlCopyMemory(Rename.Header.FileName, Path, Rename.Header.FileNameLength);
    CHECK(NT_SUCCESS(ZwSetInformationFile(File, &StatusBlock, &Rename,
                                          sizeof(FILE_RENAME_INFORMATION) + Rename.Header.FileNameLength,
                                          FileRenameInformation)));
    ZwClose(File);
    CHECK(ZwOpenFile(&File, FILE_READ_ATTRIBUTES, &Attributes, &StatusBlock, 0, FILE_SYNCHRONOUS_IO_NONALERT) ==
          STATUS_INVALID_PARAMETER);
    RtlInitUnicodeString(&Name, Path);
    CHECK(NT_SUCCESS(ZwOpenFile(&File, DELETE | SYNCHRONIZE, &Attributes, &StatusBlock, FILE_SHARE_DELETE,
                                FILE_SYNCHRONOUS_IO_NONALERT | FILE_DELETE_ON_CLOSE)));
    ZwClose(File);
}

static void Memory(void) {
    PHYSICAL_ADDRESS Highest;
    PVOID A = ExAllocatePoolWithTag(NonPagedPool, 100, TAG), B = ExAllocatePool2(POOL_FLAG_PAGED, 100, TAG);
    PVOID C = ExAllocatePool(PagedPool, 5000), D;
    Highest.QuadPart = -1;
    D = MmAllocateContiguousMemory(8192, Highest);
    CHECK(A != NULL && B != NULL && C != NULL && D != NULL);
    CHECK(*(PUCHAR)B == 0);
    CHECK(MmIsAddressValid(A));
    RtlFillMemory(A, 100, 0x55);
    RtlZeroMemory(A, 100);
    ExFreePoolWithTag(A, TAG);
    ExFreePool(B);
    ExFreePool(C);
    MmFreeContiguousMemory(D);
}

static void Text(void) {
    WCHAR Wide[64];
    CHAR Narrow[64];
    UNICODE_STRING A, B = RTL_CONSTANT_STRING(L"constant");
    CHECK(NT_SUCCESS(RtlStringCchPrintfW(Wide, RTL_NUMBER_OF(Wide), L"\\file%d.%ws", 7, L"txt")));
    CHECK(wcsrchr(Wide, L'.') == Wide + 6);
    CHECK(RtlStringCchPrintfW(Wide, 4, L"%s", L"longer") == STATUS_BUFFER_OVERFLOW);
    CHECK(swprintf_s(Wide, RTL_NUMBER_OF(Wide), L"%u", 42) == 2);
    CHECK(wcscpy_s(Wide, RTL_NUMBER_OF(Wide), L"copied") == 0);
    CHECK(sprintf(Narrow, "%08X %s", 0xBEEF, "x") == 10);
    CHECK(_stricmp("SYSTEM", "System") == 0);
    CHECK(NT_SUCCESS(RtlUnicodeStringInit(&A, Wide)) && A.Length == 12);
    RtlCopyUnicodeString(&A, &B);
    CHECK(A.Length == 14);
    DbgPrint("%s %d %u %lu %x %X %08X %10d %8d %-20S| %wZ\n", __FUNCTION__, -1, 1u, 2u, 0xab, 0xAB, 0xABC, 5, 6,
             L"wide", &B);
    KdPrint(("kd %d\n", 1));
}

static void Processes(void) {
    PEPROCESS Process;
    PETHREAD Thread;
    PUNICODE_STRING ImageName;
    KAPC_STATE State;
    CHAR NameRoom[256];
    POBJECT_NAME_INFORMATION Name = (POBJECT_NAME_INFORMATION)NameRoom;
    ULONG Bytes;
    CHECK(NT_SUCCESS(PsLookupProcessByProcessId(ULongToHandle(4), &Process)));
    CHECK(Process == PsInitialSystemProcess && PsGetProcessId(Process) == (HANDLE)4);
    CHECK(_stricmp(PsGetProcessImageFileName(Process), "system") == 0);
    CHECK(NT_SUCCESS(SeLocateProcessImageName(Process, &ImageName)));
    ExFreePool(ImageName);
    KeStackAttachProcess(Process, &State);
    KeUnstackDetachProcess(&State);
    ObDereferenceObject(Process);
    CHECK(PsGetCurrentProcess() == IoThreadToProcess(PsGetCurrentThread()));
    CHECK(NT_SUCCESS(PsLookupThreadByThreadId(PsGetCurrentThreadId(), &Thread)));
    CHECK(Thread == PsGetCurrentThread());
    KeSetPriorityThread((PKTHREAD)Thread, LOW_REALTIME_PRIORITY);
    CHECK(NT_SUCCESS(ObQueryNameString(Device, Name, sizeof(NameRoom), &Bytes)));
    ObDereferenceObject(Thread);
}

VOID Pageable() {
    PAGED_CODE();
    InterlockedIncrement(&Failures);
    InterlockedDecrement(&Failures);
}

static NTSTATUS Worker(IN PVOID Context) {
    PEXTENSION E = (PEXTENSION)Context;
    LARGE_INTEGER Ticks;
    KeQueryTickCount(&Ticks);
    Locks(E);
    Files();
    Memory();
    Text();
    Processes();
    Pageable();
    E->Done = TRUE;
    if (Failures != 0) {
        KeBugCheckEx(MANUALLY_INITIATED_CRASH, Failures, 0, 0, 0);
    }
    return STATUS_SUCCESS;
}

VOID Unload(_In_ PDRIVER_OBJECT DriverObject) {
    PEXTENSION E = Device->DeviceExtension;
    UNREFERENCED_PARAMETER(DriverObject);
    CHECK(E->Done);
    ExDeleteResourceLite(&E->Resource);
    IoDeleteDevice(Device);
}

_Use_decl_annotations_ NTSTATUS DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath) {
    PEXTENSION E;
    NTSTATUS Status = IoCreateDevice(DriverObject, sizeof(EXTENSION), NULL, FILE_DEVICE_UNKNOWN,
                                     FILE_DEVICE_SECURE_OPEN, FALSE, &Device);
    UNREFERENCED_PARAMETER(RegistryPath);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    DriverObject->DriverUnload = Unload;
    E = (PEXTENSION)Device->DeviceExtension;
    ExInitializeFastMutex(&E->FastMutex);
    KeInitializeGuardedMutex(&E->GuardedMutex);
    KeInitializeMutex(&E->Mutex, 0);
    KeInitializeEvent(&E->Event, SynchronizationEvent, FALSE);
    KeInitializeSemaphore(&E->Semaphore, 0, 1);
    KeInitializeSpinLock(&E->SpinLock);
    ExInitializeResourceLite(&E->Resource);
    ExInitializePushLock(&E->PushLock);
    InitializeListHead(&E->List);
    Status = PsCreateSystemThread(&ThreadHandle, (ACCESS_MASK)0, NULL, (PHANDLE)0, NULL, Worker, E);
    if (!NT_SUCCESS(Status)) {
        IoDeleteDevice(Device);
        return Status;
    }
    ZwClose(ThreadHandle);
    return STATUS_SUCCESS;
}
