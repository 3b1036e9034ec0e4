/* slist.c: the harmless page fault that a pop from an S-list may take (arch/x86_64/slist.asm). */
#include <ex.h>
#include <ring.h>

extern const UCHAR ExpInterlockedPopEntrySListFault[], ExpInterlockedPopEntrySListResume[];

/* The head is no longer as the pop has read it: another CPU has popped the entry that it looks at, and perhaps freed
 * it. If the head is the same, the entry is still there, and the fault is a true one. */
static BOOLEAN HasHeadChanged(PKTRAP_FRAME Frame) {
    SLIST_HEADER *Header = (SLIST_HEADER *)Frame->Rdi;
    return (ULONG64)FirstEntrySList(Header) != Frame->R9 || Header->Alignment != Frame->Rax;
}

KE_FIX_UP(ExpInterlockedPopEntrySListFault, ExpInterlockedPopEntrySListResume, HasHeadChanged);
