; exploreturn.asm: two contexts that take turns on one CPU, an instruction at a time, by the trap flag.
;
; A context runs with TF = 1: after each instruction the processor raises #DB, and KtStepTrap counts. When the count is
; used up, when the next instruction is a `pause`, or when the context has returned, KtTurn (explore.c) says which context
; goes on. That is the whole switch: all registers on the stack that they belong to, and another stack.
;
;       +00h  r15 ... rax              pushed by SAVE_ALL
;       +78h  Rip, Cs, EFlags, Rsp, Ss pushed by the CPU, on a stack that it aligned to 16
;
; IF = 0 from KtRunContexts on until it returns.

%include "offsets.inc"
%include "cfi.inc"

PAUSE_BYTES     equ 90F3h

        section .text
        global  KtStepTrap, KtFaultTrap, KtRunContexts, KtContextEnd, KtIdle, KtSleeping
        extern  KtTurn, KtCountdown, KtMainFrame, KtFaults
        extern  KiDispatcherLock, KeReleaseSpinLockFromDpcLevel, KiDispatchThreadSwitch

%macro SAVE_ALL 0
        SAVE    rax
        SAVE    rcx
        SAVE    rdx
        SAVE    rbx
        SAVE    rbp
        SAVE    rsi
        SAVE    rdi
        SAVE    r8
        SAVE    r9
        SAVE    r10
        SAVE    r11
        SAVE    r12
        SAVE    r13
        SAVE    r14
        SAVE    r15
%endmacro

        ; "S": the frame of an interrupt, whose own part the CPU pushed: a debugger in KtTurn sees the context as its caller.
        CFI_OPEN {"S"}, DW_CFA, DW_RSP, 28h, DW_AT + DW_RIP, 5, DW_AT + DW_RSP, 2
        CFI_COUNT_FROM_RSP 28h

; The gate of #DB leads here; TF is 0 inside. Most steps take the seven instructions to the first iretq.
KtStepTrap:
        push    rax
        mov     rax, [rsp + 8]          ; the next instruction
        cmp     word [rax], PAUSE_BYTES
        je      .turn
        cmp     rax, [rel EndAddress]
        je      .turn
        dec     qword [rel KtCountdown]
        jz      .turn
        pop     rax
        iretq
.turn:  pop     rax
Turn:   SAVE_ALL
        mov     rdi, rsp
        cld
        call    KtTurn                  ; rax := the frame of the context that goes on
KtTurned:                               ; where a debugger may stop
        mov     rsp, rax
Resume: pop     r15
        pop     r14
        pop     r13
        pop     r12
        pop     r11
        pop     r10
        pop     r9
        pop     r8
        pop     rdi
        pop     rsi
        pop     rbp
        pop     rbx
        pop     rdx
        pop     rcx
        pop     rax
        iretq

; The gate of #PF: the context ends here, as if it had returned.
KtFaultTrap:
        add     rsp, 8                  ; the error code
        inc     qword [rel KtFaults]
        push    qword [rel EndAddress]
        pop     qword [rsp]             ; Rip
        jmp     Turn

; void KtRunContexts(PVOID Frame): goes on with a context, and returns when KtTurn chooses KtMainFrame.
        CFI_LEAF
KtRunContexts:
        pop     rax
        mov     rcx, rsp
        mov     edx, ss
        push    rdx
        push    rcx
        pushfq
        mov     edx, cs
        push    rdx
        push    rax
        SAVE_ALL
        mov     [rel KtMainFrame], rsp
        mov     rsp, rdi
        jmp     Resume

; Where a context returns to. It never runs: the trap behind the `ret` finds it as the next instruction.
KtContextEnd:
        jmp     KtContextEnd

; The idle thread of a context that sleeps. It begins as every thread does, behind a switch and with the dispatcher lock.
; KtSleeping is the place where such a context gives way; it has nothing to do as long as it has no NextThread.
        CFI_OUTERMOST
KtIdle: lea     rdi, [rel KiDispatcherLock]
        call    KeReleaseSpinLockFromDpcLevel
KtSleeping:
        pause
        call    KiDispatchThreadSwitch
        jmp     KtSleeping
        CFI_END

        section .rodata
EndAddress:
        dq      KtContextEnd
