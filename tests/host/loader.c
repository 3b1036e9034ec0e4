/* loader.c: the loader and the symbol reader on the host: a good module (argv[1], its symbols argv[2]) is placed and
 * relocated; every truncation and thousands of damaged copies are refused or loaded, never read or written outside. */
#include "loaderhost.h"

int CheckFailures;

typedef struct _FILE FILE;
FILE *fopen(const char *Name, const char *Mode);
size_t fread(void *Buffer, size_t Size, size_t Count, FILE *File);

static const LDR_SECTION *Named(PCSTR Name) {
    for (ULONG i = 0; i < Module->SectionCount; i++) {
        if (strcmp(Module->Section[i].Name, Name) == 0) {
            return &Module->Section[i];
        }
    }
    return NULL;
}

static VOID Loads_a_good_module(const void *File, SIZE_T Bytes, const void *Symbols, SIZE_T SymbolBytes) {
    LDRP_IMAGE Image;
    BOOLEAN IsLoaded = Load(&Image, File, Bytes);
    CHECK(IsLoaded);
    if (!IsLoaded) {
        printf("    refused: %s\n", Image.Reason);
        return;
    }
    const LDR_SECTION *Text = Named(".text"), *Page = Named("PAGE"), *Init = Named("INIT"), *Data = Named(".data");
    CHECK(Text != NULL && Text->IsExecutable && !Text->IsWritable && !Text->IsPageable);
    CHECK(Page != NULL && Page->IsExecutable && Page->IsPageable);
    CHECK(Init != NULL && Data != NULL && Data->IsWritable && !Data->IsExecutable);
    CHECK(Init->Start > Page->Start && Page->Start > Data->Start && Data->Start > Text->Start);
    CHECK(BYTES_TO_PAGES(Text->Start) != BYTES_TO_PAGES(Data->Start));
    CHECK(Image.Module->EntryPoint == (PVOID)Init->Start);
    LdrpProtectSections(&Image);
    CHECK(TrimmedPages == 1);

    Module->Symbols = Symbols;
    Module->SymbolBytes = SymbolBytes;
    ULONG64 Address;
    KD_SYMBOL Symbol;
    CHECK(KdCheckSymbols(Symbols, SymbolBytes));
    LdrpInsertModule(Module);
    RtlFormat(Module->Name, sizeof(Module->Name), "driver");
    CHECK(KdLookupName("driver", "PagedFunction", &Address) && LdrFindSection(Module, Address) == Page);
    CHECK(KdLookupName("driver", "Pragmas", &Address) && Address == Text->Start);
    CHECK(KdLookupName("driver", "Pointer", &Address) && LdrFindSection(Module, Address) == Data);
    ULONG64 Value = *(const ULONG64 *)Address, Target;
    CHECK(KdLookupName("driver", "Initialised", &Target) && Value == Target && *(const ULONG *)Target == 42);
    CHECK(KdLookupAddress(Page->Start + 1, &Symbol) && strcmp(Symbol.Module, "driver") == 0);
    CHECK(Symbol.Function != NULL && Symbol.File != NULL && strcmp(Symbol.File, "driver.c") == 0 && Symbol.Line > 20);
    CHECK(!KdLookupAddress(Text->Start - 1, &Symbol));
    LdrpDiscardInit(&Image);
    CHECK(Init->Start == 0 && LdrFindModule((ULONG64)Image.InitStart) == Module);
    /* Retired, it still has its name; sixteen more would free it. */
    ULONG64 Base = (ULONG64)Module->DllBase;
    munmap(Reserved, ReservedBytes);
    LdrpRetireModule(Module);
    CHECK(LdrFindModule(Base) == NULL && strcmp(LdrFindUnloadedModule(Base), "driver") == 0);
    CHECK(LdrFindUnloadedModule(Base - 1) == NULL);
}

static VOID Refuses_truncated_modules(const void *File, SIZE_T Bytes) {
    for (SIZE_T Length = 0; Length < Bytes; Length++) {
        void *Copy = malloc(Length == 0 ? 1 : Length);
        LDRP_IMAGE Image;
        memcpy(Copy, File, Length);
        CHECK(!Load(&Image, Copy, Length) && Image.Reason[0] != 0 && !NT_SUCCESS(Image.Status));
        Unload();
        free(Copy);
    }
}

