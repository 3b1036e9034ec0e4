/* gdt.c: segments, which long mode keeps for form, and the TSS with the stacks for #DF, NMI and #MC.
 *
 * Those three must not trust the interrupted stack: a double fault usually means that this very stack has run out, and
 * NMI and #MC come between any two instructions. Each has its own, with a guard page below. */
#include "hal.h"

#define SEGMENT_CODE 0x00AF9B000000FFFFULL /* present, ring 0, execute/read, accessed, L */
#define SEGMENT_DATA 0x00CF93000000FFFFULL /* present, ring 0, read/write, accessed */
#define TSS_AVAILABLE 0x89ULL              /* present, 64-bit TSS */
#define MSR_KERNEL_GS_BASE 0xC0000102

static VOID BuildTss(PKPCR Pcr, TASK_STATE *Tss) {
    memset(Tss, 0, sizeof(*Tss));
    Tss->Ist[IST_DOUBLE_FAULT - 1] = Pcr->IstStack[0];
    Tss->Ist[IST_NMI - 1] = Pcr->IstStack[1];
    Tss->Ist[IST_MACHINE_CHECK - 1] = Pcr->IstStack[2];
    Tss->IoMapBase = sizeof(*Tss); /* no I/O map: ring 0 needs none */
}

static VOID BuildGdt(DESCRIPTOR_TABLES *Tables) {
    ULONG64 Base = (ULONG64)&Tables->Tss;
    memset(Tables->Gdt, 0, sizeof(Tables->Gdt));
    Tables->Gdt[SELECTOR_KERNEL_CODE / 8] = SEGMENT_CODE;
    Tables->Gdt[SELECTOR_KERNEL_DATA / 8] = SEGMENT_DATA;
    Tables->Gdt[SELECTOR_TSS / 8] =
        (sizeof(TASK_STATE) - 1) | (Base & 0xFFFFFF) << 16 | TSS_AVAILABLE << 40 | (Base >> 24 & 0xFF) << 56;
    Tables->Gdt[SELECTOR_TSS / 8 + 1] = Base >> 32;
}

/* A far return is the way to load CS. Loading GS with a selector clears its base: the MSR comes last. */
static VOID LoadSegments(VOID) {
    __asm__ volatile("pushq %0\n\t"
                     "lea 1f(%%rip), %%rax\n\t"
                     "pushq %%rax\n\t"
                     "lretq\n"
                     "1:\tmov %w1, %%ds\n\t"
                     "mov %w1, %%es\n\t"
                     "mov %w1, %%ss\n\t"
                     "mov %w2, %%fs\n\t"
                     "mov %w2, %%gs"
                     :
                     : "i"(SELECTOR_KERNEL_CODE), "r"(SELECTOR_KERNEL_DATA), "r"(0)
                     : "rax", "memory");
}

VOID HalpLoadDescriptorTables(PKPCR Pcr, DESCRIPTOR_TABLES *Tables) {
    BuildTss(Pcr, &Tables->Tss);
    BuildGdt(Tables);
    Pcr->GdtBase = Tables->Gdt;
    Pcr->TssBase = &Tables->Tss;
    TABLE_POINTER Pointer = {sizeof(Tables->Gdt) - 1, (ULONG64)Tables->Gdt};
    __asm__ volatile("lgdt %0" : : "m"(Pointer));
    LoadSegments();
    __asm__ volatile("ltr %w0" : : "r"(SELECTOR_TSS));
    __writemsr(MSR_GS_BASE, (ULONG64)Pcr);
    __writemsr(MSR_KERNEL_GS_BASE, 0);
}
