/* file_delete_on_close.c: a file that goes with its last handle.
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
    static const WCHAR Path[] = L"\\??\\C:\\Temp\\short-lived.txt";
    HANDLE First, Second;
    NTSTATUS Status = Open(&First, Path, GENERIC_WRITE | DELETE, FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE,
                           FILE_CREATE, FILE_DELETE_ON_CLOSE);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    Status = Open(&Second, Path, GENERIC_READ, FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE, FILE_OPEN, 0);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    ZwClose(First);
    Status = Open(&First, Path, GENERIC_READ, FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE, FILE_OPEN, 0);
    DbgPrint("one handle left: %08x\n", Status);
    if (Status != STATUS_DELETE_PENDING) {
        return STATUS_UNSUCCESSFUL;
    }
    ZwClose(Second);
    Status = Open(&First, Path, GENERIC_READ, FILE_SHARE_READ, FILE_OPEN, 0);
    DbgPrint("no handle left: %08x\n", Status);
    return Status == STATUS_OBJECT_NAME_NOT_FOUND ? STATUS_SUCCESS : STATUS_UNSUCCESSFUL;
}
