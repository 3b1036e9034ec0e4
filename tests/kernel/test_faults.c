/* test_faults.c: two short runs in which a disk may fail any one request: over files, and over paged memory.
 *
 * A byte tells which file and which offset it belongs to, in every version of the file. So any read's result, after any
 * failure, can be checked: a status is right, another byte is not. The host chooses the request that fails
 * (tests/test_faults.py), and looks at the volume afterwards. */
#include <ntifs.h>
#include <block.h>
#include <rtl.h>
#include "pagehelp.h"

#define FILES 4
#define MAXIMUM_BYTES 6000
#define SOIL_BYTES 12000
#define SOIL 0xEE /* of no file */
#define PIECE 500 /* read at a time */

static UCHAR ByteAt(ULONG File, ULONG Offset) {
    UCHAR Byte = (UCHAR)(File * 53 + Offset * 31 + (Offset >> 8) * 17 + 1);
    return Byte == SOIL ? 0 : Byte;
}

/* The command line says so: every status is right then, and the host checks the volume. */
static BOOLEAN IsFaulty(VOID) {
    CHAR Word[16];
    return KeGetBootOption("files", Word, sizeof(Word));
}
#define EXPECT(e) (IsFaulty() ? (void)(e) : KT_EXPECT(e))

static VOID PathOf(PUNICODE_STRING Path, ULONG File, BOOLEAN IsMoved) {
    CHAR Narrow[64];
    ANSI_STRING Text;
    RtlFormat(Narrow, sizeof(Narrow), "\\??\\C:\\%s\\fault %u.bin", IsMoved ? "Temp2" : "Temp", File);
    RtlInitAnsiString(&Text, Narrow);
    RtlAnsiStringToUnicodeString(Path, &Text, FALSE);
}

static NTSTATUS Open(PHANDLE Handle, ULONG File, BOOLEAN IsMoved, ACCESS_MASK Access, ULONG Disposition) {
    WCHAR Room[64];
    UNICODE_STRING Path = {.Buffer = Room, .MaximumLength = sizeof(Room)};
    OBJECT_ATTRIBUTES Attributes;
    IO_STATUS_BLOCK Io;
    PathOf(&Path, File, IsMoved);
    InitializeObjectAttributes(&Attributes, &Path, OBJ_CASE_INSENSITIVE | OBJ_KERNEL_HANDLE, NULL, NULL);
    return ZwCreateFile(Handle, Access | SYNCHRONIZE, &Attributes, &Io, NULL, FILE_ATTRIBUTE_NORMAL, 0, Disposition,
                        FILE_SYNCHRONOUS_IO_NONALERT, NULL, 0);
}

/* Writes the bytes that belong there, or Soil. */
static NTSTATUS Write(HANDLE Handle, ULONG File, ULONG Offset, ULONG Length, BOOLEAN IsSoil) {
    IO_STATUS_BLOCK Io;
    LARGE_INTEGER At = {.QuadPart = Offset};
    PUCHAR Bytes = ExAllocatePoolWithTag(PagedPool, Length, 'tseT');
    if (Bytes == NULL) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    for (ULONG i = 0; i < Length; i++) {
        Bytes[i] = IsSoil ? SOIL : ByteAt(File, Offset + i);
    }
    NTSTATUS Status = ZwWriteFile(Handle, NULL, NULL, NULL, &Io, Bytes, Length, &At, NULL);
    ExFreePoolWithTag(Bytes, 'tseT');
    return Status;
}

static NTSTATUS OpenAndWrite(ULONG File, ULONG Disposition, ULONG Offset, ULONG Length, BOOLEAN IsSoil) {
    HANDLE Handle;
    NTSTATUS Status = Open(&Handle, File, FALSE, FILE_WRITE_DATA, Disposition);
    if (NT_SUCCESS(Status)) {
        Status = Write(Handle, File, Offset, Length, IsSoil);
        NTSTATUS Closed = ZwClose(Handle);
        Status = NT_SUCCESS(Status) ? Closed : Status;
    }
    return Status;
}

