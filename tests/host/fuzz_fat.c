/* fuzz_fat.c: the file system's core over arbitrary bytes: mounts them, walks the tree, reads, creates, renames,
 * deletes. It must come to an end, touch nothing outside the disk, and leave no view mapped.
 *
 * Built with -fsanitize=fuzzer for libFuzzer. */
#include "fatdisk.h"

#define DISK_BYTES (256u << 10)
#define DEEPEST 3
#define MOST_FILES 40
_Noreturn void abort(void);

int CheckFailures;
static UCHAR Image[DISK_BYTES];
static UCHAR Buffer[8192];
static FAT_VOLUME Volume;

static ULONG Widen(const char *Text, WCHAR *Wide) {
    ULONG Length = 0;
    for (; Text[Length]; Length++) {
        Wide[Length] = (UCHAR)Text[Length];
    }
    return Length;
}

static void UseFile(FAT_NODE *Node, const FAT_FOUND *Found) {
    ULONG Size = Found->Entry.Size, Length = Size < sizeof(Buffer) ? Size : sizeof(Buffer);
    FAT_FOUND Again;
    FatLookup(&Volume, Node->Directory, Found->Name, Found->NameLength, &Again);
    FatReadFile(&Volume, Node, 0, Length, Buffer);
    FatReadFile(&Volume, Node, Size - Length, Length, Buffer);
}

/* Deeper first, then what changes things. */
static void Walk(ULONG Directory, ULONG Depth) {
    FAT_SCAN Scan;
    FAT_FOUND Found;
    NTSTATUS Status = FatBeginScan(&Scan, &Volume, Directory);
    for (ULONG i = 0; NT_SUCCESS(Status) && i < MOST_FILES; i++) {
        Status = FatNextFile(&Scan, &Found);
        if (!NT_SUCCESS(Status)) {
            break;
        }
        FAT_NODE Node;
        BOOLEAN IsEmpty;
        FatMakeNode(&Node, Directory, &Found);
        if (!(Found.Entry.Attributes & FAT_ATTRIBUTE_DIRECTORY)) {
            UseFile(&Node, &Found);
        } else if (Depth < DEEPEST) {
            FatIsDirectoryEmpty(&Volume, FatGetCluster(&Volume, &Found.Entry), &IsEmpty);
            Walk(FatGetCluster(&Volume, &Found.Entry), Depth + 1);
        }
    }
    FatEndScan(&Scan);
}

static void Change(ULONG Directory) {
    WCHAR Name[64];
    FAT_NODE Node, Folder;
    FAT_SCAN Scan;
    FAT_FOUND Found;
    ULONG Free;
    if (NT_SUCCESS(FatCreate(&Volume, Directory, Name, Widen("A longer name.txt", Name), 0, &Node))) {
        FatWriteFile(&Volume, &Node, 100, 3000, Buffer);
        FatSetSize(&Volume, &Node, 20000);
        FatSetSize(&Volume, &Node, 700);
    }
    if (NT_SUCCESS(FatCreate(&Volume, Directory, Name, Widen("dir", Name), FAT_ATTRIBUTE_DIRECTORY, &Folder))) {
        FatRename(&Volume, &Node, FatGetCluster(&Volume, &Folder.Entry), Name, Widen("other", Name));
    }
    for (ULONG i = 0; i < 4; i++) { /* and those that were there */
        NTSTATUS Status = FatBeginScan(&Scan, &Volume, Directory);
        for (ULONG Skip = 0; Skip <= i && NT_SUCCESS(Status); Skip++) {
            Status = FatNextFile(&Scan, &Found);
        }
        FatEndScan(&Scan);
        if (!NT_SUCCESS(Status)) {
            break;
        }
        FatMakeNode(&Node, Directory, &Found);
        if (i % 2 == 0) {
            FatWriteFile(&Volume, &Node, Found.Entry.Size / 2, 600, Buffer);
            FatSetSize(&Volume, &Node, Found.Entry.Size / 3);
            FatRename(&Volume, &Node, Directory, Name, Widen("Renamed file.with.dots", Name));
        } else {
            FatDelete(&Volume, &Node);
        }
    }
    FatCountFree(&Volume, &Free);
}

int LLVMFuzzerTestOneInput(const UCHAR *Data, size_t Bytes) {
    memset(Image, 0, sizeof(Image));
    memcpy(Image, Data, Bytes < sizeof(Image) ? Bytes : sizeof(Image));
    Disk.Bytes = Image;
    Disk.Device.SectorCount = DISK_BYTES / BLOCK_SECTOR_SIZE;
    if (NT_SUCCESS(FatMount(&Volume, &Disk.Device))) {
        Walk(0, 0);
        Change(0);
        Walk(0, 0);
        FatForgetIndexes(&Volume);
    }
    if (Disk.Views != 0 || Disk.Blocks != 0) {
        printf("%d views are still mapped, %d blocks of pool allocated\n", Disk.Views, Disk.Blocks);
        abort();
    }
    return 0;
}
