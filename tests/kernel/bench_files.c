/* bench_files.c: what a small file costs, from its creation to its close. */
#include <ntifs.h>
#include "ktest.h"

static VOID MakeFile(VOID) {
    static CHAR Bytes[1500];
    UNICODE_STRING Name;
    OBJECT_ATTRIBUTES Attributes;
    IO_STATUS_BLOCK Io;
    HANDLE File;
    RtlInitUnicodeString(&Name, L"\\??\\C:\\Temp\\bench.txt");
    InitializeObjectAttributes(&Attributes, &Name, OBJ_CASE_INSENSITIVE | OBJ_KERNEL_HANDLE, NULL, NULL);
    if (NT_SUCCESS(ZwCreateFile(&File, GENERIC_WRITE | SYNCHRONIZE, &Attributes, &Io, NULL, FILE_ATTRIBUTE_NORMAL, 0,
                                FILE_OVERWRITE_IF, FILE_SYNCHRONOUS_IO_NONALERT, NULL, 0))) {
        ZwWriteFile(File, NULL, NULL, NULL, &Io, Bytes, sizeof(Bytes), NULL, NULL);
        ZwClose(File);
    }
}

KBENCH(BenchFile, "ZwCreateFile + ZwWriteFile (1500 bytes) + ZwClose", "instructions", 0) {
    return KT_MEASURE(MakeFile());
}
