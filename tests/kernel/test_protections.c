/* test_protections.c: each CPU has its CPUID's protections on, and #DF, NMI and #MC have stacks of their own. The
 * processor itself is asked, not the kernel's notes about it. */
#include "../../arch/x86_64/hal.h"
#include "ktest.h"

#define CR0_WP (1ULL << 16)
#define CR4_UMIP (1ULL << 11)
#define CR4_SMEP (1ULL << 20)
#define CR4_SMAP (1ULL << 21)
#define MSR_EFER 0xC0000080
#define EFER_NXE (1ULL << 11)
#define GATE_BYTES 16
#define GATE_IST 4 /* offset of the byte that names the stack */

typedef struct _BITS {
    ULONG64 Cr0[MAXIMUM_PROCESSORS], Cr4[MAXIMUM_PROCESSORS], Efer[MAXIMUM_PROCESSORS];
    const UCHAR *Idt[MAXIMUM_PROCESSORS];
} BITS;

static VOID ReadBits(ULONG Processor, PVOID Context) {
    BITS *Bits = Context;
    struct {
        USHORT Limit;
        ULONG64 Base;
    } __attribute__((packed)) Table;
    __asm__ volatile("mov %%cr0, %0" : "=r"(Bits->Cr0[Processor]));
    __asm__ volatile("mov %%cr4, %0" : "=r"(Bits->Cr4[Processor]));
    __asm__ volatile("sidt %0" : "=m"(Table));
    Bits->Efer[Processor] = __readmsr(MSR_EFER);
    Bits->Idt[Processor] = (const UCHAR *)Table.Base;
}

/* The bits of CR4 for which CPUID says that the CPU has them. */
static ULONG64 KnownProtections(VOID) {
    ULONG Eax = 0, Ebx, Ecx, Edx;
    ULONG64 Bits = 0;
    __asm__ volatile("cpuid" : "+a"(Eax), "=b"(Ebx), "=c"(Ecx), "=d"(Edx));
    if (Eax >= 7) {
        Eax = 7;
        Ecx = 0;
        __asm__ volatile("cpuid" : "+a"(Eax), "=b"(Ebx), "+c"(Ecx), "=d"(Edx));
        Bits |= Ebx >> 7 & 1 ? CR4_SMEP : 0;
        Bits |= Ebx >> 20 & 1 ? CR4_SMAP : 0;
        Bits |= Ecx >> 2 & 1 ? CR4_UMIP : 0;
    }
    return Bits;
}

KTEST(protection_bits_are_set_on_every_cpu) {
    static BITS Bits;
    ULONG64 Known = KnownProtections();
    KtRunOnAllCpus(ReadBits, &Bits);
    for (ULONG Processor = 0; Processor < KeNumberProcessors; Processor++) {
        KT_EXPECT(Bits.Cr0[Processor] & CR0_WP);
        KT_EXPECT_EQ(Bits.Cr4[Processor] & (CR4_SMEP | CR4_SMAP | CR4_UMIP), Known);
        KT_EXPECT(Bits.Efer[Processor] & EFER_NXE);
    }
}

static VOID ExpectGuarded(ULONG64 StackBase, ULONG64 StackLimit) {
    KT_EXPECT(MmIsAddressValid((PVOID)(StackBase - 1)));
    KT_EXPECT(MmIsAddressValid((PVOID)StackLimit));
    KT_EXPECT(!MmIsAddressValid((PVOID)(StackLimit - 1)));
}

KTEST(protection_DF_NMI_and_MC_have_stacks_of_their_own) {
    static const UCHAR Vectors[] = {2, 8, 18};
    static BITS Bits;
    KtRunOnAllCpus(ReadBits, &Bits);
    for (ULONG Processor = 0; Processor < KeNumberProcessors; Processor++) {
        const TASK_STATE *Tss = CONTAINING_RECORD(KiProcessorBlock[Processor], KPCR, Prcb)->TssBase;
        ULONG64 Seen = 0;
        for (ULONG Index = 0; Index < RTL_NUMBER_OF(Vectors); Index++) {
            ULONG Ist = Bits.Idt[Processor][Vectors[Index] * GATE_BYTES + GATE_IST];
            KT_REQUIRE(Ist >= 1 && Ist <= 7);
            KT_EXPECT(!(Seen >> Ist & 1));
            Seen |= 1ULL << Ist;
            ExpectGuarded(Tss->Ist[Ist - 1], Tss->Ist[Ist - 1] - IST_STACK_SIZE);
        }
    }
}
