/* fat.c: the file system's core over an image that mformat made: does what a list of operations says, compares with a
 * model in memory, and leaves the image for fsck.fat and mtools.
 *
 *      fat IMAGE work SEED COUNT          random operations, each checked; the image is written back
 *      fat IMAGE starve SEED COUNT        the same, but every third allocation fails: the indexes come and go
 *      fat IMAGE die SEED COUNT SECTORS   the same, but the disk takes no more than so many sectors
 *      fat IMAGE fail SEED COUNT REQUEST  the same, but that request fails: what is read must still be right
 *      fat IMAGE names                    names and patterns; the image is left alone */
#include "fatdisk.h"

int CheckFailures;
typedef struct _IO_FILE FILE;
FILE *fopen(const char *Name, const char *Mode);
size_t fread(void *Buffer, size_t Size, size_t Count, FILE *File);
size_t fwrite(const void *Buffer, size_t Size, size_t Count, FILE *File);
int fseek(FILE *File, long Offset, int From);
long ftell(FILE *File);
int fclose(FILE *File);
int atoi(const char *Text);
_Noreturn void exit(int Status);

#define FILES 24
#define LARGEST 90000u

/* The volume's proper contents. */
typedef struct _MODEL {
    BOOLEAN Exists, IsDoubtful; /* doubtful: an operation on it has failed */
    WCHAR Name[FAT_MAXIMUM_NAME + 1];
    ULONG NameLength;
    ULONG Directory; /* 0 root, 1 Temp, 2 Temp2 */
    ULONG Size;
    UCHAR *Bytes;
    FAT_NODE Node;
} MODEL;

static FAT_VOLUME Volume;
static MODEL Files[FILES];
static ULONG Clusters[3]; /* of the three directories */
static ULONG64 Random;
static BOOLEAN MayFail;
static ULONG Full;
static ULONG LongestName = 220;

static ULONG Draw(ULONG Limit) {
    Random = Random * 6364136223846793005ULL + 1442695040888963407ULL;
    return (ULONG)(Random >> 33) % Limit;
}

static void NewName(MODEL *File) {
    static const char *Shapes[] = {"a", "log", "FILE", "Mixed Name", "archive.tar", "x.y.z", "naïve", "UPPER", "lower"};
    const char *Shape = Shapes[Draw(9)];
    ULONG Length = 0, Wanted = Draw(8) == 0 ? 20 + Draw(LongestName) : 0, Number = (ULONG)(File - Files);
    for (; Shape[Length]; Length++) {
        File->Name[Length] = (UCHAR)Shape[Length];
    }
    while (Length < Wanted) {
        File->Name[Length++] = (WCHAR)('a' + Draw(26));
    }
    File->Name[Length++] = (WCHAR)('A' + Number); /* so no two files have one name, in any case of letters */
    File->Name[Length++] = '_';
    if (Draw(2)) {
        const char *Extension = Draw(2) ? ".txt" : ".LONGER";
        while (*Extension) {
            File->Name[Length++] = (UCHAR)*Extension++;
        }
    }
    File->NameLength = Length;
}

/* A status that only an injected failure, or a full disk, excuses. */
static BOOLEAN Succeeded(NTSTATUS Status, MODEL *File) {
    if (NT_SUCCESS(Status)) {
        return TRUE;
    }
    if (Status == STATUS_DISK_FULL) {
        Full++;
        return FALSE;
    }
    if (!MayFail && Disk.WritesLeft != 0) {
        printf("file %ld: status %#x\n", (long)(File - Files), Status);
        CheckFailures++;
    }
    File->IsDoubtful = TRUE;
    return FALSE;
}

static void CreateOne(MODEL *File) {
    NewName(File);
    File->Directory = Draw(3);
    if (Succeeded(FatCreate(&Volume, Clusters[File->Directory], File->Name, File->NameLength, 0, &File->Node), File)) {
        File->Exists = TRUE;
        File->Size = 0;
    }
}

