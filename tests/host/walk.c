/* walk.c: the kernel's own stack walk (report/stack.c, ldr/symbols.c) on states of a machine that a debugger has written down.
 *
 * usage: walk FILE: blocks of lines, numbers in hexadecimal:
 *   module START BYTES SYMBOLFILE         section MODULE-NUMBER ELF-INDEX START BYTES
 *   state RIP RSP RBP WORDS WORD...       the stack from RSP on
 * For each state it prints the walk: one line of instruction pointers. */
#include <kd.h>
#include <ldr.h>
#include <rtl.h>

#define MAXIMUM_MODULES 16
#define MAXIMUM_WORDS 768
#define MAXIMUM_FRAMES 10

typedef struct _FILE FILE;
FILE *fopen(const char *Name, const char *Mode);
size_t fread(void *Buffer, size_t Size, size_t Count, FILE *File);
int fscanf(FILE *File, const char *Format, ...);
void *malloc(size_t Bytes);

int CheckFailures;
LIST_ENTRY PsLoadedModuleList;
static KLDR_DATA_TABLE_ENTRY Modules[MAXIMUM_MODULES];
static ULONG ModuleCount;
static ULONG64 Words[MAXIMUM_WORDS], WordCount, StackStart;

/* ---- What the walk asks of the kernel ---- */

PKLDR_DATA_TABLE_ENTRY LdrFindModule(ULONG64 Address) {
    for (ULONG i = 0; i < ModuleCount; i++) {
        if (Address - (ULONG64)Modules[i].DllBase < Modules[i].SizeOfImage) {
            return &Modules[i];
        }
    }
    return NULL;
}
const LDR_SECTION *LdrFindSection(PKLDR_DATA_TABLE_ENTRY Module, ULONG64 Address) {
    for (ULONG i = 0; i < Module->SectionCount; i++) {
        if (Address - Module->Section[i].Start < Module->Section[i].Bytes) {
            return &Module->Section[i];
        }
    }
    return NULL;
}
PCSTR LdrFindUnloadedModule(ULONG64 Address) {
    return Address == 0 ? "" : NULL;
}
BOOLEAN MmIsAddressValid(PVOID Address) {
    return (ULONG64)Address - (ULONG64)Words < WordCount * sizeof(ULONG64);
}

/* ---- The states ---- */

/* An address on the machine's stack as the same place in Words. */
static ULONG64 Here(ULONG64 Address) {
    return Address - StackStart < WordCount * sizeof(ULONG64) ? Address - StackStart + (ULONG64)Words : Address;
}

static const void *ReadAll(const char *Name, SIZE_T *Bytes) {
    FILE *File = fopen(Name, "rb");
    void *Data = malloc(1 << 20);
    *Bytes = File == NULL ? 0 : fread(Data, 1, 1 << 20, File);
    return Data;
}

static VOID ReadModule(FILE *File) {
    PKLDR_DATA_TABLE_ENTRY Module = &Modules[ModuleCount++];
    char Name[400];
    ULONG64 Start, Bytes;
    CHECK(ModuleCount <= MAXIMUM_MODULES && fscanf(File, "%lx %lx %399s", &Start, &Bytes, Name) == 3);
    Module->DllBase = (PVOID)Start;
    Module->SizeOfImage = (ULONG)Bytes;
    SIZE_T FileBytes;
    Module->Symbols = ReadAll(Name, &FileBytes);
    CHECK(KdCheckSymbols(Module->Symbols, FileBytes));
}

static VOID ReadSection(FILE *File) {
    ULONG64 Number, Index, Start, Bytes;
    CHECK(fscanf(File, "%lx %lx %lx %lx", &Number, &Index, &Start, &Bytes) == 4 && Number < ModuleCount);
    PKLDR_DATA_TABLE_ENTRY Module = &Modules[Number];
    LDR_SECTION *Section = &Module->Section[Module->SectionCount++];
    Section->ElfIndex = (ULONG)Index;
    Section->Start = Start;
    Section->Bytes = (ULONG)Bytes;
}

static VOID WalkState(FILE *File) {
    KD_FRAME First = {.IsTrap = TRUE}, Frames[MAXIMUM_FRAMES];
    CHECK(fscanf(File, "%lx %lx %lx %lx", &First.Rip, &First.Rsp, &First.Rbp, &WordCount) == 4 &&
          WordCount <= MAXIMUM_WORDS);
    StackStart = First.Rsp;
    for (ULONG64 i = 0; i < WordCount; i++) {
        CHECK(fscanf(File, "%lx", &Words[i]) == 1);
        Words[i] = Here(Words[i]);
    }
    First.Rsp = Here(First.Rsp);
    First.Rbp = Here(First.Rbp);
    ULONG Count = KdWalkStack(&First, Frames, MAXIMUM_FRAMES);
    for (ULONG i = 0; i < Count; i++) {
        printf("%s%lx", i == 0 ? "" : " ", Frames[i].Rip);
    }
    printf("\n");
}

int main(int Count, char **Arguments) {
    FILE *File = Count == 2 ? fopen(Arguments[1], "r") : NULL;
    char Kind[16];
    CHECK(File != NULL);
    while (CheckFailures == 0 && fscanf(File, "%15s", Kind) == 1) {
        if (strcmp(Kind, "module") == 0) {
            ReadModule(File);
        } else if (strcmp(Kind, "section") == 0) {
            ReadSection(File);
        } else {
            WalkState(File);
        }
    }
    return CheckFailures != 0;
}