static VOID Survives_damaged_modules(const UCHAR *File, SIZE_T Bytes, unsigned Rounds) {
    ULONG64 Random = 88172645463325252ULL;
    unsigned Refused = 0;
    for (unsigned Round = 0; Round < Rounds; Round++) {
        /* Four bytes in, as a file of the archive may lie. */
        UCHAR *Memory = malloc(Bytes + 4), *Copy = Memory + 4;
        LDRP_IMAGE Image;
        memcpy(Copy, File, Bytes);
        for (unsigned Change = 0; Change < 1 + Round % 3; Change++) {
            Random ^= Random << 13, Random ^= Random >> 7, Random ^= Random << 17;
            SIZE_T At = (Random >> 8) % Bytes;
            /* Half of the damage to the header and the section table, where it matters most. */
            if ((Random & 1) != 0) {
                SIZE_T Table = ((const ELF_HEADER *)File)->SectionOffset;
                At = (Random & 6) == 0 ? At % sizeof(ELF_HEADER) : Table + At % (Bytes - Table);
            }
            Copy[At] = (Random & 8) != 0 ? (UCHAR)(Random >> 50) : (UCHAR)(Copy[At] ^ (1 << (Random >> 61)));
        }
        if (!Load(&Image, Copy, Bytes)) {
            CHECK(Image.Reason[0] != 0 && !NT_SUCCESS(Image.Status));
            Refused++;
        }
        Unload();
        free(Memory);
    }
    CHECK(Refused > Rounds / 10);
}

static VOID Survives_damaged_symbols(const UCHAR *File, SIZE_T Bytes, unsigned Rounds) {
    ULONG64 Random = 88172645463325252ULL;
    static KLDR_DATA_TABLE_ENTRY Entry; /* stays in the list */
    Entry.DllBase = (PVOID)0x10000;
    Entry.SizeOfImage = 0x4000;
    RtlFormat(Entry.Name, sizeof(Entry.Name), "damaged");
    for (ULONG i = 0; i < 4; i++) {
        Entry.Section[i] = (LDR_SECTION){.Start = 0x10000 + i * 0x1000, .Bytes = 0x1000, .ElfIndex = 2 * i + 1};
    }
    Entry.SectionCount = 4;
    LdrpInsertModule(&Entry);
    for (unsigned Round = 0; Round < Rounds; Round++) {
        SIZE_T Length = Round % 7 == 0 ? Round % Bytes : Bytes;
        UCHAR *Copy = malloc(Length + 1);
        memcpy(Copy, File, Length);
        Random ^= Random << 13, Random ^= Random >> 7, Random ^= Random << 17;
        Copy[(Random >> 8) % (Length + 1)] = (UCHAR)Random;
        Entry.Symbols = KdCheckSymbols(Copy, Length) ? Copy : NULL;
        for (ULONG64 Address = 0x10000; Address < 0x14000; Address += 0x123) {
            CHAR Text[100];
            ULONG64 Found;
            KdFormatAddress(Text, sizeof(Text), Address);
            KdLookupName("damaged", "Pragmas", &Found);
        }
        Entry.Symbols = NULL;
        free(Copy);
    }
}

static SIZE_T ReadFile(const char *Name, void *Buffer, SIZE_T Bytes) {
    FILE *File = fopen(Name, "rb");
    return File == NULL ? 0 : fread(Buffer, 1, Bytes, File);
}

int main(int Count, char **Arguments) {
    static UCHAR __attribute__((aligned(8))) Driver[1 << 16], Symbols[1 << 16];
    SIZE_T Bytes = Count == 3 ? ReadFile(Arguments[1], Driver, sizeof(Driver)) : 0;
    SIZE_T SymbolBytes = Count == 3 ? ReadFile(Arguments[2], Symbols, sizeof(Symbols)) : 0;
    if (Bytes == 0 || SymbolBytes == 0) {
        printf("usage: loader DRIVER SYMBOLS\n");
        return 2;
    }
    Loads_a_good_module(Driver, Bytes, Symbols, SymbolBytes);
    Refuses_truncated_modules(Driver, Bytes);
    Survives_damaged_modules(Driver, Bytes, 10000);
    Survives_damaged_symbols(Symbols, SymbolBytes, 10000);
    return CheckFailures != 0;
}
