; spinlock.asm: the spin lock: one exchange that only one CPU can win.
;
; xchg with memory is atomic by itself (no LOCK prefix is needed), and it is a full barrier: the owner's loads and
; stores stay between its xchg and its release. Release is a plain store, because x86 never lets a store pass an earlier
; load or store. tests/models/spinlock.pml tries every order of the steps.
;
;       lock word 0     free
;       lock word 1     held. The word does not name the owner: a waiter's failed xchg writes its own 1 over the
;                       owner's; a name would not survive. The checked build keeps a list of held locks per CPU instead
;                       (KPRCB.HeldLock, ke/lockcheck.c): owner, caller, rank.
;
; The order matters: first CR8 := DISPATCH_LEVEL, then the exchange. A CPU that took the lock at PASSIVE_LEVEL could be
; switched to another thread, or run a DPC that wants the same lock and waits forever for the code that it interrupted.
; At DISPATCH_LEVEL neither can come in. The price is this project's subject: no page fault can be served there.
;
; Waiting is test-and-test-and-set: a failed xchg takes the cache line away from the owner, so a waiter reads (its own
; shared copy, no bus traffic) until the word is 0 and only then tries again; `pause` tells the processor that this is a
; spin loop. Interrupts above DISPATCH_LEVEL stay open meanwhile: TLB shoot-downs and the clock reach a waiter.
;
; These are leaves without a stack frame (see irql.asm). The checked build wraps them: ke/checkedlock.c.

%include "offsets.inc"
%include "cfi.inc"

        section .text
        CFI_START

        global KiAcquireTextbookLock, KiReleaseTextbookLock, KeInitializeSpinLock, KeTestSpinLock
        global KeAcquireSpinLockRaiseToDpc, KeAcquireSpinLockRaiseToSynch, KeAcquireSpinLockAtDpcLevel
        global KeTryToAcquireSpinLockAtDpcLevel, KeReleaseSpinLock, KeReleaseSpinLockFromDpcLevel

; ---- The textbook form, for reading and for single-stepping: a byte, an exchange, a loop ---------------------------

; void KiAcquireTextbookLock(volatile unsigned char *Lock). IRQL is the caller's concern.
KiAcquireTextbookLock:
        mov     al, 1
.spin:  xchg    al, [rdi]               ; al := old value, lock := 1, in one step that no CPU can divide
        test    al, al                  ; 0: it was free, and now it is ours; 1: another CPU's, and still is
        jnz     .spin
        ret

; void KiReleaseTextbookLock(volatile unsigned char *Lock)
KiReleaseTextbookLock:
        mov     byte [rdi], 0
        ret

; ---- KSPIN_LOCK ----------------------------------------------------------------------------------------------------

; void KeInitializeSpinLock(PKSPIN_LOCK). Any IRQL. The word must lie in resident memory for as long as it is used.
KeInitializeSpinLock:
        mov     qword [rdi], 0
        ret

; BOOLEAN KeTestSpinLock(PKSPIN_LOCK): TRUE = free at this instant. Any IRQL.
KeTestSpinLock:
        xor     eax, eax
        cmp     qword [rdi], 0
        sete    al
        jne     .held
        ret
.held:  pause
        ret

; KIRQL KeAcquireSpinLockRaiseToSynch(PKSPIN_LOCK). IRQL <= SYNCH_LEVEL in, SYNCH_LEVEL out; returns the old level.
KeAcquireSpinLockRaiseToSynch:
        mov     rax, cr8
        mov     edx, SYNCH_LEVEL
        mov     cr8, rdx
        jmp     KeAcquireSpinLockAtDpcLevel

; KIRQL KeAcquireSpinLockRaiseToDpc(PKSPIN_LOCK). IRQL <= DISPATCH_LEVEL in, DISPATCH_LEVEL out; returns the old level.
KeAcquireSpinLockRaiseToDpc:
        mov     rax, cr8
        mov     edx, DISPATCH_LEVEL
        mov     cr8, rdx                ; first the level, then (falling through) the lock

; void KeAcquireSpinLockAtDpcLevel(PKSPIN_LOCK). IRQL >= DISPATCH_LEVEL, unchanged. rax is left alone.
KeAcquireSpinLockAtDpcLevel:
        mov     ecx, 1
        xchg    rcx, [rdi]              ; the whole lock: read the old word and write a 1, indivisibly
        test    ecx, ecx                ; 0: it was free, and is ours
        jnz     .held
        ret
.held:  mov     [gs:PCR_SPINNING_WORD], rcx ; for a report: neither 0 nor 1, and it was never initialised
.wait:  mov     [gs:PCR_SPINNING_ON], rdi ; for the watchdog's report; an interrupt's own spinning forgets ours
        pause
        cmp     qword [rdi], 0
        jne     .wait
        mov     ecx, 1
        xchg    rcx, [rdi]
        test    ecx, ecx
        jnz     .wait
        mov     qword [gs:PCR_SPINNING_ON], 0
        ret

; BOOLEAN KeTryToAcquireSpinLockAtDpcLevel(PKSPIN_LOCK). IRQL >= DISPATCH_LEVEL. TRUE: it is held now.
KeTryToAcquireSpinLockAtDpcLevel:
        xor     eax, eax
        cmp     qword [rdi], 0
        jne     .busy
        mov     ecx, 1
        xchg    rcx, [rdi]
        test    ecx, ecx
        jnz     .busy                   ; lost: our 1 lies over the owner's 1, which changes nothing
        mov     eax, 1
        ret
.busy:  pause
        ret

; void KeReleaseSpinLock(PKSPIN_LOCK, KIRQL NewIrql). DISPATCH_LEVEL in, NewIrql out: first the lock, then the level.
KeReleaseSpinLock:
        mov     qword [rdi], 0
        movzx   esi, sil
        mov     cr8, rsi
        ret

; void KeReleaseSpinLockFromDpcLevel(PKSPIN_LOCK). IRQL >= DISPATCH_LEVEL, unchanged.
KeReleaseSpinLockFromDpcLevel:
        mov     qword [rdi], 0
        ret
        CFI_END