static void WriteOne(MODEL *File) {
    static UCHAR Bytes[40000];
    ULONG Offset = Draw(3) ? File->Size : Draw(File->Size + 3000), Length = 1 + Draw(Draw(4) ? 1500 : 39999);
    if (Offset + Length > LARGEST) {
        return;
    }
    for (ULONG i = 0; i < Length; i++) {
        Bytes[i] = (UCHAR)Draw(256);
    }
    if (Succeeded(FatWriteFile(&Volume, &File->Node, Offset, Length, Bytes), File)) {
        memcpy(File->Bytes + Offset, Bytes, Length);
        File->Size = Offset + Length > File->Size ? Offset + Length : File->Size;
    }
}

static void ResizeOne(MODEL *File) {
    ULONG Size = Draw(4) ? Draw(File->Size + 5000) : 0;
    Size = Size > LARGEST ? LARGEST : Size;
    if (Succeeded(FatSetSize(&Volume, &File->Node, Size), File)) {
        if (Size < File->Size) {
            memset(File->Bytes + Size, 0, File->Size - Size);
        }
        File->Size = Size;
    }
}

/* As an open that overwrites does. Where nothing is to be freed, one sector is written: the one with the entry. */
static void EmptyOne(MODEL *File) {
    LONG64 Sectors = Disk.SectorsWritten;
    ULONG Size = File->Node.Entry.Size;
    if (Succeeded(FatEmptyFile(&Volume, &File->Node, FAT_ATTRIBUTE_HIDDEN), File)) {
        CHECK(File->Node.Entry.Attributes == (FAT_ATTRIBUTE_HIDDEN | FAT_ATTRIBUTE_ARCHIVE));
        CHECK(Size != 0 || Disk.SectorsWritten == Sectors + 1);
        memset(File->Bytes, 0, LARGEST);
        File->Size = 0;
    }
}

static void RenameOne(MODEL *File) {
    MODEL Old = *File;
    NewName(File);
    ULONG Directory = Draw(3);
    if (Succeeded(FatRename(&Volume, &File->Node, Clusters[Directory], File->Name, File->NameLength), File)) {
        File->Directory = Directory;
    } else {
        memcpy(File->Name, Old.Name, sizeof(Old.Name));
        File->NameLength = Old.NameLength;
        Old.IsDoubtful |= Old.Node.Disk != File->Node.Disk;
    }
}

static void DeleteOne(MODEL *File) {
    if (Succeeded(FatDelete(&Volume, &File->Node), File)) {
        File->Exists = FALSE;
        memset(File->Bytes, 0, LARGEST);
    }
}

static void CheckOne(MODEL *File) {
    static FAT_FOUND Found;
    static UCHAR Bytes[LARGEST];
    LONG64 Left = Disk.RequestsLeft;
    Disk.RequestsLeft = -1; /* what is there now is what counts */
    NTSTATUS Status = FatLookup(&Volume, Clusters[File->Directory], File->Name, File->NameLength, &Found);
    if (!File->IsDoubtful) {
        CHECK(NT_SUCCESS(Status) == File->Exists);
    }
    if (File->Exists && !File->IsDoubtful && NT_SUCCESS(Status)) {
        CHECK(Found.Entry.Size == File->Size);
        CHECK(FatNamesEqual(Found.Name, Found.NameLength, File->Name, File->NameLength));
        CHECK(FatReadFile(&Volume, &File->Node, 0, File->Size, Bytes) == STATUS_SUCCESS);
        CHECK(memcmp(Bytes, File->Bytes, File->Size) == 0);
    }
    Disk.RequestsLeft = Left;
}

/* The index knows each name that a walk finds, and no other. */
static void CheckIndex(ULONG Directory) {
    static FAT_FOUND Found, Indexed;
    PFAT_INDEX Index = FatFindIndex(&Volume, Directory);
    FAT_SCAN Scan;
    ULONG Names = 0;
    if (Index == NULL) {
        return;
    }
    CHECK(NT_SUCCESS(FatBeginScan(&Scan, &Volume, Directory)));
    while (NT_SUCCESS(FatNextFile(&Scan, &Found))) {
        if (!FatIsDots(&Found.Entry)) {
            WCHAR Short[13];
            ULONG Length = FatShortToText(&Found.Entry, Short);
            Names += Found.Parts != 0 && !FatNamesEqual(Short, Length, Found.Name, Found.NameLength) ? 2 : 1;
            CHECK(FatFindIndexed(&Volume, Index, Short, Length, &Indexed) == STATUS_SUCCESS &&
                  Indexed.Disk == Found.Disk);
            CHECK(FatFindIndexed(&Volume, Index, Found.Name, Found.NameLength, &Indexed) == STATUS_SUCCESS &&
                  Indexed.Disk == Found.Disk);
        }
    }
    FatEndScan(&Scan);
    CHECK(Index->NameCount == Names);
}

