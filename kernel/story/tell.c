/* tell.c: the story's voice: headings, wrapped paragraphs, a page-table entry with its bits named. */
#include "story-private.h"
#include <kd.h>
#include <mm.h>
#include <rtl.h>

#define COLUMNS 100
#define INDENT "  "

/* Prints Text in lines of at most COLUMNS, broken at blanks. */
static VOID PrintWrapped(PCSTR Text) {
    while (*Text) {
        SIZE_T Length = strlen(Text), Break = Length;
        if (Length > COLUMNS) {
            for (Break = COLUMNS; Break > 0 && Text[Break] != ' '; Break--) {
            }
            Break = Break ? Break : COLUMNS;
        }
        KdPrintf(INDENT "%.*s\n", (int)Break, Text);
        for (Text += Break; *Text == ' '; Text++) {
        }
    }
}

VOID StorySay(PCSTR Format, ...) {
    CHAR Text[1024];
    va_list Arguments;
    va_start(Arguments, Format);
    RtlFormatV(Text, sizeof(Text), Format, Arguments);
    va_end(Arguments);
    PrintWrapped(Text);
}

VOID StoryHeading(PCSTR Format, ...) {
    CHAR Text[128];
    va_list Arguments;
    va_start(Arguments, Format);
    RtlFormatV(Text, sizeof(Text), Format, Arguments);
    va_end(Arguments);
    KdPrintf("\n==== %s ====\n", Text);
}

VOID StoryShowPte(PCSTR When, PVOID Address) {
    CHAR Text[160];
    MMPTE Contents = 0;
    MmGetPageState((ULONG64)Address, &Contents);
    MmDescribePte(Contents, Text, sizeof(Text));
    KdPrintf(INDENT "%-22s PTE %016I64X  %s\n", When, Contents, Text);
}

VOID StoryShowFault(PVOID Address) {
    MM_STATISTICS Memory;
    MmQueryStatistics(&Memory);
    if (Memory.LastFaultAddress >> PAGE_SHIFT == (ULONG64)Address >> PAGE_SHIFT) {
        KdPrintf(INDENT "%-22s CR2 %016I64X  error code %I64u: %s, page not present; CR8 %u\n",
                 "the page fault:", Memory.LastFaultAddress, Memory.LastFaultError,
                 Memory.LastFaultError & 2 ? "write" : "read", Memory.LastFaultIrql);
    }
}

NTSTATUS StoryFail(PCSTR Format, ...) {
    CHAR Text[256];
    va_list Arguments;
    va_start(Arguments, Format);
    RtlFormatV(Text, sizeof(Text), Format, Arguments);
    va_end(Arguments);
    KdPrintf("story: this did not go as expected: %s\n", Text);
    return STATUS_UNSUCCESSFUL;
}
