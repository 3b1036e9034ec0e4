; spinlock.asm: the spin lock: one exchange that only one CPU can win.
;
; xchg with memory is atomic by itself (no LOCK prefix is needed), and it is a full barrier: what the owner read and wrote
; stays between its xchg and its release. Release is a plain store, because x86 never lets a store pass an earlier load
; or store.
;
;       lock word 0     free
;       lock word 1     held. By whom, the word does not say: a waiter's failed xchg writes its own 1 over the owner's, so a
;                       name in the word would not survive. The checked build keeps a list of held locks per CPU instead
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
; Leaves without a stack frame (see irql.asm); only the checked build's calls into C make one.

%include "offsets.inc"
%include "cfi.inc"
%include "trace.inc"
%define DISPATCH_LEVEL 2
%define SYNCH_LEVEL 12
%define LOCK_QUEUE_WAIT 1
%define LOCK_QUEUE_OWNER 2

        section .text
        CFI_START

        global KeInitializeSpinLock, KeTestSpinLock, KeTryToAcquireSpinLockAtDpcLevel
        global KeAcquireSpinLockRaiseToDpc, KeAcquireSpinLockRaiseToSynch, KeAcquireSpinLockAtDpcLevel
        global KeReleaseSpinLock, KeReleaseSpinLockFromDpcLevel
        global KeAcquireInStackQueuedSpinLock, KeAcquireInStackQueuedSpinLockAtDpcLevel
        global KeAcquireInStackQueuedSpinLockRaiseToSynch
        global KeReleaseInStackQueuedSpinLock, KeReleaseInStackQueuedSpinLockFromDpcLevel
        global KiAcquireTextbookLock, KiReleaseTextbookLock
%ifdef CHECKED
        extern KiLockAcquired, KiLockReleasing, KiLockContended
%endif

; ---- The textbook form, for reading and for single-stepping: a byte, an exchange, a loop -------------------------------

; void KiAcquireTextbookLock(volatile unsigned char *Lock). The caller sees to IRQL.
KiAcquireTextbookLock:
        mov     al, 1
.spin:  xchg    al, [rdi]               ; al := old value, lock := 1, in one step that no CPU can divide
        test    al, al                  ; 0: it was free, and now it is ours; 1: somebody else's, and still is
        jnz     .spin
        ret

; void KiReleaseTextbookLock(volatile unsigned char *Lock)
KiReleaseTextbookLock:
        mov     byte [rdi], 0
        ret

; ---- KSPIN_LOCK --------------------------------------------------------------------------------------------------------

; Tells the checked build who holds the lock in rdi. [rsp] is the caller of the acquire; rax is preserved.
%macro NOTE_ACQUIRED 0
%ifdef CHECKED
        mov     rsi, [rsp]
        push    rbp
        CFI_RBP_PUSHED
        mov     rbp, rsp
        CFI_RBP_FRAME
        push    rax
        sub     rsp, 8
        call    KiLockAcquired
        add     rsp, 8
        pop     rax
        pop     rbp
        CFI_NO_FRAME
%endif
%endmacro

; The two halves of every acquire: the try, and (out of the way) the wait. rdi = lock.
%macro ACQUIRE 0
        mov     ecx, 1
        xchg    rcx, [rdi]              ; the whole lock: read the old word and write a 1, indivisibly
        test    ecx, ecx                ; 0: it was free, and is ours
        jnz     %%held
        NOTE_ACQUIRED
        ret
%%held: mov     [gs:PCR_SPINNING_WORD], rcx ; neither 0 nor 1: nobody has ever initialised this lock
%ifdef CHECKED
        mov     rsi, [rsp]
        push    rbp
        CFI_RBP_PUSHED
        mov     rbp, rsp
        CFI_RBP_FRAME
        push    rax
        push    rdi
        call    KiLockContended         ; stops the machine if this CPU would wait for itself
        pop     rdi
        pop     rax
        pop     rbp
        CFI_NO_FRAME
%endif
%%wait: mov     [gs:PCR_SPINNING_ON], rdi ; for the watchdog's report; an interrupt's own spinning forgets ours
        pause
        cmp     qword [rdi], 0
        jne     %%wait
        mov     ecx, 1
        xchg    rcx, [rdi]
        test    ecx, ecx
        jnz     %%wait
        mov     qword [gs:PCR_SPINNING_ON], 0
        NOTE_ACQUIRED
        ret
