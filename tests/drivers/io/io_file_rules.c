/* io_file_rules.c: what the I/O manager refuses before the file system is asked: offsets, access, lengths, classes.
 *
 * expect: completed
 */
#include <ntddk.h>

DRIVER_INITIALIZE DriverEntry;

static NTSTATUS Open(PHANDLE Handle, ACCESS_MASK Access, ULONG Disposition, ULONG Options) {
    UNICODE_STRING Name = RTL_CONSTANT_STRING(L"\\??\\C:\\Temp\\rules.txt");
    OBJECT_ATTRIBUTES Attributes;
    IO_STATUS_BLOCK Io;
    InitializeObjectAttributes(&Attributes, &Name, OBJ_CASE_INSENSITIVE | OBJ_KERNEL_HANDLE, NULL, NULL);
    return ZwCreateFile(Handle, Access, &Attributes, &Io, NULL, FILE_ATTRIBUTE_NORMAL,
                        FILE_SHARE_READ | FILE_SHARE_WRITE, Disposition, Options, NULL, 0);
}

#define EXPECT(Call, Wanted)                                                                         \
    do {                                                                                             \
        NTSTATUS Got = (Call);                                                                       \
        if (Got != (Wanted)) {                                                                       \
            DbgPrint("line %u: 0x%08X, not 0x%08X\n", (ULONG)__LINE__, (ULONG)Got, (ULONG)(Wanted)); \
            return STATUS_UNSUCCESSFUL;                                                              \
        }                                                                                            \
    } while (0)

NTSTATUS DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath) {
    HANDLE File;
    IO_STATUS_BLOCK Io;
    CHAR Buffer[16];
    LARGE_INTEGER Offset;
    FILE_BASIC_INFORMATION Basic;
    UNREFERENCED_PARAMETER(DriverObject);
    UNREFERENCED_PARAMETER(RegistryPath);
    EXPECT(Open(&File, FILE_READ_ATTRIBUTES, FILE_OPEN_IF, FILE_SYNCHRONOUS_IO_NONALERT), STATUS_INVALID_PARAMETER);
    EXPECT(Open(&File, GENERIC_WRITE, 6, FILE_SYNCHRONOUS_IO_NONALERT), STATUS_INVALID_PARAMETER);
    EXPECT(Open(&File, GENERIC_WRITE, FILE_OVERWRITE_IF, 0), STATUS_SUCCESS);
    EXPECT(ZwWriteFile(File, NULL, NULL, NULL, &Io, (PVOID) "0123456789", 10, NULL, NULL), STATUS_INVALID_PARAMETER);
    Offset.QuadPart = -5;
    EXPECT(ZwWriteFile(File, NULL, NULL, NULL, &Io, (PVOID) "0123456789", 10, &Offset, NULL), STATUS_INVALID_PARAMETER);
    EXPECT(ZwReadFile(File, NULL, NULL, NULL, &Io, Buffer, 10, &Offset, NULL), STATUS_ACCESS_DENIED);
    EXPECT(ZwClose(File), STATUS_SUCCESS);
    EXPECT(Open(&File, FILE_APPEND_DATA | SYNCHRONIZE, FILE_OPEN, FILE_SYNCHRONOUS_IO_NONALERT), STATUS_SUCCESS);
    Offset.QuadPart = 0;
    EXPECT(ZwWriteFile(File, NULL, NULL, NULL, &Io, (PVOID) "abc", 3, &Offset, NULL), STATUS_SUCCESS);
    EXPECT(ZwWriteFile(File, NULL, NULL, NULL, &Io, (PVOID) "def", 3, &Offset, NULL), STATUS_SUCCESS);
    EXPECT(ZwQueryInformationFile(File, &Io, &Basic, sizeof(Basic), FileBasicInformation), STATUS_ACCESS_DENIED);
    EXPECT(ZwClose(File), STATUS_SUCCESS);
    EXPECT(Open(&File, GENERIC_READ, FILE_OPEN, FILE_SYNCHRONOUS_IO_NONALERT), STATUS_SUCCESS);
    EXPECT(ZwReadFile(File, NULL, NULL, NULL, &Io, Buffer, 4, NULL, NULL), STATUS_SUCCESS);
    EXPECT(ZwReadFile(File, NULL, NULL, NULL, &Io, Buffer + 4, 12, NULL, NULL), STATUS_SUCCESS);
    EXPECT(Io.Information == 2 && RtlEqualMemory(Buffer, "abcdef", 6) ? STATUS_SUCCESS : STATUS_UNSUCCESSFUL,
           STATUS_SUCCESS);
    EXPECT(ZwReadFile(File, NULL, NULL, NULL, &Io, Buffer, 4, NULL, NULL), STATUS_END_OF_FILE);
    EXPECT(ZwQueryInformationFile(File, &Io, &Basic, 8, FileBasicInformation), STATUS_INFO_LENGTH_MISMATCH);
    EXPECT(ZwQueryInformationFile(File, &Io, &Basic, sizeof(Basic), FileRenameInformation), STATUS_INVALID_INFO_CLASS);
    EXPECT(ZwSetInformationFile(File, &Io, &Basic, sizeof(Basic), FileBasicInformation), STATUS_ACCESS_DENIED);
    EXPECT(ZwSetEvent(File, NULL), STATUS_OBJECT_TYPE_MISMATCH);
    EXPECT(ZwClose(File), STATUS_SUCCESS);
    EXPECT(ZwClose(File), STATUS_INVALID_HANDLE);
    return STATUS_SUCCESS;
}
