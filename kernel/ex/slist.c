/* slist.c: the page fault that a pop from an S-list may take for nothing (arch/x86_64/slist.asm tells why). */
#include <ex.h>
#include <ring.h>

extern const UCHAR ExpInterlockedPopEntrySListFault[], ExpInterlockedPopEntrySListResume[];

/* The head is no longer what the pop has read: the entry that it looks at was popped by somebody else, and perhaps
 * freed. If it is, nobody has popped the entry, and the fault is a true one. */
static BOOLEAN HasHeadChanged(PKTRAP_FRAME Frame) {
    SLIST_HEADER *Header = (SLIST_HEADER *)Frame->Rdi;
    return (ULONG64)FirstEntrySList(Header) != Frame->R9 || Header->Alignment != Frame->Rax;
}

KE_FIX_UP(ExpInterlockedPopEntrySListFault, ExpInterlockedPopEntrySListResume, HasHeadChanged);
