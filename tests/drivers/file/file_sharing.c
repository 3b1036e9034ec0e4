/* file_sharing.c: the second open of a file that is not shared fails until the first is closed.
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

NTSTATUS DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath) {
    UNREFERENCED_PARAMETER(DriverObject);
    UNREFERENCED_PARAMETER(RegistryPath);
    static const WCHAR Path[] = L"\\??\\C:\\Temp\\shared.txt";
    HANDLE First, Second;
    NTSTATUS Status = Open(&First, Path, GENERIC_WRITE, 0, FILE_OVERWRITE_IF, 0);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    Status = Open(&Second, Path, GENERIC_WRITE, 0, FILE_OVERWRITE_IF, 0);
    DbgPrint("while it is open: %08x\n", Status);
    if (Status != STATUS_SHARING_VIOLATION) {
        return STATUS_UNSUCCESSFUL;
    }
    ZwClose(First);
    Status = Open(&Second, Path, GENERIC_WRITE, 0, FILE_OVERWRITE_IF, 0);
    DbgPrint("after its close: %08x\n", Status);
    if (NT_SUCCESS(Status)) {
        ZwClose(Second);
    }
    return Status;
}
