/* file_append.c: 100 writes of 15 bytes without an offset make a file of 1500 bytes.
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

NTSTATUS DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath) {
    UNREFERENCED_PARAMETER(DriverObject);
    UNREFERENCED_PARAMETER(RegistryPath);
    HANDLE File;
    IO_STATUS_BLOCK Io;
    FILE_STANDARD_INFORMATION Standard;
    NTSTATUS Status =
        Open(&File, L"\\DosDevices\\C:\\Temp\\hundred.txt", GENERIC_READ | GENERIC_WRITE, 0, FILE_OVERWRITE_IF, 0);
    for (ULONG i = 0; i < 100 && NT_SUCCESS(Status); i++) {
        Status = Write(File, "fifteen bytes.\n");
    }
    if (NT_SUCCESS(Status)) {
        Status = ZwQueryInformationFile(File, &Io, &Standard, sizeof(Standard), FileStandardInformation);
    }
    if (NT_SUCCESS(Status)) {
        DbgPrint("%I64d bytes\n", Standard.EndOfFile.QuadPart);
        Status = Standard.EndOfFile.QuadPart == 1500 ? ZwClose(File) : STATUS_UNSUCCESSFUL;
    }
    return Status;
}
