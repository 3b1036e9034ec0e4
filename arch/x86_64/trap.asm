; trap.asm: the entry of every interrupt and exception: build a KTRAP_FRAME, call C, leave.
;
; Three kinds of vectors, three ways through:
;       exceptions      IRQL stays what it was; IF becomes what it was (a page fault may wait for a disk); KiTrap(Frame)
;       NMI, #DF, #MC   on their own stacks, nothing is re-enabled; KiFreezeInterrupt(Frame) or KiTrap(Frame)
;       interrupts      CR8 := vector >> 4 first, so that only higher levels can come in; KiInterrupt(Frame), for the
;                       software interrupts KiApcInterrupt and KiDpcInterrupt, sends the EOI and sets IF; then CR8 :=
;                       the old level
;
; The stack after ENTER_TRAP (KTRAP_FRAME, trapframe.h). The CPU itself pushed SS..RIP on a stack that it aligned to 16,
; so rsp is aligned again at the bottom, as a C call needs it:
;
;       +00h  LinkRbp, LinkRip         with them it looks like a called function's frame: a walk along rbp crosses it
;       +10h  PreviousIrql             CR8
;       +18h  FaultAddress             CR2, page faults only
;       +20h  r15 ... r8, rdi rsi rbp rbx rdx rcx rax
;       +98h  Vector, ErrorCode        pushed by the stub (the error code by the CPU for some exceptions)
;       +A8h  Rip, Cs, EFlags, Rsp, Ss pushed by the CPU
;
; For a stack walk the frame of an interrupt begins above Ss (at rbp + D0h), and all registers lie below it.
;
; There is no user mode: no swapgs, and the caller's stack is always a kernel stack.

%include "offsets.inc"
%include "cfi.inc"

EXCEPTIONS          equ 32
EFLAGS_IF_BYTE1     equ 2           ; IF, in the second byte of EFLAGS

        section .text
        global  KiVectorStubs, KiTrapCodeStart
        extern  KiTrap, KiInterrupt, KiApcInterrupt, KiDpcInterrupt, KiIsApcInterrupt, KiFreezeInterrupt, HalFeatures

; The CPU has pushed Ss..Rip and perhaps an error code, %1 bytes in all; no other register is saved.
%macro CFI_AT_STUB 1
        CFI_ROW DW_CFA, DW_RSP, %1, DW_SAME + 0, DW_SAME + 1, DW_SAME + 2, DW_SAME + 3, DW_SAME + 4, DW_SAME + 5, \
                DW_SAME + DW_RBP, DW_SAME + 8, DW_SAME + 9, DW_SAME + 10, DW_SAME + 11, DW_SAME + 12, DW_SAME + 13, \
                DW_SAME + 14, DW_SAME + 15
        CFI_COUNT_FROM_RSP %1
%endmacro

%macro ENTER_TRAP 0
        CFI_AT_STUB 38h
        SAVE    rax                 ; +90h
        SAVE    rcx                 ; +88h
        SAVE    rdx                 ; +80h
        SAVE    rbx                 ; +78h
        SAVE    rbp                 ; +70h
        SAVE    rsi                 ; +68h
        SAVE    rdi                 ; +60h
        SAVE    r8                  ; +58h
        SAVE    r9                  ; +50h
        SAVE    r10                 ; +48h
        SAVE    r11                 ; +40h
        SAVE    r12                 ; +38h
        SAVE    r13                 ; +30h
        SAVE    r14                 ; +28h
        SAVE    r15                 ; +20h
        PUSH    0                   ; +18h FaultAddress
        mov     rax, cr8
        PUSH    rax                 ; +10h PreviousIrql
        PUSH    qword [rsp + FRAME_RIP - FRAME_PREVIOUS_IRQL] ; +08h LinkRip
        PUSH    rbp                 ; +00h LinkRbp
        FRAME
        cld
        cmp     byte [rel HalFeatures + FEATURES_SMAP], 0
        je      %%no_smap
        clac                        ; the interrupted code may have had AC set
%%no_smap:
        mov     rdi, rbp            ; the argument of the C function
%endmacro

