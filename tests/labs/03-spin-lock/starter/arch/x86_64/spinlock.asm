; spinlock.asm: yours to write (lab 03): the spin lock.
;
;       lock word 0     free
;       lock word 1     held
;
; What is here raises and lowers the IRQL as it must, and writes the lock word; it keeps no CPU out. Make each acquire
; wait until the lock was free, in one step with taking it. The contracts stay; the code is yours.
;
; A function gets its first argument in rdi and its second in rsi; rax, rcx, rdx, rsi, rdi and r8 to r11 may be changed.

%include "offsets.inc"
%include "cfi.inc"

        section .text
        CFI_START

        global KiAcquireTextbookLock, KiReleaseTextbookLock, KeInitializeSpinLock, KeTestSpinLock
        global KeAcquireSpinLockRaiseToDpc, KeAcquireSpinLockRaiseToSynch, KeAcquireSpinLockAtDpcLevel
        global KeTryToAcquireSpinLockAtDpcLevel, KeReleaseSpinLock, KeReleaseSpinLockFromDpcLevel

; ---- The textbook form: a byte, an exchange, a loop -----------------------------------------------------------------

; void KiAcquireTextbookLock(volatile unsigned char *Lock). Returns when the byte was 0 and is 1. IRQL is the caller's concern.
KiAcquireTextbookLock:
        mov     byte [rdi], 1
        ret

; void KiReleaseTextbookLock(volatile unsigned char *Lock). The lock is free, and all that its owner has stored is seen.
KiReleaseTextbookLock:
        mov     byte [rdi], 0
        ret

; ---- KSPIN_LOCK: the same in 64 bits, with the IRQL, and kind to the bus ---------------------------------------------

; void KeInitializeSpinLock(PKSPIN_LOCK). Any IRQL.
KeInitializeSpinLock:
        mov     qword [rdi], 0
        ret

; BOOLEAN KeTestSpinLock(PKSPIN_LOCK): TRUE = free at this instant. Any IRQL.
KeTestSpinLock:
        mov     eax, 1
        ret

; KIRQL KeAcquireSpinLockRaiseToSynch(PKSPIN_LOCK). IRQL <= SYNCH_LEVEL in, SYNCH_LEVEL out; returns the old level.
KeAcquireSpinLockRaiseToSynch:
        mov     rax, cr8
        mov     edx, SYNCH_LEVEL
        mov     cr8, rdx
        mov     qword [rdi], 1
        ret

; KIRQL KeAcquireSpinLockRaiseToDpc(PKSPIN_LOCK). IRQL <= DISPATCH_LEVEL in, DISPATCH_LEVEL out; returns the old level.
; Think about which comes first, the level or the lock, and what a DPC of this CPU would do in between.
KeAcquireSpinLockRaiseToDpc:
        mov     rax, cr8
        mov     edx, DISPATCH_LEVEL
        mov     cr8, rdx
        mov     qword [rdi], 1
        ret

; void KeAcquireSpinLockAtDpcLevel(PKSPIN_LOCK). IRQL >= DISPATCH_LEVEL, unchanged.
; A CPU that waits only reads, with `pause`, until the word is 0, and only then tries again.
KeAcquireSpinLockAtDpcLevel:
        mov     qword [rdi], 1
        ret

; BOOLEAN KeTryToAcquireSpinLockAtDpcLevel(PKSPIN_LOCK). IRQL >= DISPATCH_LEVEL. TRUE: it was free and is held now. Never waits.
KeTryToAcquireSpinLockAtDpcLevel:
        mov     qword [rdi], 1
        mov     eax, 1
        ret

; void KeReleaseSpinLock(PKSPIN_LOCK, KIRQL NewIrql). DISPATCH_LEVEL in, NewIrql out.
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