static void Step(void) {
    MODEL *File = &Files[Draw(FILES)];
    if (File->IsDoubtful) {
        return;
    }
    if (!File->Exists) {
        CreateOne(File);
    } else {
        switch (Draw(10)) {
        case 0:
            DeleteOne(File);
            break;
        case 1:
        case 2:
            RenameOne(File);
            break;
        case 3:
            ResizeOne(File);
            break;
        case 4:
            EmptyOne(File);
            break;
        default:
            WriteOne(File);
        }
    }
    if (Disk.WritesLeft < 0) {
        CheckOne(File);
        if (!MayFail) {
            CheckIndex(Clusters[Draw(3)]);
        }
    }
    CHECK(Disk.Views == 0);
}

static void MakeDirectoryOnce(const char *Name, ULONG Index) {
    WCHAR Wide[16];
    FAT_NODE Node;
    FAT_FOUND Found;
    ULONG Length = 0;
    for (; Name[Length]; Length++) {
        Wide[Length] = (UCHAR)Name[Length];
    }
    if (NT_SUCCESS(FatLookup(&Volume, Clusters[0], Wide, Length, &Found))) {
        FatMakeNode(&Node, Clusters[0], &Found);
    } else {
        CHECK(FatCreate(&Volume, Clusters[0], Wide, Length, FAT_ATTRIBUTE_DIRECTORY, &Node) == STATUS_SUCCESS);
    }
    Clusters[Index] = FatGetCluster(&Volume, &Node.Entry);
}

static void Load(const char *Path) {
    FILE *File = fopen(Path, "rb");
    CHECK(File != NULL);
    fseek(File, 0, 2);
    long Bytes = ftell(File);
    fseek(File, 0, 0);
    Disk.Bytes = malloc((size_t)Bytes);
    Disk.Device.SectorCount = (ULONG64)Bytes / BLOCK_SECTOR_SIZE;
    CHECK(fread(Disk.Bytes, 1, (size_t)Bytes, File) == (size_t)Bytes);
    fclose(File);
}

static void Save(const char *Path) {
    FILE *File = fopen(Path, "wb");
    fwrite(Disk.Bytes, 1, Disk.Device.SectorCount * BLOCK_SECTOR_SIZE, File);
    fclose(File);
}

static void Work(int Seed, int Count) {
    FAT_NODE Root;
    Random = (ULONG64)Seed * 0x9E3779B97F4A7C15 + 1;
    for (ULONG i = 0; i < FILES; i++) {
        Files[i].Bytes = malloc(LARGEST);
        memset(Files[i].Bytes, 0, LARGEST);
    }
    LONG64 Writes = Disk.WritesLeft, Requests = Disk.RequestsLeft;
    Disk.WritesLeft = Disk.RequestsLeft = -1;
    CHECK(FatMount(&Volume, &Disk.Device) == STATUS_SUCCESS);
    FatMakeRootNode(&Volume, &Root);
    Clusters[0] = FatGetCluster(&Volume, &Root.Entry);
    MakeDirectoryOnce("Temp", 1);
    MakeDirectoryOnce("Temp2", 2);
    Disk.WritesLeft = Writes;
    Disk.RequestsLeft = Requests;
    Disk.SectorsWritten = Disk.Requests = 0;
    for (int i = 0; i < Count && Disk.WritesLeft != 0; i++) {
        Step();
    }
    printf("%lld sectors, %lld requests, %u times full\n", (long long)Disk.SectorsWritten, (long long)Disk.Requests,
           Full);
    if (Disk.WritesLeft < 0) {
        for (ULONG i = 0; i < FILES; i++) {
            CheckOne(&Files[i]);
        }
    }
    FatForgetIndexes(&Volume);
    CHECK(Disk.Blocks == 0);
}

/* ---- Names ---- */

static ULONG Widen(const char *Text, WCHAR *Wide) {
    ULONG Length = 0;
    for (; Text[Length]; Length++) {
        Wide[Length] = (UCHAR)Text[Length];
    }
    return Length;
}

static BOOLEAN Matches(const char *Pattern, const char *Name) {
    WCHAR P[64], N[64];
    return FatMatches(P, Widen(Pattern, P), N, Widen(Name, N));
}

static BOOLEAN IsValid(const char *Name) {
    WCHAR Wide[64];
    return FatIsNameValid(Wide, Widen(Name, Wide));
}

static BOOLEAN IsShort(const char *Name, const char *Expected, UCHAR Case) {
    WCHAR Wide[64];
    UCHAR Short[11], Got;
    BOOLEAN IsExact = FatMakeShortName(Wide, Widen(Name, Wide), Short, &Got);
    CHECK(memcmp(Short, Expected, 11) == 0);
    CHECK(!IsExact || Got == Case);
    return IsExact;
}

static void Names(void) {
    CHECK(Matches("*", "anything") && Matches("*.*", "anything") && Matches("a*c", "abbc") && Matches("A?C", "abc"));
    CHECK(!Matches("a*c", "abbd") && !Matches("?", "ab") && Matches("*.TXT", "a.b.txt") && !Matches("", "a"));
    CHECK(Matches("<.txt", "a.txt") && Matches("abc>>", "abc") && Matches("abc\"", "abc") && !Matches("a", ""));
    CHECK(IsValid("a") && IsValid("a b.c d") && IsValid(".x") && IsValid("...") && !IsValid("") && !IsValid("."));
    CHECK(!IsValid("..") && !IsValid("a:b") && !IsValid("a*") && !IsValid("a\\b") && !IsValid("a\tb") && !IsValid("<"));
    CHECK(IsShort("file.txt", "FILE    TXT", FAT_CASE_BASE | FAT_CASE_EXTENSION));
    CHECK(IsShort("FILE.txt", "FILE    TXT", FAT_CASE_EXTENSION) && IsShort("FILE", "FILE       ", 0));
    CHECK(!IsShort("File.txt", "FILE    TXT", 0) && !IsShort("longer name.text", "LONGERNATEX", 0));
    CHECK(!IsShort(".profile", "PROFILE    ", 0) && !IsShort("a.b.c", "AB      C  ", 0) &&
          !IsShort("x.", "X          ", 0));
    CHECK(IsShort("12345678.abc", "12345678ABC", FAT_CASE_EXTENSION) && !IsShort("a+b", "A_B        ", 0));
    for (LONG64 Day = 0; Day < 45000; Day += 37) { /* times survive the way there and back, to two seconds */
        USHORT Date, Clock;
        UCHAR Tenths;
        LONGLONG Time = 119600064000000000 + Day * 864000000000 + Day * 19990000; /* 1980-01-01 and on */
        FatEncodeTime(Time, &Date, &Clock, &Tenths);
        CHECK(FatDecodeTime(Date, Clock, Tenths) / 100000 == Time / 100000);
    }
    CHECK(FatDecodeTime(0x5821, 0, 0) == 133485408000000000); /* 2024-01-01 */
}

int main(int Count, char **Words) {
    const char *What = Words[2];
    Load(Words[1]);
    if (strcmp(What, "names") == 0) {
        Names();
    } else {
        MayFail = strcmp(What, "fail") == 0;
        Disk.AllocationsFail = strcmp(What, "starve") == 0 ? 3 : 0;
        LongestName = strcmp(What, "die") == 0 ? 160 : LongestName; /* a longer one does not go with one write */
        Disk.WritesLeft = strcmp(What, "die") == 0 && Count > 5 ? atoi(Words[5]) : -1;
        Disk.RequestsLeft = MayFail && Count > 5 ? atoi(Words[5]) : -1;
        Work(atoi(Words[3]), atoi(Words[4]));
        Save(Words[1]);
    }
    return CheckFailures != 0;
}