%macro LEAVE_TRAP 0
%assign CfiDepth 0D0h - FRAME_R15
        lea     rsp, [rbp + FRAME_R15]
        RESTORE r15
        RESTORE r14
        RESTORE r13
        RESTORE r12
        RESTORE r11
        RESTORE r10
        RESTORE r9
        RESTORE r8
        RESTORE rdi
        RESTORE rsi
        END_FRAME
        RESTORE rbx
        RESTORE rdx
        RESTORE rcx
        RESTORE rax
        DROP    16                  ; Vector, ErrorCode
        iretq
%endmacro

%macro RAISE 1                      ; of a vector that is known: the same level without the arithmetic
        mov     eax, %1
        mov     cr8, rax
%endmacro

KiTrapCodeStart:
        ; "S": an interrupt's frame. The CPU's own part of it: Rip and Rsp lie 5 and 2 words below its beginning.
        CFI_OPEN {"S"}, DW_CFA, DW_RSP, 28h, DW_AT + DW_RIP, 5, DW_AT + DW_RSP, 2

; 256 stubs of 16 bytes each: error code, vector, way. idt.c computes their addresses.
        align   16
KiVectorStubs:
%assign Vector 0
%rep 256
        align   16
  %if Vector == 8 || (Vector >= 10 && Vector <= 14) || Vector == 17 || Vector == 21 || Vector == 29 || Vector == 30
        CFI_AT_STUB 30h
  %else
        CFI_AT_STUB 28h
        PUSH    0                   ; the CPU pushes no error code for this one
  %endif
        PUSH    Vector
  %if Vector == VECTOR_NMI
        jmp     NmiEntry
  %elif Vector == VECTOR_DOUBLE_FAULT || Vector == VECTOR_MACHINE_CHECK
        jmp     AbortEntry
  %elif Vector == VECTOR_APC
        jmp     ApcEntry
  %elif Vector == VECTOR_DISPATCH
        jmp     DpcEntry
  %elif Vector < EXCEPTIONS || Vector == VECTOR_FAST_FAIL
        jmp     ExceptionEntry
  %elif Vector == VECTOR_SPURIOUS
        jmp     SpuriousEntry
  %else
        jmp     InterruptEntry
  %endif
  %assign Vector Vector + 1
%endrep

ExceptionEntry:
        ENTER_TRAP
Exception:
        cmp     qword [rbp + FRAME_VECTOR], VECTOR_PAGE_FAULT
        jne     .saved
        mov     rax, cr2            ; before IF is set: the next fault on this CPU overwrites it
        mov     [rbp + FRAME_FAULT_ADDRESS], rax
.saved: test    byte [rbp + FRAME_EFLAGS + 1], EFLAGS_IF_BYTE1
        jz      .call
        sti
.call:  call    KiTrap
        cli
        LEAVE_TRAP

; #DF and #MC: no way back into the interrupted code is promised, and nothing may come in between.
AbortEntry:
        ENTER_TRAP
        call    KiTrap
        LEAVE_TRAP

NmiEntry:
        ENTER_TRAP
        call    KiFreezeInterrupt
        LEAVE_TRAP

; Vector 0x1F is the APC software interrupt, and also exception 31, which no processor raises but an `int 1Fh` looks
; like: the local APIC knows whether it has delivered one.
ApcEntry:
        ENTER_TRAP
        call    KiIsApcInterrupt
        mov     rdi, rbp
        test    al, al
        jz      Exception
        RAISE   APC_LEVEL
        call    KiApcInterrupt
        jmp     Lower

DpcEntry:                           ; DPCs, and perhaps another thread
        ENTER_TRAP
        RAISE   DISPATCH_LEVEL
        call    KiDpcInterrupt
        jmp     Lower

InterruptEntry:                     ; devices, clock, IPIs
        ENTER_TRAP
        mov     eax, [rbp + FRAME_VECTOR]
        shr     eax, 4
        mov     cr8, rax            ; the level of an interrupt is its vector >> 4
        call    KiInterrupt
Lower:  cli
        mov     rax, [rbp + FRAME_PREVIOUS_IRQL]
        mov     cr8, rax            ; interrupts deliverable now come after the iretq, on an empty frame
        LEAVE_TRAP

; The local APIC's "never mind": an interrupt that went away before it was taken. It is not in service and gets no EOI.
SpuriousEntry:
        CFI_AT_STUB 38h
        DROP    16
        iretq

        CFI_END
