/* cpu.c: the CPU's features, and the protections that are switched on where it has them. */
#include "hal.h"

HAL_FEATURES HalFeatures;

#define CR0_MONITOR_COPROCESSOR (1ULL << 1)
#define CR0_NUMERIC_ERROR (1ULL << 5)
#define CR0_WRITE_PROTECT (1ULL << 16)
#define CR0_NOT_WRITE_THROUGH (1ULL << 29)
#define CR0_CACHE_DISABLE (1ULL << 30)
#define CR4_MACHINE_CHECK (1ULL << 6)
#define CR4_GLOBAL_PAGES (1ULL << 7)
#define CR4_UMIP (1ULL << 11)
#define CR4_SMEP (1ULL << 20)
#define CR4_SMAP (1ULL << 21)

typedef struct _CPUID {
    ULONG Eax, Ebx, Ecx, Edx;
} CPUID;

static CPUID ReadCpuid(ULONG Leaf) {
    CPUID Result;
    __asm__ volatile("cpuid"
                     : "=a"(Result.Eax), "=b"(Result.Ebx), "=c"(Result.Ecx), "=d"(Result.Edx)
                     : "a"(Leaf), "c"(0));
    return Result;
}

static BOOLEAN HasBit(ULONG Register, ULONG Bit) {
    return Register >> Bit & 1;
}

static VOID ReadBrand(ULONG HighestExtended) {
    memcpy(HalFeatures.Brand, "unnamed CPU", sizeof("unnamed CPU"));
    if (HighestExtended < 0x80000004) {
        return;
    }
    for (ULONG Part = 0; Part < 3; Part++) {
        CPUID Text = ReadCpuid(0x80000002 + Part);
        memcpy(HalFeatures.Brand + Part * sizeof(Text), &Text, sizeof(Text));
    }
    HalFeatures.Brand[48] = 0;
}

/* entry.asm has checked for long mode, NX and a local APIC. */
VOID HalpDetectFeatures(VOID) {
    ULONG Highest = ReadCpuid(0).Eax, HighestExtended = ReadCpuid(0x80000000).Eax;
    CPUID Basic = ReadCpuid(1), Extended = ReadCpuid(0x80000001);
    HalFeatures.X2Apic = HasBit(Basic.Ecx, 21);
    HalFeatures.TscDeadline = HasBit(Basic.Ecx, 24);
    HalFeatures.GlobalPages = HasBit(Basic.Edx, 13);
    HalFeatures.MachineCheck = HasBit(Basic.Edx, 7) && HasBit(Basic.Edx, 14);
    HalFeatures.Nx = HasBit(Extended.Edx, 20);
    HalFeatures.Page1G = HasBit(Extended.Edx, 26);
    if (Highest >= 7) {
        CPUID Structured = ReadCpuid(7);
        HalFeatures.Smep = HasBit(Structured.Ebx, 7);
        HalFeatures.Smap = HasBit(Structured.Ebx, 20);
        HalFeatures.Umip = HasBit(Structured.Ecx, 2);
    }
    HalFeatures.InvariantTsc = HighestExtended >= 0x80000007 && HasBit(ReadCpuid(0x80000007).Edx, 8);
    ReadBrand(HighestExtended);
}

static ULONG64 ReadCr0(VOID) {
    ULONG64 Value;
    __asm__ volatile("mov %%cr0, %0" : "=r"(Value));
    return Value;
}

static VOID WriteCr0(ULONG64 Value) {
    __asm__ volatile("mov %0, %%cr0" : : "r"(Value) : "memory");
}

static ULONG64 ReadCr4(VOID) {
    ULONG64 Value;
    __asm__ volatile("mov %%cr4, %0" : "=r"(Value));
    return Value;
}

static VOID WriteCr4(ULONG64 Value) {
    __asm__ volatile("mov %0, %%cr4" : : "r"(Value) : "memory");
}

/* Each CPU, IF = 0. The kernel itself must not write read-only pages (WP), nor run (SMEP) or touch (SMAP) user
 * pages. */
VOID HalpEnableFeatures(VOID) {
    WriteCr0((ReadCr0() & ~(CR0_NOT_WRITE_THROUGH | CR0_CACHE_DISABLE)) | CR0_WRITE_PROTECT | CR0_NUMERIC_ERROR |
             CR0_MONITOR_COPROCESSOR);
    ULONG64 Cr4 = ReadCr4();
    Cr4 |= HalFeatures.GlobalPages ? CR4_GLOBAL_PAGES : 0;
    Cr4 |= HalFeatures.Smep ? CR4_SMEP : 0;
    Cr4 |= HalFeatures.Smap ? CR4_SMAP : 0;
    Cr4 |= HalFeatures.Umip ? CR4_UMIP : 0;
    Cr4 |= HalFeatures.MachineCheck ? CR4_MACHINE_CHECK : 0;
    WriteCr4(Cr4);
}

/* Any IRQL. Global entries survive a reload of CR3, but not a change of CR4.PGE. */
VOID HalFlushTlb(VOID) {
    ULONG64 Cr4 = ReadCr4();
    if (Cr4 & CR4_GLOBAL_PAGES) {
        WriteCr4(Cr4 & ~CR4_GLOBAL_PAGES);
        WriteCr4(Cr4);
    } else {
        __asm__ volatile("mov %0, %%cr3" : : "r"(__readcr3()) : "memory");
    }
}
