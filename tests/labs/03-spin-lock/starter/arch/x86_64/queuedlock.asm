; queuedlock.asm: yours to write (lab 03): the in-stack queued spin lock, first come, first served.
;
; The lock word points to the last handle of a queue, or is 0: free. A handle has two words:
;
;       LOCK_HANDLE_NEXT        the handle behind it, or 0
;       LOCK_HANDLE_LOCK        the address of the lock, plus LOCK_QUEUE_OWNER where the handle's CPU has the lock, or plus
;                               LOCK_QUEUE_WAIT where it waits
;
; and a byte, LOCK_HANDLE_OLD_IRQL. A waiter looks at its own handle only. A release hands the lock to the next handle, and when
; there is none makes the word 0; but between your look at NEXT and that, another CPU may have queued itself.
;
; What is here raises and lowers the IRQL; it takes no lock.

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
        and     qword [rdi + LOCK_HANDLE_LOCK], ~LOCK_QUEUE_OWNER
        mov     cr8, rsi
        ret
        CFI_END
