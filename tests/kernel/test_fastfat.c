/* test_fastfat.c: C: through the Zw calls: contents, names, sharing, deletion, directories, lists; and what is left of
 * it when a disk's requests fail: a status, never other bytes than were written. */
#include <ntifs.h>
#include <block.h>
#include <rtl.h>
#include "ktest.h"

#define MANY 100
#define MANY_BYTES 1500

static NTSTATUS Open(PHANDLE File, PCSTR Path, ACCESS_MASK Access, ULONG Share, ULONG Disposition, ULONG Options) {
    WCHAR Wide[96];
    UNICODE_STRING Name;
    OBJECT_ATTRIBUTES Attributes;
    IO_STATUS_BLOCK Io;
    ULONG Length = 0;
    for (PCSTR From = "\\??\\C:\\"; *From; From++) {
        Wide[Length++] = (UCHAR)*From;
    }
    for (; *Path && Length < RTL_NUMBER_OF(Wide) - 1; Path++) {
        Wide[Length++] = (UCHAR)*Path;
    }
    Wide[Length] = 0;
    RtlInitUnicodeString(&Name, Wide);
    InitializeObjectAttributes(&Attributes, &Name, OBJ_CASE_INSENSITIVE | OBJ_KERNEL_HANDLE, NULL, NULL);
    return ZwCreateFile(File, Access | SYNCHRONIZE, &Attributes, &Io, NULL, FILE_ATTRIBUTE_NORMAL, Share, Disposition,
                        Options | FILE_SYNCHRONOUS_IO_NONALERT, NULL, 0);
}

static NTSTATUS Write(HANDLE File, PVOID Bytes, ULONG Length) {
    IO_STATUS_BLOCK Io;
    return ZwWriteFile(File, NULL, NULL, NULL, &Io, Bytes, Length, NULL, NULL);
}

static NTSTATUS Read(HANDLE File, PVOID Bytes, ULONG Length, ULONG64 Offset, ULONG_PTR *Got) {
    IO_STATUS_BLOCK Io = {0};
    LARGE_INTEGER At = {.QuadPart = (LONGLONG)Offset};
    NTSTATUS Status = ZwReadFile(File, NULL, NULL, NULL, &Io, Bytes, Length, &At, NULL);
    *Got = Io.Information;
    return Status;
}

static NTSTATUS Delete(PCSTR Path) {
    HANDLE File;
    NTSTATUS Status = Open(&File, Path, DELETE, FILE_SHARE_VALID_FLAGS, FILE_OPEN, FILE_DELETE_ON_CLOSE);
    return NT_SUCCESS(Status) ? ZwClose(File) : Status;
}

/* A disk of which requests fail: every status is right then, if the bytes are. */
static BOOLEAN IsFaulty(VOID) {
    CHAR Word[16];
    return KeGetBootOption("files", Word, sizeof(Word));
}
#define EXPECT(e) (IsFaulty() ? (void)(e) : KT_EXPECT(e))

static VOID Pattern(PUCHAR Bytes, ULONG Length, ULONG Seed) {
    for (ULONG i = 0; i < Length; i++) {
        Bytes[i] = (UCHAR)(i * 31 + Seed * 7 + (i >> 8));
    }
}

static VOID ExpectContents(PCSTR Path, ULONG Length, ULONG Seed) {
    HANDLE File;
    ULONG_PTR Got;
    PUCHAR Bytes = ExAllocatePoolWithTag(PagedPool, 2 * Length, 'tseT');
    KT_REQUIRE(Bytes != NULL);
    Pattern(Bytes, Length, Seed);
    NTSTATUS Status = Open(&File, Path, FILE_READ_DATA, FILE_SHARE_READ, FILE_OPEN, 0);
    EXPECT(NT_SUCCESS(Status));
    if (NT_SUCCESS(Status)) {
        Status = Read(File, Bytes + Length, Length, 0, &Got);
        EXPECT(NT_SUCCESS(Status) && Got == Length);
        if (NT_SUCCESS(Status) && memcmp(Bytes, Bytes + Length, Got) != 0) {
            KtFail(__FILE__, __LINE__, "WRONG DATA");
        }
        ZwClose(File);
    }
    ExFreePoolWithTag(Bytes, 'tseT');
}

/* TRUE: all of it is written. */
static BOOLEAN MakeFile(PCSTR Path, ULONG Length, ULONG Seed) {
    HANDLE File;
    PUCHAR Bytes = ExAllocatePoolWithTag(PagedPool, Length, 'tseT');
    if (Bytes == NULL) {
        return FALSE;
    }
    Pattern(Bytes, Length, Seed);
    NTSTATUS Status = Open(&File, Path, FILE_WRITE_DATA, 0, FILE_OVERWRITE_IF, 0);
    if (NT_SUCCESS(Status)) {
        Status = Write(File, Bytes, Length);
        ZwClose(File);
    }
    ExFreePoolWithTag(Bytes, 'tseT');
    EXPECT(NT_SUCCESS(Status));
    return NT_SUCCESS(Status);
}

