/* slist.c: the page fault that a pop from an S-list may take for nothing (arch/x86_64/slist.asm tells why). */
#include <ex.h>

extern const UCHAR ExpInterlockedPopEntrySListFault[], ExpInterlockedPopEntrySListResume[];

/* TRUE: the fault in Frame is a pop's look at an entry that somebody else has popped and freed; it begins again. If the
 * entry is still the first one, the fault is a true one. Any IRQL; from the page-fault handler, after it has found nothing
 * that it could do. */
BOOLEAN KiResumeSListPop(PKTRAP_FRAME Frame) {
    if (Frame->Rip != (ULONG64)ExpInterlockedPopEntrySListFault) {
        return FALSE;
    }
    SLIST_HEADER *Header = (SLIST_HEADER *)Frame->Rdi;
    if ((ULONG64)FirstEntrySList(Header) == Frame->R9 && Header->Alignment == Frame->Rax) {
        return FALSE;
    }
    Frame->Rip = (ULONG64)ExpInterlockedPopEntrySListResume;
    return TRUE;
}
