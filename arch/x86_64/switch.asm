; switch.asm: the context switch: seven words pushed on one stack, seven popped from another.
;
; A thread that does not run is nothing but its stack. KiSwapContext is an ordinary function call for both threads: the
; old one calls it, and returns from it only when some CPU switches back. The C compiler has already saved the
; caller-saved registers that it needs, so only the callee-saved ones, the stack pointer and (as return address) the
; instruction pointer are left to keep. CR8 is DISPATCH_LEVEL on both sides, IF is 1, and the dispatcher lock is held
; all through: the CPU hands it from the old thread to the new one. There is no floating point in the kernel.
;
;       KTHREAD.KernelStack --> r15                 the lowest address
;                               r14
;                               r13
;                               r12
;                               rbx                 new thread: its KTHREAD
;                               rbp                 +28h: a stack walk starts here; new thread: 0, the end of the chain
;                               return address      +30h: into SwapThread; new thread: KiThreadStartup
;                               ...                 new thread: 0 and 0, then StackBase

%include "offsets.inc"
%include "cfi.inc"

        section .text
        CFI_START
        global KiSwapContext, KiPrepareStack, KiCallOnStack, KiCallGuarded, KiEndGuarded, KiGuardLanding
        extern KiStartThread

; void KiSwapContext(PKTHREAD Old, PKTHREAD New)
; IRQL = DISPATCH_LEVEL, dispatcher lock held, in and out. Returns in New, perhaps on another CPU than New left it on.
KiSwapContext:
        SAVE    rbp                             ; the chain of frames stays whole while the thread sleeps
        mov     rbp, rsp
        SAVE    rbx
        SAVE    r12
        SAVE    r13
        SAVE    r14
        SAVE    r15
        mov     [rdi + THREAD_KERNEL_STACK], rsp ; from here on the old thread is complete on its stack
        mov     rsp, [rsi + THREAD_KERNEL_STACK] ; and this is the switch: every word below is the new thread's
        mov     [gs:PCR_CURRENT_THREAD], rsi    ; now the rest of the kernel sees it too
        RESTORE r15
        RESTORE r14
        RESTORE r13
        RESTORE r12
        RESTORE rbx
        RESTORE rbp
        ret                                     ; to where New called KiSwapContext, or to KiThreadStartup

; ULONG64 KiPrepareStack(ULONG64 StackBase, PKTHREAD Thread)
; Writes the frame drawn above below StackBase (16-byte aligned, mapped) and returns the RSP to store in KernelStack.
KiPrepareStack:
        xor     ecx, ecx
        lea     rdx, [rel KiThreadStartup]
        mov     [rdi - 08h], rcx                ; keeps the stack aligned
        mov     [rdi - 10h], rcx                ; "returns" to 0: a stack walk ends
        mov     [rdi - 18h], rdx                ; the first KiSwapContext returns to it
        mov     [rdi - 20h], rcx                ; rbp
        mov     [rdi - 28h], rsi                ; rbx = Thread
        mov     [rdi - 30h], rcx                ; r12
        mov     [rdi - 38h], rcx                ; r13
        mov     [rdi - 40h], rcx                ; r14
        mov     [rdi - 48h], rcx                ; r15
        lea     rax, [rdi - 48h]
        ret

; The first instructions of every thread: at DISPATCH_LEVEL, with the dispatcher lock that the old thread took.
; KiStartThread gives it back, lowers to PASSIVE_LEVEL and calls the thread's routine. rsp = StackBase - 10h, rbx =
; Thread.
        CFI_OUTERMOST
KiThreadStartup:
        SAVE    rbp                             ; 0 above 0: the outermost frame
        FRAME
        sub     rsp, 8
        mov     rdi, rbx
        call    KiStartThread
        ud2                                     ; it does not return

; NTSTATUS KiCallGuarded(void (*Routine)(PVOID), PVOID Context)
; Calls Routine, which holds no lock, in a thread. STATUS_SUCCESS; or the status of an access violation below
; DISPATCH_LEVEL, which cuts the call short: a fix-up of trap.c sends its trap to KiGuardLanding; or of an exception
; raised below DISPATCH_LEVEL: KiEndGuarded. Any IRQL.
        CFI_LEAF
KiCallGuarded:
        SAVE    rbp
        FRAME
        SAVE    rbx
        SAVE    r12
        SAVE    r13
        SAVE    r14
        SAVE    r15
        mov     rax, [gs:PCR_CURRENT_THREAD]
        push    qword [rax + THREAD_GUARD]      ; the one around this one
        mov     [rax + THREAD_GUARD], rsp
        mov     rax, rdi
        mov     rdi, rsi
        call    rax
        xor     eax, eax
KiGuardLanding:                                 ; eax = status, rsp as above, everything else is unknown
        mov     rcx, [gs:PCR_CURRENT_THREAD]
        pop     qword [rcx + THREAD_GUARD]
        RESTORE r15
        RESTORE r14
        RESTORE r13
        RESTORE r12
        RESTORE rbx
        END_FRAME
        ret

; void KiEndGuarded(NTSTATUS Status)
; Inside KiCallGuarded of the current thread, at the IRQL of that call: it ends now and returns Status. Does not return.
KiEndGuarded:
        mov     eax, edi
        mov     rcx, [gs:PCR_CURRENT_THREAD]
        mov     rcx, [rcx + THREAD_GUARD]
        FRAME_AT rcx + 30h                      ; KiCallGuarded's: six words were pushed behind it
        mov     rsp, rcx
        jmp     KiGuardLanding

; void KiCallOnStack(ULONG64 StackTop, void (*Routine)(void))
; Runs Routine on another stack. rbp stays on the old one and is what Routine's frame links to, so that a stack walk
; crosses from the DPC stack to the interrupted thread's. Any IRQL; StackTop is 16-byte aligned.
        CFI_LEAF
KiCallOnStack:
        SAVE    rbp
        FRAME
        mov     rsp, rdi
__morestack:                                    ; GDB lets the caller's stack lie anywhere only under this name
        call    rsi
        mov     rsp, rbp
        END_FRAME
        ret
        CFI_END