KTEST(files_hold_what_was_written) {
    static const ULONG Lengths[] = {1, 511, 512, 1500, 4096, 4097, 20000};
    for (ULONG i = 0; i < RTL_NUMBER_OF(Lengths); i++) {
        if (MakeFile("Temp\\contents.bin", Lengths[i], i)) {
            ExpectContents("Temp\\contents.bin", Lengths[i], i);
        }
    }
    EXPECT(Delete("Temp\\contents.bin") == STATUS_SUCCESS);
}

KTEST(files_end_where_they_end) {
    HANDLE File;
    UCHAR Byte;
    ULONG_PTR Got;
    if (!MakeFile("Temp\\end.bin", 10, 1) ||
        !NT_SUCCESS(Open(&File, "Temp\\end.bin", FILE_READ_DATA, 0, FILE_OPEN, 0))) {
        EXPECT(FALSE);
        return;
    }
    EXPECT(Read(File, &Byte, 1, 9, &Got) == STATUS_SUCCESS && Got == 1);
    EXPECT(Read(File, &Byte, 1, 10, &Got) == STATUS_END_OF_FILE);
    EXPECT(Write(File, &Byte, 1) == STATUS_ACCESS_DENIED);
    ZwClose(File);
    EXPECT(Delete("Temp\\end.bin") == STATUS_SUCCESS);
}

KTEST(files_are_found_in_any_case_and_keep_theirs) {
    if (MakeFile("Temp\\A Name In Mixed Case.Text", 100, 2)) {
        ExpectContents("tEMP\\a name in MIXED case.tEXT", 100, 2);
        HANDLE File;
        EXPECT(Open(&File, "Temp\\a NAME in mixed case.TEXT", FILE_READ_DATA, 0, FILE_CREATE, 0) ==
               STATUS_OBJECT_NAME_COLLISION);
        EXPECT(Delete("Temp\\A NAME IN MIXED CASE.TEXT") == STATUS_SUCCESS);
    }
}

KTEST(files_directories_are_made_and_go_when_they_are_empty) {
    HANDLE Folder, File;
    NTSTATUS Status = Open(&Folder, "Temp\\folder", DELETE, FILE_SHARE_VALID_FLAGS, FILE_CREATE, FILE_DIRECTORY_FILE);
    EXPECT(NT_SUCCESS(Status));
    if (NT_SUCCESS(Status)) {
        ZwClose(Folder);
    }
    if (!MakeFile("Temp\\folder\\inside", 1, 1)) {
        return;
    }
    IO_STATUS_BLOCK Io;
    FILE_DISPOSITION_INFORMATION Disposition = {TRUE};
    EXPECT(Open(&File, "Temp\\folder", FILE_READ_DATA, 7, FILE_OPEN, FILE_NON_DIRECTORY_FILE) ==
           STATUS_FILE_IS_A_DIRECTORY);
    EXPECT(Open(&File, "Temp\\folder\\inside", FILE_READ_DATA, 7, FILE_OPEN, FILE_DIRECTORY_FILE) ==
           STATUS_NOT_A_DIRECTORY);
    if (NT_SUCCESS(Open(&Folder, "Temp\\folder", DELETE, FILE_SHARE_VALID_FLAGS, FILE_OPEN, FILE_DIRECTORY_FILE))) {
        EXPECT(ZwSetInformationFile(Folder, &Io, &Disposition, sizeof(Disposition), FileDispositionInformation) ==
               STATUS_DIRECTORY_NOT_EMPTY);
        ZwClose(Folder);
    }
    EXPECT(Delete("Temp\\folder\\inside") == STATUS_SUCCESS);
    EXPECT(Delete("Temp\\folder") == STATUS_SUCCESS);
    EXPECT(Open(&Folder, "Temp\\folder\\x", FILE_READ_DATA, 7, FILE_OPEN, 0) == STATUS_OBJECT_PATH_NOT_FOUND);
}

static VOID ManyPath(PCHAR Path, SIZE_T Bytes, ULONG Number) {
    RtlFormat(Path, Bytes, "Temp2\\file number %u.dat", Number);
}

KTEST(files_many_survive) {
    CHAR Path[64];
    if (IoGetVolumeDisk()->SectorCount < 20000) {
        KtSkip("needs a larger volume");
        return;
    }
    for (ULONG i = 0; i < MANY; i++) {
        ManyPath(Path, sizeof(Path), i);
        if (!MakeFile(Path, MANY_BYTES, i)) {
            return;
        }
    }
    for (ULONG i = 0; i < MANY; i++) {
        ManyPath(Path, sizeof(Path), i);
        ExpectContents(Path, MANY_BYTES, i);
    }
}

/* Of an earlier boot, or of the test before. */
KTEST(files_many_are_still_there) {
    HANDLE File;
    if (!NT_SUCCESS(Open(&File, "Temp2\\file number 0.dat", FILE_READ_DATA, 7, FILE_OPEN, 0))) {
        KtSkip("needs the volume of files_many_survive");
        return;
    }
    ZwClose(File);
    for (ULONG i = 0; i < MANY; i++) {
        CHAR Path[64];
        ManyPath(Path, sizeof(Path), i);
        ExpectContents(Path, MANY_BYTES, i);
    }
}
