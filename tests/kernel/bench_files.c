/* bench_files.c: the cost of a small file, from its creation to its close, and of a hundred small writes. */
#include <ntifs.h>
#include "ktest.h"

static NTSTATUS Overwrite(PHANDLE File) {
    UNICODE_STRING Name;
    OBJECT_ATTRIBUTES Attributes;
    IO_STATUS_BLOCK Io;
    RtlInitUnicodeString(&Name, L"\\??\\C:\\Temp\\bench.txt");
    InitializeObjectAttributes(&Attributes, &Name, OBJ_CASE_INSENSITIVE | OBJ_KERNEL_HANDLE, NULL, NULL);
    return ZwCreateFile(File, GENERIC_WRITE | SYNCHRONIZE, &Attributes, &Io, NULL, FILE_ATTRIBUTE_NORMAL, 0,
                        FILE_OVERWRITE_IF, FILE_SYNCHRONOUS_IO_NONALERT, NULL, 0);
}

static VOID MakeFile(VOID) {
    static CHAR Bytes[1500];
    IO_STATUS_BLOCK Io;
    HANDLE File;
    if (NT_SUCCESS(Overwrite(&File))) {
        ZwWriteFile(File, NULL, NULL, NULL, &Io, Bytes, sizeof(Bytes), NULL, NULL);
        ZwClose(File);
    }
}

KBENCH(BenchFile, "ZwCreateFile + ZwWriteFile (1500 bytes) + ZwClose", "instructions", 30000) {
    return KT_MEASURE(MakeFile());
}

static VOID WriteLines(HANDLE File) {
    static CHAR Line[16];
    IO_STATUS_BLOCK Io;
    LARGE_INTEGER Start = {.QuadPart = 0};
    for (ULONG i = 0; i < 100; i++) {
        ZwWriteFile(File, NULL, NULL, NULL, &Io, Line, sizeof(Line), i == 0 ? &Start : NULL, NULL);
    }
}

KBENCH(BenchLines, "100 times ZwWriteFile (16 bytes) to an open file", "instructions", 150000) {
    HANDLE File;
    ULONG64 Value = 0;
    if (NT_SUCCESS(Overwrite(&File))) {
        Value = KT_MEASURE(WriteLines(File));
        ZwClose(File);
    }
    return Value;
}
