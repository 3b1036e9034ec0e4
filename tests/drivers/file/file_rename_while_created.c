/* file_rename_while_created.c: one thread renames a file to a name that another keeps creating.
 *
 * expect: completed
 * run: --seeds 20
 */
#include <ntifs.h>
#include <ntstrsafe.h>

DRIVER_INITIALIZE DriverEntry;

static NTSTATUS Open(PHANDLE Handle, PCWSTR Path, ACCESS_MASK Access, ULONG Share, ULONG Disposition, ULONG Options) {
    UNICODE_STRING Name;
    OBJECT_ATTRIBUTES Attributes;
    IO_STATUS_BLOCK Io;
    RtlInitUnicodeString(&Name, Path);
    InitializeObjectAttributes(&Attributes, &Name, OBJ_CASE_INSENSITIVE | OBJ_KERNEL_HANDLE, NULL, NULL);
    return ZwCreateFile(Handle, Access, &Attributes, &Io, NULL, FILE_ATTRIBUTE_NORMAL, Share, Disposition,
                        Options | FILE_SYNCHRONOUS_IO_NONALERT, NULL, 0);
}

static NTSTATUS Rename(HANDLE File, PCWSTR Target) {
    UCHAR Buffer[sizeof(FILE_RENAME_INFORMATION) + 128] = {0};
    PFILE_RENAME_INFORMATION Info = (PFILE_RENAME_INFORMATION)Buffer;
    IO_STATUS_BLOCK Io;
    Info->ReplaceIfExists = TRUE;
    Info->FileNameLength = (ULONG)(wcslen(Target) * sizeof(WCHAR));
    RtlCopyMemory(Info->FileName, Target, Info->FileNameLength);
    return ZwSetInformationFile(File, &Io, Info, sizeof(FILE_RENAME_INFORMATION) + Info->FileNameLength,
                                FileRenameInformation);
}

static VOID Creator(VOID) {
    for (ULONG i = 0; i < 5; i++) {
        HANDLE File;
        NTSTATUS Status = Open(&File, L"\\??\\C:\\Temp2\\target.txt", GENERIC_WRITE, 0, FILE_OVERWRITE_IF, 0);
        DbgPrint("create: %08x\n", Status);
        if (NT_SUCCESS(Status)) {
            ZwClose(File);
        }
    }
}

/* STATUS_ACCESS_DENIED: the other one has the target open. */
static VOID Renamer(VOID) {
    for (ULONG i = 0; i < 5; i++) {
        HANDLE File;
        NTSTATUS Status = Open(&File, L"\\??\\C:\\Temp\\source.txt", GENERIC_WRITE | DELETE, 0, FILE_OVERWRITE_IF, 0);
        if (NT_SUCCESS(Status)) {
            DbgPrint("rename: %08x\n", Rename(File, L"\\??\\C:\\Temp2\\target.txt"));
            ZwClose(File);
        }
    }
}

static VOID Worker(PVOID Context) {
    if (Context) {
        Renamer();
    } else {
        Creator();
    }
    PsTerminateSystemThread(STATUS_SUCCESS);
}

NTSTATUS DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath) {
    UNREFERENCED_PARAMETER(DriverObject);
    UNREFERENCED_PARAMETER(RegistryPath);
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