static NTSTATUS Change(ULONG File, BOOLEAN IsMoved, ACCESS_MASK Access, PVOID Information, ULONG Bytes,
                       FILE_INFORMATION_CLASS Class) {
    HANDLE Handle;
    IO_STATUS_BLOCK Io;
    NTSTATUS Status = Open(&Handle, File, IsMoved, Access, FILE_OPEN);
    if (NT_SUCCESS(Status)) {
        Status = ZwSetInformationFile(Handle, &Io, Information, Bytes, Class);
        ZwClose(Handle);
    }
    return Status;
}

static NTSTATUS Truncate(ULONG File, ULONG Length) {
    FILE_END_OF_FILE_INFORMATION End = {.EndOfFile.QuadPart = Length};
    return Change(File, FALSE, FILE_WRITE_DATA, &End, sizeof(End), FileEndOfFileInformation);
}

static NTSTATUS Delete(ULONG File, BOOLEAN IsMoved) {
    FILE_DISPOSITION_INFORMATION Disposition = {TRUE};
    return Change(File, IsMoved, DELETE, &Disposition, sizeof(Disposition), FileDispositionInformation);
}

static NTSTATUS Move(ULONG File) {
    struct {
        FILE_RENAME_INFORMATION Rename;
        WCHAR Room[64];
    } Target = {0};
    UNICODE_STRING Path = {.Buffer = Target.Rename.FileName, .MaximumLength = sizeof(Target.Room)};
    PathOf(&Path, File, TRUE);
    Target.Rename.FileNameLength = Path.Length;
    return Change(File, FALSE, DELETE, &Target, sizeof(Target), FileRenameInformation);
}

/* Each byte that can be read is right. Returns the length, or -1 where an error came before the end. */
static LONG Check(ULONG File, BOOLEAN IsMoved) {
    HANDLE Handle;
    IO_STATUS_BLOCK Io;
    UCHAR Bytes[PIECE];
    LARGE_INTEGER At = {.QuadPart = 0};
    NTSTATUS Status = Open(&Handle, File, IsMoved, FILE_READ_DATA, FILE_OPEN);
    if (!NT_SUCCESS(Status)) {
        return -1;
    }
    while (NT_SUCCESS(Status = ZwReadFile(Handle, NULL, NULL, NULL, &Io, Bytes, PIECE, &At, NULL))) {
        for (ULONG i = 0; i < Io.Information; i++) {
            if (Bytes[i] != ByteAt(File, (ULONG)At.QuadPart + i)) {
                KdPrintf("faults: WRONG DATA: file %u, offset %u: 0x%02X\n", File, (ULONG)At.QuadPart + i, Bytes[i]);
                KtFail(__FILE__, __LINE__, "WRONG DATA");
                break;
            }
        }
        At.QuadPart += (LONGLONG)Io.Information;
    }
    ZwClose(Handle);
    return Status == STATUS_END_OF_FILE ? (LONG)At.QuadPart : -1;
}

/* The file must be so long: everything that was done to it has succeeded. The host holds the volume against it. */
static VOID CheckWhole(ULONG File, BOOLEAN IsMoved, LONG Length) {
    LONG Found = Check(File, IsMoved);
    KdPrintf("faults: file %u in Temp%s has %d bytes\n", File, IsMoved ? "2" : "", Length);
    if (Found >= 0 && Found != Length) {
        KdPrintf("faults: WRONG DATA: file %u has %d bytes, not %d\n", File, Found, Length);
        KtFail(__FILE__, __LINE__, "WRONG DATA");
    }
    EXPECT(Found == Length);
}

/* Makes dirty clusters: giving one away unwritten shows. */
static VOID Soil(VOID) {
    NTSTATUS Status = OpenAndWrite(FILES, FILE_OVERWRITE_IF, 0, SOIL_BYTES, TRUE);
    EXPECT(NT_SUCCESS(Status) && NT_SUCCESS(Delete(FILES, FALSE)));
}

