/* file_read_attributes_fixed.c: a synchronous open asks for SYNCHRONIZE as well.
 *
 * expect: completed
 */
#include <ntifs.h>
#include <ntstrsafe.h>

DRIVER_INITIALIZE DriverEntry;

NTSTATUS DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath) {
    UNREFERENCED_PARAMETER(DriverObject);
    UNREFERENCED_PARAMETER(RegistryPath);
    HANDLE File;
    UNICODE_STRING Name;
    OBJECT_ATTRIBUTES Attributes;
    IO_STATUS_BLOCK Io;
    FILE_BASIC_INFORMATION Basic;
    RtlInitUnicodeString(&Name, L"\\??\\C:\\Temp");
    InitializeObjectAttributes(&Attributes, &Name, OBJ_CASE_INSENSITIVE | OBJ_KERNEL_HANDLE, NULL, NULL);
    NTSTATUS Status = ZwOpenFile(&File, FILE_READ_ATTRIBUTES | SYNCHRONIZE, &Attributes, &Io,
                                 FILE_SHARE_READ | FILE_SHARE_WRITE, FILE_SYNCHRONOUS_IO_NONALERT);
    if (NT_SUCCESS(Status)) {
        Status = ZwQueryInformationFile(File, &Io, &Basic, sizeof(Basic), FileBasicInformation);
        ZwClose(File);
    }
    return NT_SUCCESS(Status) && !(Basic.FileAttributes & FILE_ATTRIBUTE_DIRECTORY) ? STATUS_UNSUCCESSFUL : Status;
}
