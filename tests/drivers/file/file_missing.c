/* file_missing.c: what is said of a file and of a directory that are not there.
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
    static const struct {
        PCWSTR Path;
        ULONG Options;
        NTSTATUS Expected;
    } Cases[] = {
        {L"\\??\\C:\\Temp\\none.txt", 0, STATUS_OBJECT_NAME_NOT_FOUND},
        {L"\\??\\C:\\None\\file.txt", 0, STATUS_OBJECT_PATH_NOT_FOUND},
        {L"\\??\\C:\\Temp\\a*b", 0, STATUS_OBJECT_NAME_INVALID},
        {L"\\??\\C:\\Temp", FILE_NON_DIRECTORY_FILE, STATUS_FILE_IS_A_DIRECTORY},
        {L"\\??\\Q:\\file.txt", 0, STATUS_OBJECT_PATH_NOT_FOUND},
    };
    for (ULONG i = 0; i < RTL_NUMBER_OF(Cases); i++) {
        HANDLE File;
        NTSTATUS Status = Open(&File, Cases[i].Path, GENERIC_READ, FILE_SHARE_READ, FILE_OPEN, Cases[i].Options);
        DbgPrint("%ws: %08x\n", Cases[i].Path, Status);
        if (Status != Cases[i].Expected) {
            return STATUS_UNSUCCESSFUL;
        }
    }
    return STATUS_SUCCESS;
}
