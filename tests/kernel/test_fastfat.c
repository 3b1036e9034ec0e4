/* test_fastfat.c: C: through the Zw calls: contents, names, sharing, deletion, directories, lists; and, when a disk's
 * requests fail, a status, never other bytes than were written. */
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

static NTSTATUS Rename(HANDLE File, PCSTR Path, BOOLEAN Replaces) {
    UCHAR Buffer[sizeof(FILE_RENAME_INFORMATION) + 64 * sizeof(WCHAR)] = {0};
    PFILE_RENAME_INFORMATION Info = (PFILE_RENAME_INFORMATION)Buffer;
    IO_STATUS_BLOCK Io;
    ULONG Length = 0;
    Info->ReplaceIfExists = Replaces;
    for (PCSTR From = "\\??\\C:\\"; *From; From++) {
        Info->FileName[Length++] = (UCHAR)*From;
    }
    for (; *Path; Path++) {
        Info->FileName[Length++] = (UCHAR)*Path;
    }
    Info->FileNameLength = Length * sizeof(WCHAR);
    return ZwSetInformationFile(File, &Io, Info, sizeof(Buffer), FileRenameInformation);
}

KTEST(files_that_are_open_are_known_where_they_move) {
    HANDLE File, Other;
    if (!NT_SUCCESS(Open(&File, "Temp\\from.txt", FILE_WRITE_DATA | DELETE, 0, FILE_CREATE, 0))) {
        EXPECT(FALSE);
        return;
    }
    EXPECT(Rename(File, "Temp2\\a longer name of the same file.txt", FALSE) == STATUS_SUCCESS);
    EXPECT(Open(&Other, "Temp2\\a longer name of the same file.txt", FILE_READ_DATA, FILE_SHARE_VALID_FLAGS, FILE_OPEN,
                0) == STATUS_SHARING_VIOLATION);
    EXPECT(MakeFile("Temp\\from.txt", 10, 1)); /* another one, in its old place */
    ZwClose(File);
    EXPECT(Delete("Temp\\from.txt") == STATUS_SUCCESS);
    EXPECT(Delete("Temp2\\a longer name of the same file.txt") == STATUS_SUCCESS);
}

/* Its file object keeps the control block of the file that gave way; its place on the disk is the other one's now. */
KTEST(files_that_gave_way_to_another_are_not_found_in_its_place) {
    HANDLE Old, File, Other;
    PVOID Kept;
    if (!NT_SUCCESS(Open(&Old, "Temp\\target.txt", FILE_WRITE_DATA, 0, FILE_CREATE, 0))) {
        EXPECT(FALSE);
        return;
    }
    KT_REQUIRE(ObReferenceObjectByHandle(Old, 0, *IoFileObjectType, KernelMode, &Kept, NULL) == STATUS_SUCCESS);
    ZwClose(Old);
    if (NT_SUCCESS(Open(&File, "Temp\\source.txt", FILE_WRITE_DATA | DELETE, 0, FILE_CREATE, 0))) {
        EXPECT(Rename(File, "Temp\\target.txt", TRUE) == STATUS_SUCCESS);
        EXPECT(Open(&Other, "Temp\\target.txt", FILE_READ_DATA, FILE_SHARE_VALID_FLAGS, FILE_OPEN, 0) ==
               STATUS_SHARING_VIOLATION);
        ZwClose(File);
    }
    ObDereferenceObject(Kept);
    EXPECT(Delete("Temp\\target.txt") == STATUS_SUCCESS);
}

