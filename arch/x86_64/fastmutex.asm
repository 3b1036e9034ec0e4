; fastmutex.asm: the fast mutex when nobody is in the way: one locked instruction each to acquire and to release.
;
; The theory, and everything that happens when somebody is in the way, stands in kernel/ex/fastmutex.c; this part is in
; assembly for the same reason as the spin lock: so that what it costs can be counted by eye. Compare the two: this
; lock raises to APC_LEVEL only, so its owner may be switched out and may take page faults, and who comes too late
; sleeps.
;
; Leaves without a stack frame (see irql.asm): the slow paths are jumped to, and return to our caller.

%include "offsets.inc"
%define APC_LEVEL 1

        section .text.leaf progbits alloc exec nowrite align=16

        global ExAcquireFastMutex, ExReleaseFastMutex
        extern ExpAcquireFastMutexContended, ExpReleaseFastMutexContended, ExpRefuseFastMutexIrql
%ifdef CHECKED
        extern ExpFastMutexAlreadyOwned, ExpFastMutexNotOwned
%endif

; void ExAcquireFastMutex(PFAST_MUTEX). <= APC_LEVEL in, APC_LEVEL out; may wait. 0x192 at DISPATCH_LEVEL or above.
; Not recursive: the checked build stops with 0xBF, the free build waits for itself for ever, as Windows does.
ExAcquireFastMutex:
        mov     rax, cr8
        cmp     eax, APC_LEVEL
        ja      .level
        mov     ecx, APC_LEVEL
        mov     cr8, rcx
        mov     rcx, [gs:PCR_CURRENT_THREAD]
%ifdef CHECKED
        cmp     [rdi + FAST_MUTEX_OWNER], rcx
        je      ExpFastMutexAlreadyOwned
%endif
        lock btr dword [rdi], 0         ; Count: read bit 0 and clear it, indivisibly; it was 1 if the mutex was free
        jnc     .owned
        mov     [rdi + FAST_MUTEX_OWNER], rcx
        mov     [rdi + FAST_MUTEX_OLD_IRQL], eax
        ret
.owned: mov     esi, eax
        jmp     ExpAcquireFastMutexContended
.level: mov     esi, eax
        jmp     ExpRefuseFastMutexIrql

; void ExReleaseFastMutex(PFAST_MUTEX). APC_LEVEL in, by the owner; the level before the acquire out.
ExReleaseFastMutex:
%ifdef CHECKED
        mov     rcx, [gs:PCR_CURRENT_THREAD]
        cmp     [rdi + FAST_MUTEX_OWNER], rcx
        jne     ExpFastMutexNotOwned
%endif
        mov     edx, [rdi + FAST_MUTEX_OLD_IRQL] ; before the next owner writes its own
        mov     qword [rdi + FAST_MUTEX_OWNER], 0
        mov     eax, 1
        lock xadd [rdi], eax            ; Count: set bit 0; eax = what it was: 0 if nobody waits
        test    eax, eax
        jnz     .waited
        mov     cr8, rdx
        ret
.waited: mov    esi, eax
        jmp     ExpReleaseFastMutexContended
