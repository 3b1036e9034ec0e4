; fastmutex.asm: the fast mutex when nobody is in the way: one locked instruction each to acquire and to release.
;
; The theory, and everything that happens when somebody is in the way, stands in kernel/ex/fastmutex.c; this part is in
; assembly for the same reason as the spin lock: so that what it costs can be counted by eye. Compare the two: this
; lock raises to APC_LEVEL only, so its owner may be switched out and may take page faults, and who comes too late
; sleeps. The owner also writes the lock's address into its first lock entry (kernel/ke/autoboost.c); when that is in use,
; KeAbAcquired looks for another one.
;
; A guarded mutex is the same lock under another name: two entries to one text, which differ only in what a waiter says
; that it waits for.
;
; Leaves without a stack frame (see irql.asm): the slow paths are jumped to, and return to our caller.

%include "offsets.inc"
%include "cfi.inc"
%include "trace.inc"

        section .text
        CFI_START

        global ExAcquireFastMutex, ExReleaseFastMutex, KeAcquireGuardedMutex, KeReleaseGuardedMutex
        extern ExpAcquireFastMutexContended, ExpAcquireGuardedMutexContended, ExpReleaseFastMutexContended
        extern KeAbRefuseIrql, KeAbAcquired, ExpReleaseFastMutexEntry
%ifdef CHECKED
        extern ExpFastMutexAlreadyOwned
%endif

%macro ACQUIRE 1                        ; the slow path
        mov     rax, cr8
        cmp     eax, APC_LEVEL
        ja      %%level
        mov     ecx, APC_LEVEL
        mov     cr8, rcx
        TRACE_RAISE rax, APC_LEVEL
        mov     rcx, [gs:PCR_CURRENT_THREAD]
%ifdef CHECKED
        cmp     [rdi + FAST_MUTEX_OWNER], rcx
        je      ExpFastMutexAlreadyOwned
%endif
        lock btr dword [rdi], 0         ; Count: read bit 0 and clear it, indivisibly; it was 1 if the mutex was free
        jnc     %%owned
        mov     [rdi + FAST_MUTEX_OWNER], rcx
        mov     [rdi + FAST_MUTEX_OLD_IRQL], eax
        cmp     qword [rcx + THREAD_LOCK_ENTRY], 0
        jne     KeAbAcquired            ; it takes the lock in rdi, as we do
        mov     [rcx + THREAD_LOCK_ENTRY], rdi
        ret
%%owned: mov    esi, eax
        jmp     %1
%%level: mov    esi, eax
        jmp     KeAbRefuseIrql
%endmacro

; void ExAcquireFastMutex(PFAST_MUTEX). <= APC_LEVEL in, APC_LEVEL out; may wait. 0x192 at DISPATCH_LEVEL or above.
; Not recursive: the checked build stops with 0xBF, the free build waits for itself forever, as Windows does.
ExAcquireFastMutex:
        ACQUIRE ExpAcquireFastMutexContended

; void KeAcquireGuardedMutex(PKGUARDED_MUTEX). The same.
KeAcquireGuardedMutex:
        ACQUIRE ExpAcquireGuardedMutexContended

; void ExReleaseFastMutex(PFAST_MUTEX), void KeReleaseGuardedMutex(PKGUARDED_MUTEX). APC_LEVEL in, by the owner; the level
; before the acquire out. 0x162 if the thread has not acquired it.
ExReleaseFastMutex:
KeReleaseGuardedMutex:
        mov     rcx, [gs:PCR_CURRENT_THREAD]
        cmp     [rcx + THREAD_LOCK_ENTRY], rdi
        jne     ExpReleaseFastMutexEntry ; another entry, or none: the rest of the release is there too
        mov     qword [rcx + THREAD_LOCK_ENTRY], 0
        mov     edx, [rdi + FAST_MUTEX_OLD_IRQL] ; before the next owner writes its own
        mov     qword [rdi + FAST_MUTEX_OWNER], 0
        mov     eax, 1
        lock xadd [rdi], eax            ; Count: set bit 0; eax = what it was: 0 if nobody waits
        test    eax, eax
        jnz     .waited
        TRACE_LOWER rdx
        mov     cr8, rdx
        ret
.waited: mov    esi, eax
        jmp     ExpReleaseFastMutexContended
        CFI_END
