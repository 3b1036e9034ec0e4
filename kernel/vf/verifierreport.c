/* verifierreport.c: the verifier's part of a bugcheck report: the block that was touched, leaks, locks. */
#include "vf.h"

#include <bugreport.h>

#define TEXT_BYTES 400

/* The block of the special pool that a parameter lies in or behind; NULL: none. */
static const MM_SPECIAL_BLOCK *FindTouchedBlock(VOID) {
    for (ULONG Index = 1; Index < RTL_NUMBER_OF(KiBugCheckData); Index++) {
        const MM_SPECIAL_BLOCK *Block = MmFindSpecialBlock(KiBugCheckData[Index]);
        if (Block != NULL && Block->State != SpecialNever) {
            return Block;
        }
    }
    return NULL;
}

/* Frame number Line of a stack that ends with NULL; FALSE: it has fewer. *Line then counts on behind it. */
static BOOLEAN DescribeFrame(const PVOID *Stack, ULONG *Line, PCHAR Buffer, SIZE_T Bytes) {
    for (ULONG i = 0; i < MM_SPECIAL_FRAMES && Stack[i] != NULL; i++) {
        if ((*Line)-- == 0) {
            KD_FRAME Frame = {.Rip = (ULONG64)Stack[i]};
            int Length = RtlFormat(Buffer, Bytes, "      ");
            KdFormatFrame(Buffer + Length, Bytes - Length, &Frame);
            return TRUE;
        }
    }
    return FALSE;
}

static BOOLEAN DescribeSpecialBlock(ULONG Line, PCHAR Buffer, SIZE_T Bytes) {
    const MM_SPECIAL_BLOCK *Block = FindTouchedBlock();
    if (Block == NULL) {
        return FALSE;
    }
    if (Line-- == 0) {
        RtlFormat(Buffer, Bytes, "  %u bytes of special pool at %016llX, allocated at", Block->Bytes, Block->Start);
        return TRUE;
    }
    if (DescribeFrame(Block->AllocatedBy, &Line, Buffer, Bytes)) {
        return TRUE;
    }
    if (Block->State != SpecialFreed) {
        return FALSE;
    }
    if (Line-- == 0) {
        RtlFormat(Buffer, Bytes, "  and freed at");
        return TRUE;
    }
    return DescribeFrame(Block->FreedBy, &Line, Buffer, Bytes);
}

static BOOLEAN DescribeViolation(ULONG Line, PCHAR Buffer, SIZE_T Bytes) {
    return DescribeSpecialBlock(Line, Buffer, Bytes) || VfDescribeDeadlock(Line, Buffer, Bytes) ||
           VfDescribeLeak(Line, Buffer, Bytes);
}

/* On COM1 only: where blocks and locks came from is longer than a screen. */
static VOID PrintViolation(BUG_WINDOW *Window) {
    static CHAR Text[TEXT_BYTES];
    for (ULONG Line = 0; DescribeViolation(Line, Text, sizeof(Text)); Line++) {
        KiBugPrint(Window, 8, "%s", Text);
    }
}
KE_REPORT_PART(60, AreaSerial, "What the verifier knows", PrintViolation);
