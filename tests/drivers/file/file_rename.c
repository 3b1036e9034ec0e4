/* file_rename.c: a file moves from one directory to another, and is read back there.
 *
 * expect: completed
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

static NTSTATUS Write(HANDLE Handle, const CHAR *Text) {
    IO_STATUS_BLOCK Io;
    return ZwWriteFile(Handle, NULL, NULL, NULL, &Io, (PVOID)Text, (ULONG)strlen(Text), NULL, NULL);
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

NTSTATUS DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath) {
    UNREFERENCED_PARAMETER(DriverObject);
    UNREFERENCED_PARAMETER(RegistryPath);
    HANDLE File;
    CHAR Text[16] = {0};
    IO_STATUS_BLOCK Io;
    NTSTATUS Status = Open(&File, L"\\??\\C:\\Temp\\old name.txt", GENERIC_WRITE | DELETE, 0, FILE_OVERWRITE_IF, 0);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    Status = Write(File, "contents");
    if (NT_SUCCESS(Status)) {
        Status = Rename(File, L"\\??\\C:\\Temp2\\new name.txt");
    }
    ZwClose(File);
    if (NT_SUCCESS(Status)) {
        Status = Open(&File, L"\\??\\C:\\temp2\\NEW NAME.TXT", GENERIC_READ, FILE_SHARE_READ, FILE_OPEN, 0);
    }
    if (NT_SUCCESS(Status)) {
        Status = ZwReadFile(File, NULL, NULL, NULL, &Io, Text, sizeof(Text), NULL, NULL);
        ZwClose(File);
    }
    DbgPrint("status %08x, text '%s'\n", Status, Text);
    return NT_SUCCESS(Status) && strcmp(Text, "contents") != 0 ? STATUS_UNSUCCESSFUL : Status;
}
