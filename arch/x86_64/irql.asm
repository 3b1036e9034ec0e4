; irql.asm: the interrupt request level, IRQL, which is CR8: reading, raising and lowering it.
;
; The local APIC accepts an interrupt of vector V only while V >> 4 is greater than CR8. Raising is therefore one write,
; and lowering is one write after which everything that became deliverable is delivered, before the next instruction.
; There is no queue of postponed interrupts to look into: the APIC is that queue.
;
; The functions are leaves without a stack frame: the caller is at [rsp], as CFI_START (call-frame information, cfi.inc)
; tells the stack walk (report/stack.c).
; The checked build wraps them (ke/checkedlock.c): there each change of IRQL is checked and goes to the event trace.

%include "offsets.inc"
%include "cfi.inc"

        section .text
        CFI_START

        global KeGetCurrentIrql, KfRaiseIrql, KeLowerIrql, KeRaiseIrqlToDpcLevel, KeRaiseIrqlToSynchLevel

; KIRQL KeGetCurrentIrql(void). Any IRQL.
KeGetCurrentIrql:
        mov     rax, cr8
        ret

; KIRQL KfRaiseIrql(KIRQL NewIrql). Returns the old level. The free build does not look at the direction, nor does NT's;
; the checked build stops with IRQL_NOT_GREATER_OR_EQUAL. A level above 15 cannot be written: bits 4 and up of CR8 are
; reserved, and QEMU does not fault where the processor does.
KfRaiseIrql:
        mov     rax, cr8
        movzx   edi, dil
        mov     cr8, rdi
        ret

; void KeLowerIrql(KIRQL NewIrql). Interrupts pending between the two levels run before this returns.
KeLowerIrql:
        movzx   edi, dil
        mov     cr8, rdi
        ret

; KIRQL KeRaiseIrqlToDpcLevel(void)
KeRaiseIrqlToDpcLevel:
        mov     edi, DISPATCH_LEVEL
        jmp     KfRaiseIrql

; KIRQL KeRaiseIrqlToSynchLevel(void)
KeRaiseIrqlToSynchLevel:
        mov     edi, SYNCH_LEVEL
        jmp     KfRaiseIrql
        CFI_END
