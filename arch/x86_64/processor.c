/* processor.c: the set-up of each CPU before kernel code runs on it: protections, tables, stacks, APIC. */
#include "hal.h"
#include <kd.h>

static DESCRIPTOR_TABLES BootTables;

/* Boot CPU, IF = 0, after KeInitializeProcessor, before there is memory. From here on exceptions reach KiTrap, and GS
 * works. */
VOID HalInitializeBootProcessor(PKPCR Pcr) {
    HalpDetectFeatures();
    HalpEnableFeatures();
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
