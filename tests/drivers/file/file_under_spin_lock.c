/* file_under_spin_lock.c: two threads take turns at a log, with a spin lock held across the file calls.
 *
 * expect: bugcheck 0x000000D1 (*, 2, 0, driver) in fastfat!FatVerifyVolume
 * run: --seeds 5
 */
#include <ntifs.h>
#include <ntstrsafe.h>

DRIVER_INITIALIZE DriverEntry;

static KSPIN_LOCK Lock;

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

static VOID Worker(PVOID Context) {
    HANDLE File;
    KIRQL OldIrql;
    UNREFERENCED_PARAMETER(Context);
    KeAcquireSpinLock(&Lock, &OldIrql);
    if (NT_SUCCESS(Open(&File, L"\\??\\C:\\Temp\\turns.txt", FILE_APPEND_DATA | SYNCHRONIZE, 0, FILE_OPEN_IF, 0))) {
        Write(File, "my turn\r\n");
        ZwClose(File);
    }
    KeReleaseSpinLock(&Lock, OldIrql);
    PsTerminateSystemThread(STATUS_SUCCESS);
}

NTSTATUS DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath) {
    UNREFERENCED_PARAMETER(DriverObject);
    UNREFERENCED_PARAMETER(RegistryPath);
    KeInitializeSpinLock(&Lock);
    for (ULONG i = 0; i < 2; i++) {
        HANDLE Thread;
        NTSTATUS Status =
            PsCreateSystemThread(&Thread, THREAD_ALL_ACCESS, NULL, NULL, NULL, Worker, (PVOID)(ULONG_PTR)i);
        if (!NT_SUCCESS(Status)) {
            return Status;
        }
        ZwClose(Thread);
    }
    return STATUS_SUCCESS;
}
