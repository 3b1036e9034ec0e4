; trap.asm: every interrupt and exception enters the kernel here, builds a KTRAP_FRAME, calls one C routine, and leaves.
;
; Three kinds of vectors, three ways through:
;       exceptions      IRQL stays what it was; IF becomes what it was (a page fault may wait for a disk); KiTrap(Frame)
;       NMI, #DF, #MC   on their own stacks, nothing is re-enabled; KiFreezeInterrupt(Frame) or KiTrap(Frame)
;       interrupts      CR8 := vector >> 4 first, so that only higher levels can come in; KiInterrupt(Frame), for the
;                       software interrupts KiApcInterrupt and KiDpcInterrupt, sends the EOI and sets IF; then CR8 :=
;                       what it was
;
; The stack after ENTER (KTRAP_FRAME, ke.h); the CPU itself pushed SS..RIP on a stack that it aligned to 16, so rsp is
; aligned again at the bottom, as a C call needs it:
;
;       +00h  LinkRbp, LinkRip         with them it looks like a called function's frame: a walk along rbp crosses it
;       +10h  PreviousIrql             CR8
;       +18h  FaultAddress             CR2, page faults only
;       +20h  r15 ... r8, rdi rsi rbp rbx rdx rcx rax
;       +98h  Vector, ErrorCode        pushed by the stub (the error code by the CPU for some exceptions)
;       +A8h  Rip, Cs, EFlags, Rsp, Ss pushed by the CPU
;
; There is no user mode: no swapgs, and the caller's stack is always a kernel stack. kd/stack.c takes a frame as a trap
; frame when the return address above it lies between KiTrapCodeStart and KiTrapCodeEnd.

%include "offsets.inc"

VECTOR_NMI          equ 2
VECTOR_DOUBLE_FAULT equ 8
VECTOR_PAGE_FAULT   equ 14
VECTOR_MACHINE_CHECK equ 18
VECTOR_APC          equ 0x1F
VECTOR_FAST_FAIL    equ 0x29
VECTOR_DISPATCH     equ 0x2F
VECTOR_SPURIOUS     equ 0xDF
EXCEPTIONS          equ 32
APC_LEVEL           equ VECTOR_APC >> 4
DISPATCH_LEVEL      equ VECTOR_DISPATCH >> 4
EFLAGS_IF_BYTE1     equ 2           ; IF, in the second byte of EFLAGS

        section .text
        global  KiVectorStubs, KiTrapCodeStart, KiTrapCodeEnd
        extern  KiTrap, KiInterrupt, KiApcInterrupt, KiDpcInterrupt, KiIsApcInterrupt, KiFreezeInterrupt, HalFeatures

%macro ENTER_TRAP 0
        push    rax                 ; +90h
        push    rcx                 ; +88h
        push    rdx                 ; +80h
        push    rbx                 ; +78h
        push    rbp                 ; +70h
        push    rsi                 ; +68h
        push    rdi                 ; +60h
        push    r8                  ; +58h
        push    r9                  ; +50h
        push    r10                 ; +48h
        push    r11                 ; +40h
        push    r12                 ; +38h
        push    r13                 ; +30h
        push    r14                 ; +28h
        push    r15                 ; +20h
        push    0                   ; +18h FaultAddress
        mov     rax, cr8
        push    rax                 ; +10h PreviousIrql
        push    qword [rsp + FRAME_RIP - FRAME_PREVIOUS_IRQL] ; +08h LinkRip
        push    rbp                 ; +00h LinkRbp
        mov     rbp, rsp
        cld
        cmp     byte [rel HalFeatures + FEATURES_SMAP], 0
        je      %%no_smap
        clac                        ; whoever was interrupted may have had AC set
%%no_smap:
        mov     rdi, rbp            ; the argument of whatever is called
%endmacro

%macro LEAVE_TRAP 0
        lea     rsp, [rbp + FRAME_R15]
        pop     r15
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
        add     rsp, 16             ; Vector, ErrorCode
        iretq
%endmacro

%macro RAISE 1                      ; of a vector that is known: the same level without the arithmetic
        mov     eax, %1
        mov     cr8, rax
%endmacro

KiTrapCodeStart:

; 256 stubs of 16 bytes each: error code, vector, way. idt.c computes their addresses.
        align   16
KiVectorStubs:
%assign Vector 0
%rep 256
        align   16
  %if Vector == 8 || (Vector >= 10 && Vector <= 14) || Vector == 17 || Vector == 21 || Vector == 29 || Vector == 30
  %else
        push    0                   ; the CPU pushes no error code for this one
  %endif
        push    Vector
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
        mov     cr8, rax            ; what has become deliverable comes after the iretq, on an empty frame
        LEAVE_TRAP

; The local APIC's "never mind": an interrupt that went away before it was taken. It is not in service and gets no EOI.
SpuriousEntry:
        add     rsp, 16
        iretq

KiTrapCodeEnd:
