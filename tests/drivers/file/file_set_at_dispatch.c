/* file_set_at_dispatch.c: sets a file's length at DISPATCH_LEVEL.
 *
 * expect: bugcheck 0x000000D1 (*, 2, 0, driver) in fastfat!FatVerifyVolume
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

NTSTATUS DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath) {
    UNREFERENCED_PARAMETER(DriverObject);
    UNREFERENCED_PARAMETER(RegistryPath);
    HANDLE File;
    IO_STATUS_BLOCK Io;
    FILE_END_OF_FILE_INFORMATION End = {.EndOfFile.QuadPart = 3};
    KIRQL OldIrql;
    NTSTATUS Status = NewFile(&File, L"\\??\\C:\\Temp\\file.txt");
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    ZwWriteFile(File, NULL, NULL, NULL, &Io, "written", 7, NULL, NULL);
    KeRaiseIrql(DISPATCH_LEVEL, &OldIrql);
    Status = ZwSetInformationFile(File, &Io, &End, sizeof(End), FileEndOfFileInformation);
    KeLowerIrql(OldIrql);
    ZwClose(File);
    return Status;
}
