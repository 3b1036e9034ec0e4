/* file_many_open.c: a thousand files are made in one directory and stay open; says what the first and the last cost.
 *
 * expect: completed
 * run: --cpus 1
 */
#include <ntifs.h>
#include <ntstrsafe.h>

#define FILES 1000
#define COUNTED 100 /* at the beginning and at the end */

DRIVER_INITIALIZE DriverEntry;

static HANDLE Files[FILES];

static NTSTATUS MakeOne(ULONG Number) {
    WCHAR Path[64];
    UNICODE_STRING Name;
    OBJECT_ATTRIBUTES Attributes;
    IO_STATUS_BLOCK Io;
    RtlStringCbPrintfW(Path, sizeof(Path), L"\\??\\C:\\Temp\\file number %u.txt", Number);
    RtlInitUnicodeString(&Name, Path);
    InitializeObjectAttributes(&Attributes, &Name, OBJ_CASE_INSENSITIVE | OBJ_KERNEL_HANDLE, NULL, NULL);
    return ZwCreateFile(&Files[Number], FILE_WRITE_DATA | SYNCHRONIZE, &Attributes, &Io, NULL, FILE_ATTRIBUTE_NORMAL,
                        0, FILE_CREATE, FILE_SYNCHRONOUS_IO_NONALERT, NULL, 0);
}

/* What each of the files from First on costs. In a seeded run the counter counts instructions. */
static NTSTATUS MakeSome(ULONG First, ULONG Count, PULONG64 Each) {
    NTSTATUS Status = STATUS_SUCCESS;
    ULONG64 Start = __rdtsc();
    for (ULONG i = First; i < First + Count && NT_SUCCESS(Status); i++) {
        Status = MakeOne(i);
    }
    *Each = (__rdtsc() - Start) / Count;
    return Status;
}

NTSTATUS DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath) {
    ULONG64 First = 0, Middle, Last = 0;
    UNREFERENCED_PARAMETER(DriverObject);
    UNREFERENCED_PARAMETER(RegistryPath);
    NTSTATUS Status = MakeSome(0, COUNTED, &First);
    if (NT_SUCCESS(Status)) {
        Status = MakeSome(COUNTED, FILES - 2 * COUNTED, &Middle);
    }
    if (NT_SUCCESS(Status)) {
        Status = MakeSome(FILES - COUNTED, COUNTED, &Last);
    }
    for (ULONG i = 0; i < FILES; i++) {
        if (Files[i] != NULL) {
            ZwClose(Files[i]);
        }
    }
    DbgPrint("the first cost %I64u each, the last %I64u\n", First, Last);
    return Status;
}
