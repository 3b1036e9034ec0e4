/* file_before_fast_mutex.c: raises to DISPATCH_LEVEL, logs its IRQL to a file, then takes a fast mutex: it never gets to the mutex.
 *
 * expect: bugcheck 0x000000D1 (*, 2, 0, driver) in fastfat!FatVerifyVolume
 */
#include <ntifs.h>
#include <ntstrsafe.h>

DRIVER_INITIALIZE DriverEntry;

static FAST_MUTEX Mutex;
static ULONG Guarded;

static NTSTATUS Open(PHANDLE Handle, PCWSTR Path, ACCESS_MASK Access, ULONG Share, ULONG Disposition, ULONG Options) {
    UNICODE_STRING Name;
    OBJECT_ATTRIBUTES Attributes;
    IO_STATUS_BLOCK Io;
    RtlInitUnicodeString(&Name, Path);
    InitializeObjectAttributes(&Attributes, &Name, OBJ_CASE_INSENSITIVE | OBJ_KERNEL_HANDLE, NULL, NULL);
    return ZwCreateFile(Handle, Access, &Attributes, &Io, NULL, FILE_ATTRIBUTE_NORMAL, Share, Disposition,
                        Options | FILE_SYNCHRONOUS_IO_NONALERT, NULL, 0);
}

static NTSTATUS Write(HANDLE Handle, const CHAR *Text) {
    IO_STATUS_BLOCK Io;
    return ZwWriteFile(Handle, NULL, NULL, NULL, &Io, (PVOID)Text, (ULONG)strlen(Text), NULL, NULL);
}

static VOID LogIrql(PCWSTR Path) {
    HANDLE File;
    CHAR Line[32];
    RtlStringCbPrintfA(Line, sizeof(Line), "IRQL %u\r\n", KeGetCurrentIrql());
    if (NT_SUCCESS(Open(&File, Path, GENERIC_WRITE, 0, FILE_OVERWRITE_IF, 0))) {
        Write(File, Line);
        ZwClose(File);
    }
}

static VOID Worker(PVOID Context) {
    KIRQL OldIrql;
    KeRaiseIrql(DISPATCH_LEVEL, &OldIrql);
    LogIrql(Context ? L"\\??\\C:\\Temp\\irql1.txt" : L"\\??\\C:\\Temp\\irql0.txt");
    ExAcquireFastMutex(&Mutex);
    Guarded++;
    ExReleaseFastMutex(&Mutex);
    KeLowerIrql(OldIrql);
    PsTerminateSystemThread(STATUS_SUCCESS);
}

NTSTATUS DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath) {
    UNREFERENCED_PARAMETER(DriverObject);
    UNREFERENCED_PARAMETER(RegistryPath);
    ExInitializeFastMutex(&Mutex);
    for (ULONG i = 0; i < 2; i++) {
        HANDLE Thread;
        NTSTATUS Status =
            PsCreateSystemThread(&Thread, THREAD_ALL_ACCESS, NULL, NULL, NULL, Worker, (PVOID)(ULONG_PTR)i);
        if (!NT_SUCCESS(Status)) {
            return Status;
        }
        ZwClose(Thread);
    }
    return STATUS_SUCCESS;
}
