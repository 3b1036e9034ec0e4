/* file_thousand.c: 1,000 files of 1,500 bytes, each renamed into another directory and read back, in 16 MiB of RAM.
 *
 * expect: completed
 * run: --mem 16 --free-running
 */
#include <ntifs.h>
#include <ntstrsafe.h>

#define FILES 1000
#define BYTES 1500

DRIVER_INITIALIZE DriverEntry;

static NTSTATUS Open(PHANDLE Handle, PCWSTR Folder, ULONG Number, ACCESS_MASK Access, ULONG Disposition) {
    WCHAR Path[64];
    UNICODE_STRING Name;
    OBJECT_ATTRIBUTES Attributes;
    IO_STATUS_BLOCK Io;
    RtlStringCbPrintfW(Path, sizeof(Path), L"\\??\\C:\\%ws\\file %u.dat", Folder, Number);
    RtlInitUnicodeString(&Name, Path);
    InitializeObjectAttributes(&Attributes, &Name, OBJ_CASE_INSENSITIVE | OBJ_KERNEL_HANDLE, NULL, NULL);
    return ZwCreateFile(Handle, Access | SYNCHRONIZE, &Attributes, &Io, NULL, FILE_ATTRIBUTE_NORMAL, 0, Disposition,
                        FILE_SYNCHRONOUS_IO_NONALERT, NULL, 0);
}

static VOID Fill(PUCHAR Bytes, ULONG Number) {
    for (ULONG i = 0; i < BYTES; i++) {
        Bytes[i] = (UCHAR)(Number * 7 + i);
    }
}

static NTSTATUS MakeOne(ULONG Number, PUCHAR Bytes) {
    UCHAR Buffer[sizeof(FILE_RENAME_INFORMATION) + 128] = {0};
    PFILE_RENAME_INFORMATION Info = (PFILE_RENAME_INFORMATION)Buffer;
    IO_STATUS_BLOCK Io;
    HANDLE File;
    NTSTATUS Status = Open(&File, L"Temp", Number, FILE_WRITE_DATA | DELETE, FILE_CREATE);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    Fill(Bytes, Number);
    Status = ZwWriteFile(File, NULL, NULL, NULL, &Io, Bytes, BYTES, NULL, NULL);
    if (NT_SUCCESS(Status)) {
        RtlStringCbPrintfW(Info->FileName, 128, L"\\??\\C:\\Temp2\\file %u.dat", Number);
        Info->FileNameLength = (ULONG)(wcslen(Info->FileName) * sizeof(WCHAR));
        Status = ZwSetInformationFile(File, &Io, Info, sizeof(Buffer), FileRenameInformation);
    }
    ZwClose(File);
    return Status;
}

static NTSTATUS CheckOne(ULONG Number, PUCHAR Bytes, PUCHAR Expected) {
    IO_STATUS_BLOCK Io;
    HANDLE File;
    NTSTATUS Status = Open(&File, L"Temp2", Number, FILE_READ_DATA, FILE_OPEN);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    Fill(Expected, Number);
    Status = ZwReadFile(File, NULL, NULL, NULL, &Io, Bytes, 2 * BYTES, NULL, NULL);
    ZwClose(File);
    if (NT_SUCCESS(Status) && (Io.Information != BYTES || memcmp(Bytes, Expected, BYTES) != 0)) {
        return STATUS_FILE_CORRUPT_ERROR;
    }
    return Status;
}

NTSTATUS DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath) {
    PUCHAR Bytes = (PUCHAR)ExAllocatePoolWithTag(PagedPool, 3 * BYTES, 'eliF');
    NTSTATUS Status = Bytes ? STATUS_SUCCESS : STATUS_INSUFFICIENT_RESOURCES;
    UNREFERENCED_PARAMETER(DriverObject);
    UNREFERENCED_PARAMETER(RegistryPath);
    for (ULONG i = 0; i < FILES && NT_SUCCESS(Status); i++) {
        Status = MakeOne(i, Bytes);
    }
    for (ULONG i = 0; i < FILES && NT_SUCCESS(Status); i++) {
        Status = CheckOne(i, Bytes, Bytes + 2 * BYTES);
    }
    if (Bytes) {
        ExFreePoolWithTag(Bytes, 'eliF');
    }
    DbgPrint("status %08x\n", Status);
    return Status;
}
