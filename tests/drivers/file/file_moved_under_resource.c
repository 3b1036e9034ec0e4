/* file_moved_under_resource.c: one thread creates files, another moves what a directory's list shows.
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

static ERESOURCE Resource;
static ULONG Made, Moved;

static NTSTATUS Open(PHANDLE File, PWSTR Path, ACCESS_MASK Access, ULONG Disposition, ULONG Options) {
    UNICODE_STRING Name;
    OBJECT_ATTRIBUTES Attributes;
    IO_STATUS_BLOCK Io;
    RtlInitUnicodeString(&Name, Path);
    InitializeObjectAttributes(&Attributes, &Name, OBJ_CASE_INSENSITIVE | OBJ_KERNEL_HANDLE, NULL, NULL);
    return ZwCreateFile(File, Access | SYNCHRONIZE, &Attributes, &Io, NULL, FILE_ATTRIBUTE_NORMAL, 0, Disposition,
                        FILE_SYNCHRONOUS_IO_NONALERT | Options, NULL, 0);
}

static NTSTATUS MakeOne(ULONG Number) {
    WCHAR Path[64];
    IO_STATUS_BLOCK Io;
    HANDLE File;
    RtlStringCbPrintfW(Path, sizeof(Path), L"\\??\\C:\\Temp\\file number %u.txt", Number);
    NTSTATUS Status = Open(&File, Path, FILE_WRITE_DATA, FILE_CREATE, FILE_NON_DIRECTORY_FILE);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    for (ULONG i = 0; i < LINES && NT_SUCCESS(Status); i++) {
        Status = ZwWriteFile(File, NULL, NULL, NULL, &Io, (PVOID)LINE, sizeof(LINE) - 1, NULL, NULL);
    }
    ZwClose(File);
    return Status;
}

static NTSTATUS MoveOne(PCWSTR Leaf, ULONG Bytes) {
    WCHAR Path[64];
    UCHAR Buffer[sizeof(FILE_RENAME_INFORMATION) + PATH_BYTES] = {0};
    PFILE_RENAME_INFORMATION Info = (PFILE_RENAME_INFORMATION)Buffer;
    IO_STATUS_BLOCK Io;
    HANDLE File;
    int Length = (int)(Bytes / sizeof(WCHAR));
    RtlStringCbPrintfW(Path, sizeof(Path), L"\\??\\C:\\Temp\\%.*ws", Length, Leaf);
    NTSTATUS Status = Open(&File, Path, DELETE, FILE_OPEN, FILE_NON_DIRECTORY_FILE);
    if (NT_SUCCESS(Status)) {
        RtlStringCbPrintfW(Info->FileName, PATH_BYTES, L"\\??\\C:\\Temp2\\%.*ws", Length, Leaf);
        Info->FileNameLength = (ULONG)(wcslen(Info->FileName) * sizeof(WCHAR));
        Status = ZwSetInformationFile(File, &Io, Info, sizeof(Buffer), FileRenameInformation);
        ZwClose(File);
    }
    return Status;
}

/* All that one look at the directory shows. */
static NTSTATUS MoveFound(VOID) {
    static UCHAR List[2048];
    PFILE_DIRECTORY_INFORMATION Info = (PFILE_DIRECTORY_INFORMATION)List;
    IO_STATUS_BLOCK Io;
    HANDLE Folder;
    NTSTATUS Status = Open(&Folder, L"\\??\\C:\\Temp", FILE_LIST_DIRECTORY, FILE_OPEN, FILE_DIRECTORY_FILE);
    if (NT_SUCCESS(Status)) {
        Status = ZwQueryDirectoryFile(Folder, NULL, NULL, NULL, &Io, List, sizeof(List), FileDirectoryInformation,
                                      FALSE, NULL, TRUE);
        ZwClose(Folder);
    }
    for (BOOLEAN IsLast = FALSE; NT_SUCCESS(Status) && !IsLast;) {
        if (!(Info->FileAttributes & FILE_ATTRIBUTE_DIRECTORY)) {
            Status = MoveOne(Info->FileName, Info->FileNameLength);
            Moved++;
        }
        IsLast = Info->NextEntryOffset == 0;
        Info = (PFILE_DIRECTORY_INFORMATION)((PUCHAR)Info + Info->NextEntryOffset);
    }
    return Status;
}

static NTSTATUS MakeNext(VOID) {
    return MakeOne(Made++);
}

static BOOLEAN Step(NTSTATUS (*Routine)(VOID)) {
    KeEnterCriticalRegion();
    ExAcquireResourceExclusiveLite(&Resource, TRUE);
    NTSTATUS Status = Routine();
    ExReleaseResourceLite(&Resource);
    KeLeaveCriticalRegion();
    if (!NT_SUCCESS(Status)) {
        DbgPrint("made %u, moved %u: status %08x\n", Made, Moved, Status);
    }
    return NT_SUCCESS(Status);
}

static VOID Maker(PVOID Context) {
    UNREFERENCED_PARAMETER(Context);
    while (Made < FILES && Step(MakeNext)) {
    }
    PsTerminateSystemThread(STATUS_SUCCESS);
}

static VOID Mover(PVOID Context) {
    LARGE_INTEGER Nap = {.QuadPart = -50000};
    UNREFERENCED_PARAMETER(Context);
    while (Moved < FILES && Step(MoveFound)) {
        KeDelayExecutionThread(KernelMode, FALSE, &Nap);
    }
    DbgPrint("moved %u\n", Moved);
    PsTerminateSystemThread(STATUS_SUCCESS);
}

NTSTATUS DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath) {
    UNREFERENCED_PARAMETER(DriverObject);
    UNREFERENCED_PARAMETER(RegistryPath);
    ExInitializeResourceLite(&Resource);
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
