/* file_moved_under_mutex.c: one thread creates files line by line, another moves them away.
 *
 * expect: completed
 */
#include <ntifs.h>
#include <ntstrsafe.h>

#define FILES 100
#define LINES 100
#define LINE "a line of text\n"
#define PATH_BYTES (64 * sizeof(WCHAR))

DRIVER_INITIALIZE DriverEntry;

static KMUTEX Mutex;
static ULONG Made, Moved;

static NTSTATUS Open(PHANDLE File, PWSTR Path, ACCESS_MASK Access, ULONG Disposition) {
    UNICODE_STRING Name;
    OBJECT_ATTRIBUTES Attributes;
    IO_STATUS_BLOCK Io;
    RtlInitUnicodeString(&Name, Path);
    InitializeObjectAttributes(&Attributes, &Name, OBJ_CASE_INSENSITIVE | OBJ_KERNEL_HANDLE, NULL, NULL);
    return ZwCreateFile(File, Access | SYNCHRONIZE, &Attributes, &Io, NULL, FILE_ATTRIBUTE_NORMAL, 0, Disposition,
                        FILE_SYNCHRONOUS_IO_NONALERT | FILE_NON_DIRECTORY_FILE, NULL, 0);
}

static NTSTATUS MakeOne(ULONG Number) {
    WCHAR Path[64];
    IO_STATUS_BLOCK Io;
    HANDLE File;
    RtlStringCbPrintfW(Path, sizeof(Path), L"\\??\\C:\\Temp\\file number %u.txt", Number);
    NTSTATUS Status = Open(&File, Path, FILE_WRITE_DATA, FILE_CREATE);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    for (ULONG i = 0; i < LINES && NT_SUCCESS(Status); i++) {
        Status = ZwWriteFile(File, NULL, NULL, NULL, &Io, (PVOID)LINE, sizeof(LINE) - 1, NULL, NULL);
    }
    ZwClose(File);
    return Status;
}

static NTSTATUS MoveOne(ULONG Number) {
    WCHAR Path[64];
    UCHAR Buffer[sizeof(FILE_RENAME_INFORMATION) + PATH_BYTES] = {0};
    PFILE_RENAME_INFORMATION Info = (PFILE_RENAME_INFORMATION)Buffer;
    IO_STATUS_BLOCK Io;
    HANDLE File;
    RtlStringCbPrintfW(Path, sizeof(Path), L"\\??\\C:\\Temp\\file number %u.txt", Number);
    NTSTATUS Status = Open(&File, Path, DELETE, FILE_OPEN);
    if (NT_SUCCESS(Status)) {
        RtlStringCbPrintfW(Info->FileName, PATH_BYTES, L"\\??\\C:\\Temp2\\file number %u.txt", Number);
        Info->FileNameLength = (ULONG)(wcslen(Info->FileName) * sizeof(WCHAR));
        Status = ZwSetInformationFile(File, &Io, Info, sizeof(Buffer), FileRenameInformation);
        ZwClose(File);
    }
    return Status;
}

/* One step with the mutex held. */
static NTSTATUS Step(PULONG Done, ULONG Limit, NTSTATUS (*Routine)(ULONG Number)) {
    NTSTATUS Status = STATUS_SUCCESS;
    KeWaitForSingleObject(&Mutex, Executive, KernelMode, FALSE, NULL);
    if (*Done < Limit) {
        Status = Routine(*Done);
        ++*Done;
    }
    KeReleaseMutex(&Mutex, FALSE);
    if (!NT_SUCCESS(Status)) {
        DbgPrint("file %u: status %08x\n", *Done - 1, Status);
    }
    return Status;
}

static VOID Maker(PVOID Context) {
    UNREFERENCED_PARAMETER(Context);
    while (Made < FILES && NT_SUCCESS(Step(&Made, FILES, MakeOne))) {
    }
    PsTerminateSystemThread(STATUS_SUCCESS);
}

static VOID Mover(PVOID Context) {
    LARGE_INTEGER Nap = {.QuadPart = -50000};
    UNREFERENCED_PARAMETER(Context);
    while (Moved < FILES && NT_SUCCESS(Step(&Moved, Made, MoveOne))) {
        if (Moved == Made) {
            KeDelayExecutionThread(KernelMode, FALSE, &Nap);
        }
    }
    DbgPrint("moved %u\n", Moved);
    PsTerminateSystemThread(STATUS_SUCCESS);
}

NTSTATUS DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath) {
    UNREFERENCED_PARAMETER(DriverObject);
    UNREFERENCED_PARAMETER(RegistryPath);
    KeInitializeMutex(&Mutex, 0);
    for (ULONG i = 0; i < 2; i++) {
        HANDLE Thread;
        NTSTATUS Status =
            PsCreateSystemThread(&Thread, THREAD_ALL_ACCESS, NULL, NULL, NULL, i == 0 ? Maker : Mover, NULL);
        if (!NT_SUCCESS(Status)) {
            return Status;
        }
        ZwClose(Thread);
    }
    return STATUS_SUCCESS;
}
