/* sample_log_queue.c: records taken at DISPATCH_LEVEL from a lookaside list are written to a file by a work item.
 *
 * expect: completed
 * run: --unload
 */
#include <ntifs.h>
#include <ntstrsafe.h>

#define LOG_TAG 'goLS'
#define RECORDS 20

typedef struct _LOG_RECORD {
    LIST_ENTRY Link;
    LARGE_INTEGER Time;
    CHAR Text[64];
} LOG_RECORD, *PLOG_RECORD;

DRIVER_INITIALIZE DriverEntry;
DRIVER_UNLOAD Unload;
IO_WORKITEM_ROUTINE WriteRecords;

static NPAGED_LOOKASIDE_LIST Lookaside;
static LIST_ENTRY Records;
static KSPIN_LOCK RecordsLock;
static PIO_WORKITEM WorkItem;
static LONG IsWorkQueued, Written;
static EX_RUNDOWN_REF Runs; /* of the work item, queued or running */
static HANDLE LogFile;

_IRQL_requires_max_(DISPATCH_LEVEL)
static BOOLEAN Log(PDEVICE_OBJECT DeviceObject, PCSTR Format, ...) {
    PLOG_RECORD Record = (PLOG_RECORD)ExAllocateFromNPagedLookasideList(&Lookaside);
    va_list Arguments;
    if (Record == NULL) {
        return FALSE;
    }
    KeQuerySystemTimePrecise(&Record->Time);
    va_start(Arguments, Format);
    RtlStringCbVPrintfA(Record->Text, sizeof(Record->Text), Format, Arguments);
    va_end(Arguments);
    ExInterlockedInsertTailList(&Records, &Record->Link, &RecordsLock);
    if (InterlockedExchange(&IsWorkQueued, TRUE) == FALSE) {
        ExAcquireRundownProtection(&Runs);
        IoQueueWorkItem(WorkItem, WriteRecords, DelayedWorkQueue, DeviceObject);
    }
    return TRUE;
}

static VOID WriteRecord(PLOG_RECORD Record) {
    CHAR Line[128];
    TIME_FIELDS Fields;
    LARGE_INTEGER LocalTime, Append = {.LowPart = FILE_WRITE_TO_END_OF_FILE, .HighPart = -1};
    IO_STATUS_BLOCK Result;
    size_t Length = 0;
    ExSystemTimeToLocalTime(&Record->Time, &LocalTime);
    RtlTimeToTimeFields(&LocalTime, &Fields);
    RtlStringCbPrintfA(Line, sizeof(Line), "%04d-%02d-%02d %02d:%02d:%02d.%03d %s\r\n", Fields.Year, Fields.Month, Fields.Day,
                       Fields.Hour, Fields.Minute, Fields.Second, Fields.Milliseconds, Record->Text);
    if (NT_SUCCESS(RtlStringCbLengthA(Line, sizeof(Line), &Length)) &&
        NT_SUCCESS(ZwWriteFile(LogFile, NULL, NULL, NULL, &Result, Line, (ULONG)Length, &Append, NULL))) {
        Written++;
    }
}

VOID WriteRecords(PDEVICE_OBJECT DeviceObject, PVOID Context) {
    PLIST_ENTRY Entry;
    UNREFERENCED_PARAMETER(DeviceObject);
    UNREFERENCED_PARAMETER(Context);
    PAGED_CODE();
    InterlockedExchange(&IsWorkQueued, FALSE); /* what comes from here on queues the item again */
    while ((Entry = ExInterlockedRemoveHeadList(&Records, &RecordsLock)) != NULL) {
        PLOG_RECORD Record = CONTAINING_RECORD(Entry, LOG_RECORD, Link);
        WriteRecord(Record);
        ExFreeToNPagedLookasideList(&Lookaside, Record);
    }
    ExReleaseRundownProtection(&Runs);
}

static NTSTATUS OpenLog(VOID) {
    UNICODE_STRING Path = RTL_CONSTANT_STRING(L"\\DosDevices\\C:\\Temp\\sample.log");
    OBJECT_ATTRIBUTES Attributes;
    IO_STATUS_BLOCK Result;
    InitializeObjectAttributes(&Attributes, &Path, OBJ_CASE_INSENSITIVE | OBJ_KERNEL_HANDLE, NULL, NULL);
    return ZwCreateFile(&LogFile, FILE_APPEND_DATA | SYNCHRONIZE, &Attributes, &Result, NULL, FILE_ATTRIBUTE_NORMAL,
                        FILE_SHARE_READ, FILE_OVERWRITE_IF, FILE_SYNCHRONOUS_IO_NONALERT | FILE_NON_DIRECTORY_FILE, NULL, 0);
}

VOID Unload(PDRIVER_OBJECT DriverObject) {
    FILE_STANDARD_INFORMATION Information = {0};
    IO_STATUS_BLOCK Result;
    ExWaitForRundownProtectionRelease(&Runs);
    IoFreeWorkItem(WorkItem);
    ZwQueryInformationFile(LogFile, &Result, &Information, sizeof(Information), FileStandardInformation);
    ZwClose(LogFile);
    ExDeleteNPagedLookasideList(&Lookaside);
    DbgPrint("%d lines, %I64d bytes\n", Written, Information.EndOfFile.QuadPart);
    if (Written != RECORDS || Information.EndOfFile.QuadPart != RECORDS * (24 + 9 + 2)) {
        KeBugCheckEx(0xDEAD0001, Written, (ULONG_PTR)Information.EndOfFile.QuadPart, 0, 0);
    }
    IoDeleteDevice(DriverObject->DeviceObject);
}

NTSTATUS DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath) {
    PDEVICE_OBJECT DeviceObject;
    UNREFERENCED_PARAMETER(RegistryPath);
    NTSTATUS Status = OpenLog();
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    Status = IoCreateDevice(DriverObject, 0, NULL, FILE_DEVICE_UNKNOWN, 0, FALSE, &DeviceObject);
    WorkItem = NT_SUCCESS(Status) ? IoAllocateWorkItem(DeviceObject) : NULL;
    if (WorkItem == NULL) {
        ZwClose(LogFile);
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    ExInitializeNPagedLookasideList(&Lookaside, NULL, NULL, POOL_NX_ALLOCATION, sizeof(LOG_RECORD), LOG_TAG, 0);
    InitializeListHead(&Records);
    KeInitializeSpinLock(&RecordsLock);
    ExInitializeRundownProtection(&Runs);
    DriverObject->DriverUnload = Unload;
    for (LONG i = 0; i < RECORDS; i++) {
        KIRQL OldIrql = KeRaiseIrqlToDpcLevel();
        Log(DeviceObject, "record %02d", i);
        KeLowerIrql(OldIrql);
    }
    return STATUS_SUCCESS;
}
