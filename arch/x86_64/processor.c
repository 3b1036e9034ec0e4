/* processor.c: the set-up of each CPU before kernel code runs on it: protections, tables, stacks, APIC. */
#include "hal.h"
#include <kd.h>

/* entry.asm: the boot CPU's stacks, in the kernel's image, with unmapped pages between them. */
extern UCHAR KiBootStackLimit[], KiBootStackTop[], KiBootDpcStack[], KiBootDoubleFaultStack[], KiBootNmiStack[],
    KiBootMachineCheckStack[];

static DESCRIPTOR_TABLES BootTables;

static VOID UseBootStacks(PKPCR Pcr) {
    PKTHREAD Idle = Pcr->Prcb.IdleThread;
    Idle->StackBase = (ULONG64)KiBootStackTop;
    Idle->StackLimit = (ULONG64)KiBootStackLimit;
    Pcr->Prcb.DpcStack = (ULONG64)KiBootDpcStack;
    Pcr->IstStack[IST_DOUBLE_FAULT - 1] = (ULONG64)KiBootDoubleFaultStack;
    Pcr->IstStack[IST_NMI - 1] = (ULONG64)KiBootNmiStack;
    Pcr->IstStack[IST_MACHINE_CHECK - 1] = (ULONG64)KiBootMachineCheckStack;
}

/* Boot CPU, IF = 0, after KeInitializeProcessor, before there is memory. From here on exceptions reach KiTrap, and GS
 * works. */
VOID HalInitializeBootProcessor(PKPCR Pcr) {
    HalpDetectFeatures();
    HalpEnableFeatures();
    UseBootStacks(Pcr);
    HalpLoadDescriptorTables(Pcr, &BootTables);
    HalpBuildInterruptTable();
    HalpLoadInterruptTable(Pcr);
}

/* Every other CPU, on its idle thread's stack, IF = 0. smp.c has prepared the PCR: stacks, and room for the tables. */
VOID HalInitializeProcessor(PKPCR Pcr) {
    HalpEnableFeatures();
    HalpLoadDescriptorTables(Pcr, CONTAINING_RECORD(Pcr->GdtBase, DESCRIPTOR_TABLES, Gdt));
    HalpLoadInterruptTable(Pcr);
    HalpEnableApic(&Pcr->Prcb);
}

/* Prints the features of this machine that the kernel uses. */
static VOID PrintMachine(VOID) {
    KdPrintf("hal: %s, %s clock, APIC timer at %u MHz, TSC at %u MHz, %u I/O APIC%s; protections: WP NX%s%s%s\n",
             HalFeatures.X2Apic ? "x2APIC" : "xAPIC",
             HalFeatures.TscDeadline && KeSeed == 0 ? "TSC-deadline" : "APIC-timer", (ULONG)(HalpApicTimerHz / 1000000),
             (ULONG)(HalFeatures.TscHz / 1000000), HalpMachine.IoApicCount, HalpMachine.IoApicCount == 1 ? "" : "s",
             HalFeatures.Smep ? " SMEP" : "", HalFeatures.Smap ? " SMAP" : "", HalFeatures.Umip ? " UMIP" : "");
}

/* Boot CPU, IF = 0, after HalInitializeAcpi. */
VOID HalInitializeInterrupts(VOID) {
    HalpInitializeApic();
    HalpEnableApic(KeGetCurrentPrcb());
    HalpInitializeIoApics();
    HalpCalibrateTimers();
    PrintMachine();
}
