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

PAUSE_BYTES     equ 90F3h

        section .text
        global  KtStepTrap, KtRunContexts, KtContextEnd
        extern  KtTurn, KtCountdown, KtMainFrame

%macro SAVE_ALL 0
        push    rax
        push    rcx
        push    rdx
        push    rbx
        push    rbp
        push    rsi
        push    rdi
        push    r8
        push    r9
        push    r10
        push    r11
        push    r12
        push    r13
        push    r14
        push    r15
%endmacro

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
        SAVE_ALL
        mov     rdi, rsp
        cld
        call    KtTurn                  ; rax := the frame of the context that goes on
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

; void KtRunContexts(PVOID Frame): goes on with a context, and returns when KtTurn chooses KtMainFrame.
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

        section .rodata
EndAddress:
        dq      KtContextEnd
