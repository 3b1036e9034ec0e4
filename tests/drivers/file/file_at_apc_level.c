/* file_at_apc_level.c: create, write, read, query, rename and close at APC_LEVEL: all of it works.
 *
 * expect: completed
 */
#include <ntifs.h>
#include <ntstrsafe.h>

DRIVER_INITIALIZE DriverEntry;

static NTSTATUS NewFile(PHANDLE Handle, PCWSTR Path) {
    UNICODE_STRING Name;
    OBJECT_ATTRIBUTES Attributes;
    IO_STATUS_BLOCK Io;
    RtlInitUnicodeString(&Name, Path);
    InitializeObjectAttributes(&Attributes, &Name, OBJ_CASE_INSENSITIVE | OBJ_KERNEL_HANDLE, NULL, NULL);
    return ZwCreateFile(Handle, GENERIC_READ | GENERIC_WRITE | DELETE, &Attributes, &Io, NULL, FILE_ATTRIBUTE_NORMAL, 0,
                        FILE_OVERWRITE_IF, FILE_SYNCHRONOUS_IO_NONALERT, NULL, 0);
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
    HANDLE File = NULL;
    IO_STATUS_BLOCK Io;
    FILE_BASIC_INFORMATION Basic;
    LARGE_INTEGER Start = {.QuadPart = 0};
    CHAR Text[8] = {0};
    KIRQL OldIrql;
    KeRaiseIrql(APC_LEVEL, &OldIrql);
    NTSTATUS Status = NewFile(&File, L"\\??\\C:\\Temp\\apc.txt");
    if (NT_SUCCESS(Status)) {
        Status = ZwWriteFile(File, NULL, NULL, NULL, &Io, "seven.\n", 7, NULL, NULL);
    }
    if (NT_SUCCESS(Status)) {
        Status = ZwReadFile(File, NULL, NULL, NULL, &Io, Text, 7, &Start, NULL);
    }
    if (NT_SUCCESS(Status)) {
        Status = ZwQueryInformationFile(File, &Io, &Basic, sizeof(Basic), FileBasicInformation);
    }
    if (NT_SUCCESS(Status)) {
        Status = Rename(File, L"\\??\\C:\\Temp2\\apc.txt");
    }
    ZwClose(File);
    KeLowerIrql(OldIrql);
    DbgPrint("status %08x, text %s", Status, Text);
    return NT_SUCCESS(Status) && strcmp(Text, "seven.\n") != 0 ? STATUS_UNSUCCESSFUL : Status;
}