%endmacro

; Checks that the CPU holds the lock in rdi, before it is let go. rdi, rsi preserved.
%macro NOTE_RELEASING 0
%ifdef CHECKED
        push    rbp
        CFI_RBP_PUSHED
        mov     rbp, rsp
        CFI_RBP_FRAME
        push    rdi
        push    rsi
        mov     rsi, [rbp + 8]
        call    KiLockReleasing
        pop     rsi
        pop     rdi
        pop     rbp
        CFI_NO_FRAME
%endif
%endmacro

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

; KIRQL KeAcquireSpinLockRaiseToDpc(PKSPIN_LOCK). IRQL <= DISPATCH_LEVEL in, DISPATCH_LEVEL out; returns the old level.
KeAcquireSpinLockRaiseToDpc:
        mov     rax, cr8
        mov     edx, DISPATCH_LEVEL
        mov     cr8, rdx
        TRACE_RAISE rax, DISPATCH_LEVEL
        ACQUIRE

; KIRQL KeAcquireSpinLockRaiseToSynch(PKSPIN_LOCK). IRQL <= SYNCH_LEVEL in, SYNCH_LEVEL out.
KeAcquireSpinLockRaiseToSynch:
        mov     rax, cr8
        mov     edx, SYNCH_LEVEL
        mov     cr8, rdx
        TRACE_RAISE rax, SYNCH_LEVEL
        ACQUIRE

; void KeAcquireSpinLockAtDpcLevel(PKSPIN_LOCK). IRQL >= DISPATCH_LEVEL, unchanged.
KeAcquireSpinLockAtDpcLevel:
        ACQUIRE

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
        NOTE_ACQUIRED
        ret
.busy:  pause
        ret

; void KeReleaseSpinLock(PKSPIN_LOCK, KIRQL NewIrql). IRQL DISPATCH_LEVEL in, NewIrql out: first the lock, then the level.
KeReleaseSpinLock:
        NOTE_RELEASING
        mov     qword [rdi], 0
        movzx   esi, sil
        TRACE_LOWER rsi
        mov     cr8, rsi
        ret

; void KeReleaseSpinLockFromDpcLevel(PKSPIN_LOCK). IRQL >= DISPATCH_LEVEL, unchanged.
KeReleaseSpinLockFromDpcLevel:
        NOTE_RELEASING
        mov     qword [rdi], 0
        ret

; ---- In-stack queued spin lock -------------------------------------------------------------------------------------------
; The lock word points to the last handle of a queue; each waiter spins on its own handle, so that a release touches one
; other CPU's cache line, and the lock is handed on in the order of arrival (first in, first out).
;
;       lock word --> tail handle
;       owner:   Lock = lock | OWNER    Next --> first waiter
;       waiter:  Lock = lock | WAIT     Next --> next waiter or 0 (tail)

; void KeAcquireInStackQueuedSpinLockRaiseToSynch(PKSPIN_LOCK, PKLOCK_QUEUE_HANDLE). IRQL <= SYNCH_LEVEL in, SYNCH_LEVEL out.
KeAcquireInStackQueuedSpinLockRaiseToSynch:
        mov     rax, cr8
        mov     [rsi + LOCK_HANDLE_OLD_IRQL], al
        mov     edx, SYNCH_LEVEL
        mov     cr8, rdx
        TRACE_RAISE rax, SYNCH_LEVEL
        jmp     KeAcquireInStackQueuedSpinLockAtDpcLevel

; void KeAcquireInStackQueuedSpinLock(PKSPIN_LOCK, PKLOCK_QUEUE_HANDLE). IRQL <= DISPATCH_LEVEL in, DISPATCH_LEVEL out.
KeAcquireInStackQueuedSpinLock:
        mov     rax, cr8
        mov     [rsi + LOCK_HANDLE_OLD_IRQL], al
        mov     edx, DISPATCH_LEVEL
        mov     cr8, rdx
        TRACE_RAISE rax, DISPATCH_LEVEL
