; queuedlock.asm: the in-stack queued spin lock: first come, first served, each spinning on its own word.
;
; The lock word points to the last handle of a queue. A waiter looks at its own handle only, so that a release touches one
; other CPU's cache line, and the lock is handed on in the order of arrival. The plain lock (spinlock.asm) is shorter, and
; unfair: the first exchange wins. tests/models/queuedlock.pml tries every order of the steps below.
;
;       lock word --> tail handle; 0: free
;       owner:   Lock = lock | OWNER    Next --> first waiter
;       waiter:  Lock = lock | WAIT     Next --> next waiter or 0 (tail)
;
; These are leaves without a stack frame (see irql.asm). The checked build wraps them: ke/checkedlock.c.

%include "offsets.inc"
%include "cfi.inc"

        section .text
        CFI_START

        global KeAcquireInStackQueuedSpinLock, KeAcquireInStackQueuedSpinLockAtDpcLevel
        global KeAcquireInStackQueuedSpinLockRaiseToSynch
        global KeReleaseInStackQueuedSpinLock, KeReleaseInStackQueuedSpinLockFromDpcLevel, KxReleaseQueuedSpinLock

; void KeAcquireInStackQueuedSpinLockRaiseToSynch(PKSPIN_LOCK, PKLOCK_QUEUE_HANDLE). IRQL <= SYNCH_LEVEL in, SYNCH_LEVEL out.
KeAcquireInStackQueuedSpinLockRaiseToSynch:
        mov     rax, cr8
        mov     [rsi + LOCK_HANDLE_OLD_IRQL], al
        mov     edx, SYNCH_LEVEL
        mov     cr8, rdx
        jmp     KeAcquireInStackQueuedSpinLockAtDpcLevel

; void KeAcquireInStackQueuedSpinLock(PKSPIN_LOCK, PKLOCK_QUEUE_HANDLE). IRQL <= DISPATCH_LEVEL in, DISPATCH_LEVEL out.
KeAcquireInStackQueuedSpinLock:
        mov     rax, cr8
        mov     [rsi + LOCK_HANDLE_OLD_IRQL], al
        mov     edx, DISPATCH_LEVEL
        mov     cr8, rdx

; void KeAcquireInStackQueuedSpinLockAtDpcLevel(PKSPIN_LOCK, PKLOCK_QUEUE_HANDLE). IRQL >= DISPATCH_LEVEL, unchanged.
KeAcquireInStackQueuedSpinLockAtDpcLevel:
        lea     rax, [rdi + LOCK_QUEUE_OWNER]
        mov     [rsi + LOCK_HANDLE_LOCK], rax
        mov     qword [rsi + LOCK_HANDLE_NEXT], 0
        mov     rcx, rsi
        xchg    rcx, [rdi]              ; we are the tail now; rcx = the one before us
        test    rcx, rcx
        jnz     .queue
        ret
.queue: lea     rax, [rdi + LOCK_QUEUE_WAIT]
        mov     [rsi + LOCK_HANDLE_LOCK], rax   ; before our handle can be found by the one before us
        mov     [rcx + LOCK_HANDLE_NEXT], rsi
.wait:  mov     [gs:PCR_SPINNING_ON], rdi ; for the watchdog's report
        pause
        test    byte [rsi + LOCK_HANDLE_LOCK], LOCK_QUEUE_WAIT
        jnz     .wait
        mov     qword [gs:PCR_SPINNING_ON], 0
        ret

; void KeReleaseInStackQueuedSpinLockFromDpcLevel(PKLOCK_QUEUE_HANDLE). IRQL >= DISPATCH_LEVEL, unchanged.
KeReleaseInStackQueuedSpinLockFromDpcLevel:
        mov     rsi, cr8
        jmp     KxReleaseQueuedSpinLock

; void KeReleaseInStackQueuedSpinLock(PKLOCK_QUEUE_HANDLE). Back to the level that the handle remembers.
KeReleaseInStackQueuedSpinLock:
        movzx   esi, byte [rdi + LOCK_HANDLE_OLD_IRQL]

; void KxReleaseQueuedSpinLock(PKLOCK_QUEUE_HANDLE, ULONG64 NewIrql). First the lock, then the level.
KxReleaseQueuedSpinLock:
        mov     rcx, [rdi + LOCK_HANDLE_NEXT]
        test    rcx, rcx
        jnz     .pass
        mov     rdx, [rdi + LOCK_HANDLE_LOCK]
        and     rdx, ~(LOCK_QUEUE_WAIT | LOCK_QUEUE_OWNER)
        mov     rax, rdi
        lock cmpxchg [rdx], rcx         ; still the tail: the lock is free (rcx = 0)
        jnz     .late
        mov     [rdi + LOCK_HANDLE_LOCK], rdx
        mov     cr8, rsi
        ret
.late:  pause                           ; another CPU has become the tail and is about to write our Next
        mov     rcx, [rdi + LOCK_HANDLE_NEXT]
        test    rcx, rcx
        jz      .late
.pass:  and     qword [rdi + LOCK_HANDLE_LOCK], ~LOCK_QUEUE_OWNER
        xor     qword [rcx + LOCK_HANDLE_LOCK], LOCK_QUEUE_WAIT | LOCK_QUEUE_OWNER ; this hands it over
        mov     cr8, rsi
        ret
        CFI_END