KTEST(files_are_not_made_in_a_directory_that_is_going) {
    FILE_DISPOSITION_INFORMATION Going = {TRUE};
    IO_STATUS_BLOCK Io;
    HANDLE Directory, File;
    if (!NT_SUCCESS(
            Open(&Directory, "Temp\\going", DELETE, FILE_SHARE_VALID_FLAGS, FILE_CREATE, FILE_DIRECTORY_FILE))) {
        EXPECT(FALSE);
        return;
    }
    EXPECT(ZwSetInformationFile(Directory, &Io, &Going, sizeof(Going), FileDispositionInformation) == STATUS_SUCCESS);
    EXPECT(Open(&File, "Temp\\going\\x", FILE_WRITE_DATA, 0, FILE_CREATE, 0) == STATUS_DELETE_PENDING);
    EXPECT(Open(&File, "Temp\\stays", DELETE, 0, FILE_CREATE, FILE_DELETE_ON_CLOSE) == STATUS_SUCCESS);
    ZwClose(File);
    ZwClose(Directory);
    EXPECT(Open(&File, "Temp\\going\\x", FILE_WRITE_DATA, 0, FILE_CREATE, 0) == STATUS_OBJECT_PATH_NOT_FOUND);
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

/* ---- Small writes ---- */

#define LINE "a line of text\n"
#define LINE_BYTES 15

static NTSTATUS WriteLines(HANDLE File, ULONG Count) {
    NTSTATUS Status = STATUS_SUCCESS;
    for (ULONG i = 0; i < Count && NT_SUCCESS(Status); i++) {
        Status = Write(File, LINE, LINE_BYTES);
    }
    return Status;
}

static LONGLONG SizeOf(HANDLE File) {
    FILE_STANDARD_INFORMATION Info = {};
    IO_STATUS_BLOCK Io;
    ZwQueryInformationFile(File, &Io, &Info, sizeof(Info), FileStandardInformation);
    return Info.EndOfFile.QuadPart;
}

/* The length that the directory's list shows. */
static LONGLONG ListedSize(PCWSTR Leaf) {
    UCHAR Buffer[512];
    PFILE_DIRECTORY_INFORMATION Info = (PFILE_DIRECTORY_INFORMATION)Buffer;
    UNICODE_STRING Name;
    HANDLE Folder;
    IO_STATUS_BLOCK Io;
    RtlInitUnicodeString(&Name, Leaf);
    if (!NT_SUCCESS(
            Open(&Folder, "Temp", FILE_LIST_DIRECTORY, FILE_SHARE_VALID_FLAGS, FILE_OPEN, FILE_DIRECTORY_FILE))) {
        return -1;
    }
    NTSTATUS Status = ZwQueryDirectoryFile(Folder, NULL, NULL, NULL, &Io, Buffer, sizeof(Buffer),
                                           FileDirectoryInformation, TRUE, &Name, TRUE);
    ZwClose(Folder);
    return NT_SUCCESS(Status) ? Info->EndOfFile.QuadPart : -1;
}

KTEST(files_small_writes_are_seen_at_once) {
    HANDLE Writer, Reader;
    UCHAR Bytes[600];
    ULONG_PTR Got = 0;
    NTSTATUS Status = Open(&Writer, "Temp\\seen.txt", FILE_WRITE_DATA, FILE_SHARE_VALID_FLAGS, FILE_OVERWRITE_IF, 0);
    if (!NT_SUCCESS(Status)) {
        EXPECT(FALSE);
        return;
    }
    if (NT_SUCCESS(Open(&Reader, "Temp\\seen.txt", FILE_READ_DATA, FILE_SHARE_VALID_FLAGS, FILE_OPEN, 0))) {
        for (ULONG i = 1; i <= 300; i++) { /* over the edge of a page */
            EXPECT(Write(Writer, LINE, LINE_BYTES) == STATUS_SUCCESS);
            EXPECT(SizeOf(Reader) == i * LINE_BYTES);
            EXPECT(Read(Reader, Bytes, sizeof(Bytes), (i - 1) * LINE_BYTES, &Got) == STATUS_SUCCESS);
            EXPECT(Got == LINE_BYTES && memcmp(Bytes, LINE, LINE_BYTES) == 0);
        }
        EXPECT(ListedSize(L"seen.txt") == 300 * LINE_BYTES);
        EXPECT(Read(Reader, Bytes, sizeof(Bytes), 3900, &Got) == STATUS_SUCCESS && Got == sizeof(Bytes));
        for (ULONG i = 0; i < Got; i++) {
            EXPECT(Bytes[i] == (UCHAR)LINE[(3900 + i) % LINE_BYTES]);
        }
        ZwClose(Reader);
    }
    EXPECT(ZwClose(Writer) == STATUS_SUCCESS);
    EXPECT(Delete("Temp\\seen.txt") == STATUS_SUCCESS);
}

static VOID SetEnd(HANDLE File, ULONG Length) {
    FILE_END_OF_FILE_INFORMATION End = {.EndOfFile.QuadPart = Length};
    IO_STATUS_BLOCK Io;
    EXPECT(ZwSetInformationFile(File, &Io, &End, sizeof(End), FileEndOfFileInformation) == STATUS_SUCCESS);
}

/* The page that gathers, against everything else that changes a file. */
KTEST(files_small_writes_mix_with_other_changes) {
    HANDLE File;
    UCHAR Bytes[64];
    ULONG_PTR Got = 0;
    ULONG Access = FILE_READ_DATA | FILE_WRITE_DATA | DELETE;
    if (!NT_SUCCESS(Open(&File, "Temp\\mixed.txt", Access, FILE_SHARE_VALID_FLAGS, FILE_OVERWRITE_IF, 0))) {
        EXPECT(FALSE);
        return;
    }
    EXPECT(NT_SUCCESS(WriteLines(File, 10)));
    SetEnd(File, 20); /* cut in the middle of the gathered bytes */
    EXPECT(SizeOf(File) == 20 && Read(File, Bytes, sizeof(Bytes), 0, &Got) == STATUS_SUCCESS && Got == 20);
    LARGE_INTEGER At = {.QuadPart = 150}; /* a hole of zeros */
    IO_STATUS_BLOCK Io;
    EXPECT(NT_SUCCESS(ZwWriteFile(File, NULL, NULL, NULL, &Io, LINE, LINE_BYTES, &At, NULL)));
    EXPECT(SizeOf(File) == 165 && Read(File, Bytes, 30, 135, &Got) == STATUS_SUCCESS && Got == 30);
    EXPECT(Bytes[0] == 0 && Bytes[14] == 0 && memcmp(Bytes + 15, LINE, LINE_BYTES) == 0);
    SetEnd(File, 5000);
    EXPECT(SizeOf(File) == 5000 && Read(File, Bytes, 1, 4999, &Got) == STATUS_SUCCESS && Bytes[0] == 0);
    EXPECT(NT_SUCCESS(WriteLines(File, 2)));
    HANDLE Second; /* overwriting cuts */
    NTSTATUS Status = Open(&Second, "Temp\\mixed.txt", FILE_WRITE_DATA, FILE_SHARE_VALID_FLAGS, FILE_OVERWRITE, 0);
    EXPECT(NT_SUCCESS(Status));
    if (NT_SUCCESS(Status)) {
        EXPECT(SizeOf(File) == 0 && Read(File, Bytes, 1, 0, &Got) == STATUS_END_OF_FILE);
        EXPECT(NT_SUCCESS(WriteLines(Second, 1)) && SizeOf(File) == LINE_BYTES);
        ZwClose(Second);
    }
    EXPECT(NT_SUCCESS(Write(File, LINE, LINE_BYTES)));
    FILE_DISPOSITION_INFORMATION Disposition = {TRUE}; /* it goes with its gathered bytes */
    EXPECT(ZwSetInformationFile(File, &Io, &Disposition, sizeof(Disposition), FileDispositionInformation) ==
           STATUS_SUCCESS);
    EXPECT(ZwClose(File) == STATUS_SUCCESS);
    EXPECT(Open(&File, "Temp\\mixed.txt", FILE_READ_DATA, 7, FILE_OPEN, 0) == STATUS_OBJECT_NAME_NOT_FOUND);
}

static ULONG FreeClusters(HANDLE File, PULONG ClusterBytes) {
    FILE_FS_SIZE_INFORMATION Info = {};
    IO_STATUS_BLOCK Io;
    ZwQueryVolumeInformationFile(File, &Io, &Info, sizeof(Info), FileFsSizeInformation);
    *ClusterBytes = Info.SectorsPerAllocationUnit * Info.BytesPerSector;
    return (ULONG)Info.AvailableAllocationUnits.QuadPart;
}

/* Room is taken when a write is accepted, not when it is carried out. */
KTEST(files_small_writes_are_refused_when_the_disk_is_full) {
    HANDLE Filler, Files[3];
    ULONG ClusterBytes, Free;
    static const PCSTR Paths[] = {"Temp\\full0.txt", "Temp\\full1.txt", "Temp\\full2.txt"};
    if (IsFaulty() || IoGetVolumeDisk()->SectorCount > 20000) {
        KtSkip("needs the small volume in RAM");
        return;
    }
    for (ULONG i = 0; i < RTL_NUMBER_OF(Files); i++) {
        KT_REQUIRE(NT_SUCCESS(Open(&Files[i], Paths[i], FILE_WRITE_DATA, 0, FILE_OVERWRITE_IF, 0)));
    }
    KT_REQUIRE(NT_SUCCESS(Open(&Filler, "Temp\\filler", FILE_WRITE_DATA, 0, FILE_OVERWRITE_IF, 0)));
    Free = FreeClusters(Filler, &ClusterBytes);
    SetEnd(Filler, (Free - 2) * ClusterBytes);
    KT_EXPECT_EQ(FreeClusters(Filler, &ClusterBytes), 2);
    KT_EXPECT_EQ(WriteLines(Files[0], 3), STATUS_SUCCESS);
    KT_EXPECT_EQ(FreeClusters(Filler, &ClusterBytes), 1);
    KT_EXPECT_EQ(WriteLines(Files[1], 1), STATUS_SUCCESS);
    KT_EXPECT_EQ(FreeClusters(Filler, &ClusterBytes), 0);
    KT_EXPECT_EQ(WriteLines(Files[2], 1), STATUS_DISK_FULL);
    KT_EXPECT_EQ(WriteLines(Files[0], ClusterBytes / LINE_BYTES), STATUS_DISK_FULL);
    KT_EXPECT_EQ(WriteLines(Files[1], 2), STATUS_SUCCESS); /* within its cluster */
    for (ULONG i = 0; i < RTL_NUMBER_OF(Files); i++) {
        KT_EXPECT_EQ(ZwClose(Files[i]), STATUS_SUCCESS); /* accepted bytes have their place */
    }
    KT_EXPECT_EQ(FreeClusters(Filler, &ClusterBytes), 0);
    ZwClose(Filler);
    KT_EXPECT_EQ(Delete("Temp\\filler"), STATUS_SUCCESS);
    for (ULONG i = 0; i < RTL_NUMBER_OF(Files); i++) {
        KT_EXPECT_EQ(Delete(Paths[i]), STATUS_SUCCESS);
    }
}

static HANDLE OpenForLines(PCSTR Path, ULONG Options) {
    HANDLE File;
    KT_EXPECT_EQ(Open(&File, Path, FILE_WRITE_DATA, FILE_SHARE_VALID_FLAGS, FILE_OVERWRITE_IF, Options),
                 STATUS_SUCCESS);
    return File;
}

/* The machine ends with all files but one open. The host looks at the disk: tests/test_files.py. */
KTEST(gathered_lines_are_on_the_disk_when_they_should_be) {
    LARGE_INTEGER Wait = {.QuadPart = -20000000};
    IO_STATUS_BLOCK Io;
    static CHAR Sector[512];
    HANDLE Closed = OpenForLines("Temp\\closed.txt", 0), Flushed = OpenForLines("Temp\\flushed.txt", 0);
    HANDLE Through = OpenForLines("Temp\\through.txt", FILE_WRITE_THROUGH);
    HANDLE Direct = OpenForLines("Temp\\direct.txt", FILE_NO_INTERMEDIATE_BUFFERING);
    HANDLE Lazy = OpenForLines("Temp\\lazy.txt", 0), Last = OpenForLines("Temp\\last.txt", 0);
    KT_EXPECT_EQ(WriteLines(Lazy, 3), STATUS_SUCCESS);
    KeDelayExecutionThread(KernelMode, FALSE, &Wait);
    KT_EXPECT_EQ(WriteLines(Closed, 3), STATUS_SUCCESS);
    KT_EXPECT_EQ(ZwClose(Closed), STATUS_SUCCESS);
    KT_EXPECT_EQ(WriteLines(Flushed, 3), STATUS_SUCCESS);
    KT_EXPECT_EQ(ZwFlushBuffersFile(Flushed, &Io), STATUS_SUCCESS);
    KT_EXPECT_EQ(WriteLines(Through, 3), STATUS_SUCCESS);
    RtlFillMemory(Sector, sizeof(Sector), 'x');
    KT_EXPECT_EQ(Write(Direct, Sector, sizeof(Sector)), STATUS_SUCCESS);
    KT_EXPECT_EQ(WriteLines(Last, 3), STATUS_SUCCESS);
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
