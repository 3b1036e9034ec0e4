/* hal.h: declarations shared by the files of arch/x86_64. */
#ifndef _HAL_H_
#define _HAL_H_

#include <arch.h>
#include <ke.h>

/* ---- Descriptor tables (gdt.c, idt.c) ---- */
#define IST_DOUBLE_FAULT 1
#define IST_NMI 2
#define IST_MACHINE_CHECK 3

typedef struct _TABLE_POINTER { /* the operand of lgdt and lidt */
    USHORT Limit;
    ULONG64 Base;
} __attribute__((packed)) TABLE_POINTER;

#define GATES 256      /* of an interrupt table */
typedef struct _GATE { /* Intel: "64-Bit IDT Gate Descriptors" */
    USHORT OffsetLow, Selector;
    UCHAR Ist, Type;
    USHORT OffsetMiddle;
    ULONG OffsetHigh, Reserved;
} GATE;

typedef struct _TASK_STATE { /* Intel: "64-Bit TSS Format" */
    ULONG Reserved0;
    ULONG64 Rsp[3];
    ULONG64 Reserved1;
    ULONG64 Ist[7];
    ULONG64 Reserved2;
    USHORT Reserved3, IoMapBase;
} __attribute__((packed)) TASK_STATE;

typedef struct _DESCRIPTOR_TABLES { /* one per CPU */
    ULONG64 Gdt[SELECTOR_TSS / 8 + 2];
    TASK_STATE Tss;
} DESCRIPTOR_TABLES;

/* Builds the CPU's GDT and TSS in Tables with the IST stacks of the PCR, loads them, and points GS to the PCR. IF =
 * 0. */
VOID HalpLoadDescriptorTables(PKPCR Pcr, DESCRIPTOR_TABLES *Tables);
VOID HalpBuildInterruptTable(VOID); /* boot CPU, once */
VOID HalpLoadInterruptTable(PKPCR Pcr);

/* ---- Faults (trap.c) ---- */
extern VOID (*KiErrorCodeHook)(PKTRAP_FRAME Frame); /* for a fault that is not survived; any IRQL */

/* ---- CPU (cpu.c) ---- */
VOID HalpDetectFeatures(VOID); /* boot CPU, fills in HalFeatures */
VOID HalpEnableFeatures(VOID); /* each CPU: CR0, CR4, as far as HalFeatures has them */

/* ---- ACPI (acpi.c): the machine's parts, by its own tables ---- */
#define MAXIMUM_IO_APICS 8
#define ISA_INTERRUPTS 16
typedef struct _HAL_MACHINE {
    ULONG ProcessorCount; /* usable ones in the MADT; 0: no MADT */
    ULONG ApicId[MAXIMUM_PROCESSORS];
    ULONG64 LocalApicBase; /* physical; 0: the MADT does not say */
    ULONG IoApicCount;
    struct {
        ULONG64 Base; /* physical */
        ULONG FirstInterrupt;
    } IoApic[MAXIMUM_IO_APICS];
    struct {
        ULONG GlobalInterrupt;
        BOOLEAN IsActiveLow, IsLevel;
    } Isa[ISA_INTERRUPTS]; /* after the overrides */
    USHORT PmTimerPort;    /* 0: none */
    BOOLEAN IsPmTimer32;   /* 32 bits, otherwise 24 */
    USHORT ButtonPort;     /* PM1 event status, with the power button's bit; 0: none */
    USHORT ButtonEnable;   /* PM1 event enable */
} HAL_MACHINE;
extern HAL_MACHINE HalpMachine;

/* ---- PCI before the I/O system's scan (framebuffer.c): bus 0, boot CPU alone; Function is device * 8 + function ---- */
ULONG HalpReadPci(ULONG Function, ULONG Register);
VOID HalpWritePci(ULONG Function, ULONG Register, ULONG Value);

/* ---- Local APIC (apic.c) ---- */
#define APIC_EOI 0xB0
#define APIC_ERROR_STATUS 0x280
#define APIC_LVT_TIMER 0x320
#define APIC_TIMER_INITIAL 0x380
#define APIC_TIMER_CURRENT 0x390
#define APIC_TIMER_DIVIDE 0x3E0
#define LVT_MASKED 0x10000
#define TIMER_DIVIDE_BY_1 0x0B
#define MSR_X2APIC 0x800 /* + register offset / 16 */

extern volatile UCHAR *HalpApicRegisters; /* xAPIC: mapped registers; NULL in x2APIC mode, and before apic.c has run */

static FORCEINLINE VOID HalpWriteApic(ULONG Register, ULONG Value) {
    volatile UCHAR *Registers = HalpApicRegisters;
    if (Registers != NULL) {
        *(volatile ULONG *)(Registers + Register) = Value;
    } else {
        __writemsr(MSR_X2APIC + Register / 16, Value);
    }
}
static FORCEINLINE ULONG HalpReadApic(ULONG Register) {
    volatile UCHAR *Registers = HalpApicRegisters;
    if (Registers != NULL) {
        return *(volatile ULONG *)(Registers + Register);
    }
    return (ULONG)__readmsr(MSR_X2APIC + Register / 16);
}
VOID HalpInitializeApic(VOID);    /* boot CPU: chooses the mode, maps the registers, silences the 8259s */
VOID HalpEnableApic(PKPRCB Prcb); /* each CPU */
VOID HalpSendInit(ULONG ApicId);
VOID HalpSendStartup(ULONG ApicId, ULONG64 Page);     /* physical page below 1 MiB */
DECLSPEC_NORETURN VOID KiProcessorStartup(PKPCR Pcr); /* smp.c; ap.asm jumps here on every other CPU */

/* ---- I/O APIC (ioapic.c), interrupts (interrupts.c), time (timer.c, clock.c) ---- */
VOID HalpInitializeIoApics(VOID);     /* boot CPU: every line masked */
VOID KiInterrupt(PKTRAP_FRAME Frame); /* from trap.asm, at the interrupt's level, IF = 0 */
VOID KiApcInterrupt(PKTRAP_FRAME Frame);
VOID KiDpcInterrupt(PKTRAP_FRAME Frame);
BOOLEAN KiIsApcInterrupt(VOID);              /* from trap.asm, vector 0x1F, IF = 0 */
VOID HalpCalibrateTimers(VOID);              /* boot CPU */
extern ULONG64 HalpApicTimerHz;              /* with divisor 1 */
VOID HalpClockInterrupt(PKTRAP_FRAME Frame); /* vector 0xD1 */
VOID HalpArmJitter(PKPRCB Prcb);             /* seeded runs: draws this CPU's next deadline */
extern BOOLEAN HalpHasJitter;                /* a seeded run, and not one whose preemptions come from a list */

#endif