KTEST(faults_files_are_right_or_refused) {
    Soil();
    NTSTATUS Short = OpenAndWrite(0, FILE_OVERWRITE_IF, 0, 1, FALSE);
    Short = NT_SUCCESS(Short) ? OpenAndWrite(0, FILE_OPEN, 1, 699, FALSE) : Short;
    NTSTATUS Long = OpenAndWrite(1, FILE_OVERWRITE_IF, 0, MAXIMUM_BYTES, FALSE);
    Long = NT_SUCCESS(Long) ? OpenAndWrite(1, FILE_OPEN, 4000, 200, FALSE) : Long;
    NTSTATUS Cut = OpenAndWrite(2, FILE_OVERWRITE_IF, 0, 5000, FALSE);
    Cut = NT_SUCCESS(Cut) ? Truncate(2, 4096) : Cut;
    NTSTATUS Moved = OpenAndWrite(3, FILE_OVERWRITE_IF, 0, 1500, FALSE);
    Moved = NT_SUCCESS(Moved) ? Move(3) : Moved;
    EXPECT(NT_SUCCESS(Short) && NT_SUCCESS(Long) && NT_SUCCESS(Cut) && NT_SUCCESS(Moved));
    NT_SUCCESS(Short) ? CheckWhole(0, FALSE, 700) : (VOID)Check(0, FALSE);
    NT_SUCCESS(Long) ? CheckWhole(1, FALSE, MAXIMUM_BYTES) : (VOID)Check(1, FALSE);
    NT_SUCCESS(Cut) ? CheckWhole(2, FALSE, 4096) : (VOID)Check(2, FALSE);
    NT_SUCCESS(Moved) ? CheckWhole(3, TRUE, 1500) : (VOID)(Check(3, FALSE) + Check(3, TRUE));
    if (!IsFaulty()) {
        for (ULONG File = 0; File < FILES; File++) {
            KT_EXPECT_EQ(Delete(File, File == 3), STATUS_SUCCESS);
        }
    }
}

/* On the volume that the test above has left, in a later boot: nothing of it is in memory. */
KTEST(faults_files_of_an_earlier_boot) {
    HANDLE Handle;
    if (!IsFaulty()) {
        if (!NT_SUCCESS(Open(&Handle, 0, FALSE, FILE_READ_DATA, FILE_OPEN))) {
            KtSkip("needs the volume of faults_files_are_right_or_refused");
            return;
        }
        ZwClose(Handle);
    }
    CheckWhole(0, FALSE, 700);
    CheckWhole(1, FALSE, MAXIMUM_BYTES);
    CheckWhole(2, FALSE, 4096);
    CheckWhole(3, TRUE, 1500);
}

/* ---- The page file ---- */

#define PAGES 8

static VOID CheckPage(const volatile ULONG64 *Page, ULONG Number, ULONG Version) {
    for (ULONG Index = 0; Index < PAGE_SIZE / sizeof(*Page); Index++) {
        if (Page[Index] != ((ULONG64)Version << 32 | Number << 16 | Index)) {
            KdPrintf("faults: WRONG DATA: page %u, word %u: 0x%016I64X\n", Number, Index, Page[Index]);
            KtFail(__FILE__, __LINE__, "WRONG DATA");
            return;
        }
    }
}

/* Out and in again, half of the pages changed, out and in again. A page that cannot be written stays; one that cannot be
 * read stops the machine. */
KTEST(faults_pages_are_right_or_the_end) {
    PULONG64 Base = MiAllocatePoolPages(TRUE, PAGES, FALSE);
    KT_REQUIRE(Base != NULL);
    for (ULONG Version = 1; Version <= 2; Version++) {
        for (ULONG Page = 0; Page < PAGES; Page += Version) {
            for (ULONG Index = 0; Index < PAGE_SIZE / sizeof(*Base); Index++) {
                Base[Page * 512 + Index] = (ULONG64)Version << 32 | Page << 16 | Index;
            }
        }
        PageOut(Base, PAGES);
        for (ULONG Page = 0; Page < PAGES; Page++) {
            CheckPage(Base + Page * 512, Page, Page % Version == 0 ? Version : 1);
        }
    }
    MiFreePoolPages(Base, PAGES);
    PageCheckLists();
}