; void KeAcquireInStackQueuedSpinLockAtDpcLevel(PKSPIN_LOCK, PKLOCK_QUEUE_HANDLE). IRQL >= DISPATCH_LEVEL, unchanged.
KeAcquireInStackQueuedSpinLockAtDpcLevel:
        lea     rax, [rdi + LOCK_QUEUE_OWNER]
        mov     [rsi + LOCK_HANDLE_LOCK], rax
        mov     qword [rsi + LOCK_HANDLE_NEXT], 0
        mov     rcx, rsi
        xchg    rcx, [rdi]              ; we are the tail now; rcx = who was
        test    rcx, rcx
        jnz     .queue
        TRACE_LOCK TRACE_ACQUIRE, rdi
        ret
.queue: lea     rax, [rdi + LOCK_QUEUE_WAIT]
        mov     [rsi + LOCK_HANDLE_LOCK], rax   ; before our handle can be found by the one before us
        mov     [rcx + LOCK_HANDLE_NEXT], rsi
        TRACE_LOCK TRACE_CONTEND, rdi
.wait:  mov     [gs:PCR_SPINNING_ON], rdi
        pause
        test    byte [rsi + LOCK_HANDLE_LOCK], LOCK_QUEUE_WAIT
        jnz     .wait
        mov     qword [gs:PCR_SPINNING_ON], 0
        TRACE_LOCK TRACE_ACQUIRE, rdi
        ret

; void KeReleaseInStackQueuedSpinLock(PKLOCK_QUEUE_HANDLE). Back to the level that the handle remembers.
KeReleaseInStackQueuedSpinLock:
        movzx   esi, byte [rdi + LOCK_HANDLE_OLD_IRQL]
        TRACE_LOCK TRACE_RELEASE, {qword [rdi + LOCK_HANDLE_LOCK]}
        mov     rcx, [rdi + LOCK_HANDLE_NEXT]
        test    rcx, rcx
        jnz     .pass
        mov     rdx, [rdi + LOCK_HANDLE_LOCK]
        and     rdx, ~(LOCK_QUEUE_WAIT | LOCK_QUEUE_OWNER)
        mov     rax, rdi
        lock cmpxchg [rdx], rcx         ; still the tail: the lock is free (rcx = 0)
        jnz     .late
        mov     [rdi + LOCK_HANDLE_LOCK], rdx
        TRACE_LOWER rsi
        mov     cr8, rsi
        ret
.late:  pause                           ; somebody has become the tail and is about to write our Next
        mov     rcx, [rdi + LOCK_HANDLE_NEXT]
        test    rcx, rcx
        jz      .late
.pass:  and     qword [rdi + LOCK_HANDLE_LOCK], ~LOCK_QUEUE_OWNER
        xor     qword [rcx + LOCK_HANDLE_LOCK], LOCK_QUEUE_WAIT | LOCK_QUEUE_OWNER
        TRACE_LOWER rsi
        mov     cr8, rsi
        ret

; void KeReleaseInStackQueuedSpinLockFromDpcLevel(PKLOCK_QUEUE_HANDLE). IRQL unchanged.
KeReleaseInStackQueuedSpinLockFromDpcLevel:
        TRACE_LOCK TRACE_RELEASE, {qword [rdi + LOCK_HANDLE_LOCK]}
        mov     rcx, [rdi + LOCK_HANDLE_NEXT]
        test    rcx, rcx
        jnz     .pass
        mov     rdx, [rdi + LOCK_HANDLE_LOCK]
        and     rdx, ~(LOCK_QUEUE_WAIT | LOCK_QUEUE_OWNER)
        mov     rax, rdi
        lock cmpxchg [rdx], rcx
        jnz     .late
        mov     [rdi + LOCK_HANDLE_LOCK], rdx
        ret
.late:  pause
        mov     rcx, [rdi + LOCK_HANDLE_NEXT]
        test    rcx, rcx
        jz      .late
.pass:  and     qword [rdi + LOCK_HANDLE_LOCK], ~LOCK_QUEUE_OWNER
        xor     qword [rcx + LOCK_HANDLE_LOCK], LOCK_QUEUE_WAIT | LOCK_QUEUE_OWNER
        ret
        CFI_END
