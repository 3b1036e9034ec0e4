/* judge_never_waits.c: a thread reads a file over and over for half a minute and never waits: it is no spin.
 *
 * expect: completed
 */
#include <ntifs.h>

#define READS 60000

DRIVER_INITIALIZE DriverEntry;

static NTSTATUS Open(PHANDLE File, ACCESS_MASK Access, ULONG Disposition) {
    UNICODE_STRING Name;
    OBJECT_ATTRIBUTES Attributes;
    IO_STATUS_BLOCK Io;
    RtlInitUnicodeString(&Name, L"\\??\\C:\\Temp\\read.txt");
    InitializeObjectAttributes(&Attributes, &Name, OBJ_CASE_INSENSITIVE | OBJ_KERNEL_HANDLE, NULL, NULL);
    return ZwCreateFile(File, Access | SYNCHRONIZE, &Attributes, &Io, NULL, FILE_ATTRIBUTE_NORMAL, 0, Disposition,
                        FILE_SYNCHRONOUS_IO_NONALERT, NULL, 0);
}

static VOID ReadAgainAndAgain(PVOID Context) {
    CHAR Bytes[16] = "sixteen letters";
    LARGE_INTEGER Start = {.QuadPart = 0};
    IO_STATUS_BLOCK Io;
    HANDLE File;
    UNREFERENCED_PARAMETER(Context);
    if (NT_SUCCESS(Open(&File, FILE_WRITE_DATA, FILE_CREATE))) {
        ZwWriteFile(File, NULL, NULL, NULL, &Io, Bytes, sizeof(Bytes), NULL, NULL);
        ZwClose(File);
    }
    if (NT_SUCCESS(Open(&File, FILE_READ_DATA, FILE_OPEN))) {
        for (ULONG i = 0; i < READS; i++) {
            ZwReadFile(File, NULL, NULL, NULL, &Io, Bytes, sizeof(Bytes), &Start, NULL);
        }
        ZwClose(File);
    }
    PsTerminateSystemThread(STATUS_SUCCESS);
}

NTSTATUS DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath) {
    HANDLE Thread;
    UNREFERENCED_PARAMETER(DriverObject);
    UNREFERENCED_PARAMETER(RegistryPath);
    NTSTATUS Status = PsCreateSystemThread(&Thread, THREAD_ALL_ACCESS, NULL, NULL, NULL, ReadAgainAndAgain, NULL);
    if (NT_SUCCESS(Status)) {
        ZwClose(Thread);
    }
    return Status;
}
