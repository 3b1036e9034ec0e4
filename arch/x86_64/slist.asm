; slist.asm: the S-list: a stack without a lock, whose 16-byte head one instruction exchanges.
;
;       header  +0  depth (16 bits), sequence (48 bits)
;               +8  the first entry's address; its low four bits are 0, since entries are aligned to 16 bytes
;
; cmpxchg16b writes the new head only if all 16 bytes are still as they were read. The sequence number makes that safe:
; without it, a pop that was interrupted after it read "first = A, next = B" would succeed after others have popped A
; and B and pushed A back, and make the long gone B the head. With it, the head has changed even if it looks alike.
;
; One hole is left. A pop reads the first entry's Next when another CPU may have popped that entry and freed its page:
; the read may fault, although its result would be thrown away. Where that fault would stop the machine, a fix-up
; (ex/slist.c) knows the instruction by its address, and resumes at the start of the pop.
;
; rbx is kept in r8 and nothing is pushed: leaves without a stack frame (see irql.asm).

%define DEPTH_ONE 1
%define SEQUENCE_ONE 0x10000

%include "cfi.inc"

        section .text
        CFI_START

        global ExInitializeSListHead, ExpInterlockedPushEntrySList, ExpInterlockedPopEntrySList, ExpInterlockedFlushSList
        global ExpInterlockedPopEntrySListFault, ExpInterlockedPopEntrySListResume
        global ExQueryDepthSList, FirstEntrySList

; void ExInitializeSListHead(PSLIST_HEADER). Any IRQL; 16 bytes, aligned to 16, resident if it is used at DISPATCH_LEVEL.
ExInitializeSListHead:
        mov     qword [rdi], 0
        mov     qword [rdi + 8], 0
        ret

; USHORT ExQueryDepthSList(PSLIST_HEADER): a snapshot. Any IRQL.
ExQueryDepthSList:
        movzx   eax, word [rdi]
        ret

; PSLIST_ENTRY FirstEntrySList(const SLIST_HEADER *): a snapshot. Any IRQL.
FirstEntrySList:
        mov     rax, [rdi + 8]
        and     rax, -16
        ret

; PSLIST_ENTRY ExpInterlockedPushEntrySList(PSLIST_HEADER, PSLIST_ENTRY). Any IRQL. Returns the entry that was first.
ExpInterlockedPushEntrySList:
        SAVE_IN rbx, r8
        mov     rax, [rdi]
        mov     rdx, [rdi + 8]
.try:   mov     r9, rdx
        and     r9, -16
        mov     [rsi], r9               ; Next
        mov     rcx, rsi
        lea     rbx, [rax + SEQUENCE_ONE + DEPTH_ONE]
        lock cmpxchg16b [rdi]           ; if rdx:rax is still there, rcx:rbx takes its place; else it is read anew
        jnz     .try
        mov     rax, r9
        RESTORE_FROM r8, rbx
        ret

; PSLIST_ENTRY ExpInterlockedPopEntrySList(PSLIST_HEADER). Any IRQL. NULL: it is empty.
ExpInterlockedPopEntrySList:
        SAVE_IN rbx, r8
ExpInterlockedPopEntrySListResume:
        mov     rax, [rdi]
        mov     rdx, [rdi + 8]
..@try: mov     r9, rdx
        and     r9, -16
        jz      ..@done
ExpInterlockedPopEntrySListFault:
        mov     rcx, [r9]               ; Next: perhaps of an entry that is gone
        lea     rbx, [rax + SEQUENCE_ONE - DEPTH_ONE]
        lock cmpxchg16b [rdi]
        jnz     ..@try
..@done: mov     rax, r9
        RESTORE_FROM r8, rbx
        ret

; PSLIST_ENTRY ExpInterlockedFlushSList(PSLIST_HEADER): takes all entries out. Any IRQL.
ExpInterlockedFlushSList:
        SAVE_IN rbx, r8
        mov     rax, [rdi]
        mov     rdx, [rdi + 8]
.try:   mov     r9, rdx
        and     r9, -16
        jz      .done
        lea     rbx, [rax + SEQUENCE_ONE]
        xor     bx, bx                  ; depth 0
        xor     ecx, ecx
        lock cmpxchg16b [rdi]
        jnz     .try
.done:  mov     rax, r9
        RESTORE_FROM r8, rbx
        ret
        CFI_END
