/* idt.c: the interrupt table of all CPUs: 256 gates to the stubs of trap.asm, entered with IF = 0. */
#include "hal.h"

#define GATE_INTERRUPT 0x8E /* present, ring 0, 64-bit interrupt gate */
#define STUB_BYTES 16       /* trap.asm aligns them so */

extern const UCHAR KiVectorStubs[]; /* trap.asm */

static GATE Idt[GATES] __attribute__((aligned(4096)));

static UCHAR StackOf(ULONG Vector) {
    switch (Vector) {
    case 2:
        return IST_NMI;
    case 8:
        return IST_DOUBLE_FAULT;
    case 18:
        return IST_MACHINE_CHECK;
    default:
        return 0; /* the interrupted stack */
    }
}

VOID HalpBuildInterruptTable(VOID) {
    for (ULONG Vector = 0; Vector < GATES; Vector++) {
        ULONG64 Stub = (ULONG64)KiVectorStubs + Vector * STUB_BYTES;
        Idt[Vector] = (GATE){.OffsetLow = (USHORT)Stub,
                             .Selector = SELECTOR_KERNEL_CODE,
                             .Ist = StackOf(Vector),
                             .Type = GATE_INTERRUPT,
                             .OffsetMiddle = (USHORT)(Stub >> 16),
                             .OffsetHigh = (ULONG)(Stub >> 32)};
    }
}

VOID HalpLoadInterruptTable(PKPCR Pcr) {
    TABLE_POINTER Pointer = {sizeof(Idt) - 1, (ULONG64)Idt};
    Pcr->IdtBase = Idt;
    __asm__ volatile("lidt %0" : : "m"(Pointer));
}
