; brokenlock.asm: a lock that does not lock: between its test and its set another CPU fits in.
;
; `tools/bugcheck step spinlock` walks two CPUs through it, after the lock that works (spinlock.asm). Nothing else calls it,
; and no driver can: it is not in the export table.
;
;       CPU 0                           CPU 1                           lock
;       mov al, [lock]      AL = 0                                      0
;                                       mov al, [lock]      AL = 0      0       both have seen it free
;       mov byte [lock], 1                                              1
;                                       mov byte [lock], 1              1       both go in
;
; Each instruction by itself is atomic. One instruction that does both, as xchg does, is missing. A LOCK prefix would
; not help: it makes one instruction indivisible, never two.

%include "cfi.inc"

        section .text
        CFI_START

        global KiAcquireBrokenLock, KiReleaseBrokenLock, KiAddOne

; void KiAcquireBrokenLock(volatile unsigned char *Lock). IRQL is the caller's concern.
KiAcquireBrokenLock:
.spin:  mov     al, [rdi]               ; test: is it free?
        test    al, al
        jnz     .spin
        mov     byte [rdi], 1           ; then set: it was free some time ago
        ret

; void KiReleaseBrokenLock(volatile unsigned char *Lock)
KiReleaseBrokenLock:
        mov     byte [rdi], 0
        ret

; void KiAddOne(volatile unsigned int *Sum): the work for a lock, three instructions that two CPUs must not mix.
KiAddOne:
        mov     eax, [rdi]
        add     eax, 1
        mov     [rdi], eax
        ret
        CFI_END
