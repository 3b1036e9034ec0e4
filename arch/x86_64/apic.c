/* apic.c: the local APIC: the queue of pending interrupts behind IRQL, and the wire between CPUs.
 *
 * Two forms of the same device: xAPIC, registers in memory, and x2APIC, the same registers as MSRs, which is used
 * wherever the CPU has it. Only the command register differs: two halves in memory, one 64-bit MSR. */
#include "hal.h"
#include <trace.h>
#include <kd.h>
#include <mm.h>

#define APIC_ID 0x20
#define APIC_SPURIOUS 0xF0
#define APIC_COMMAND_LOW 0x300
#define APIC_COMMAND_HIGH 0x310
#define APIC_LVT_LINT0 0x350
#define APIC_LVT_LINT1 0x360
#define APIC_LVT_ERROR 0x370
#define APIC_SELF_IPI 0x3F0 /* x2APIC only */
#define APIC_REGISTER_BYTES 0x1000
#define APIC_SOFTWARE_ENABLE 0x100
#define LVT_NMI 0x400
#define COMMAND_NMI 0x400
#define COMMAND_INIT 0x500
#define COMMAND_STARTUP 0x600
#define COMMAND_PENDING 0x1000 /* xAPIC: the last one has not been accepted yet */
#define COMMAND_ASSERT 0x4000
#define COMMAND_TO_SELF 0x40000

#define MSR_APIC_BASE 0x1B
#define APIC_BASE_X2 (1ULL << 10)
#define APIC_BASE_ENABLE (1ULL << 11)
#define APIC_BASE_ADDRESS 0x000FFFFFFFFFF000ULL

#define MSI_ADDRESS 0xFEE00000ULL

volatile UCHAR *HalpApicRegisters;
static BOOLEAN IsReady; /* an interrupt sent before this has nowhere to wait */

/* Even masked, the 8259s may interrupt at their old vectors, which are exceptions. So they are moved out of the way,
 * then silenced. */
static VOID SilencePics(VOID) {
    static const UCHAR Words[][2] = {{0x11, 0x11}, {0xC0, 0xC8}, {0x04, 0x02}, {0x01, 0x01}, {0xFF, 0xFF}};
    for (ULONG Step = 0; Step < RTL_NUMBER_OF(Words); Step++) {
        HalOut8(Step == 0 ? 0x20 : 0x21, Words[Step][0]);
        HalOut8(Step == 0 ? 0xA0 : 0xA1, Words[Step][1]);
    }
}

/* Boot CPU, IF = 0, after HalInitializeAcpi. */
VOID HalpInitializeApic(VOID) {
    SilencePics();
    if (!HalFeatures.X2Apic) {
        ULONG64 Base = __readmsr(MSR_APIC_BASE) & APIC_BASE_ADDRESS;
        Base = HalpMachine.LocalApicBase != 0 ? HalpMachine.LocalApicBase : Base;
        HalpApicRegisters =
            MmMapIoSpace((PHYSICAL_ADDRESS){.QuadPart = (LONGLONG)Base}, APIC_REGISTER_BYTES, MmNonCached);
        if (HalpApicRegisters == NULL) {
            KeBugCheckEx(HAL_INITIALIZATION_FAILED, 1, Base, 0, 0);
        }
    }
}

/* Each CPU, IF = 0. TPR is not written: it is CR8, and CR8 is the IRQL. */
VOID HalpEnableApic(PKPRCB Prcb) {
    ULONG64 Base = __readmsr(MSR_APIC_BASE) | APIC_BASE_ENABLE;
    __writemsr(MSR_APIC_BASE, Base);
    if (HalFeatures.X2Apic) {
        __writemsr(MSR_APIC_BASE, Base | APIC_BASE_X2);
    }
    HalpWriteApic(APIC_SPURIOUS, APIC_SOFTWARE_ENABLE | VECTOR_SPURIOUS);
    HalpWriteApic(APIC_LVT_TIMER, LVT_MASKED);
    HalpWriteApic(APIC_LVT_LINT0, LVT_MASKED);
    HalpWriteApic(APIC_LVT_LINT1, LVT_NMI);
    HalpWriteApic(APIC_LVT_ERROR, VECTOR_APIC_ERROR);
    HalpWriteApic(APIC_ERROR_STATUS, 0);
    Prcb->ApicId = HalFeatures.X2Apic ? HalpReadApic(APIC_ID) : HalpReadApic(APIC_ID) >> 24;
    IsReady = TRUE;
}

static VOID WaitUntilAccepted(VOID) {
    while (HalpReadApic(APIC_COMMAND_LOW) & COMMAND_PENDING) {
        YieldProcessor();
    }
}

/* IF is cleared between the two halves: an interrupt routine that sends, too, would overwrite the destination. */
static VOID SendInHalves(ULONG ApicId, ULONG Command) {
    ULONG64 Flags;
    __asm__ volatile("pushfq; popq %0; cli" : "=r"(Flags) : : "memory");
    WaitUntilAccepted();
    HalpWriteApic(APIC_COMMAND_HIGH, ApicId << 24);
    HalpWriteApic(APIC_COMMAND_LOW, Command);
    if (Flags & EFLAGS_IF) {
        _enable();
    }
}

static VOID Send(ULONG ApicId, ULONG Command) {
    if (HalFeatures.X2Apic) {
        /* The MSR is not ordered behind stores that the receiver is to see, as memory-mapped registers are; LFENCE,
         * too, because the write may begin before MFENCE has ended. Intel: "WRMSR: Serializing and Non-Serializing". */
        __asm__ volatile("mfence; lfence" : : : "memory");
        __writemsr(MSR_X2APIC + APIC_COMMAND_LOW / 16, (ULONG64)ApicId << 32 | Command);
    } else {
        SendInHalves(ApicId, Command);
    }
}

/* Any IRQL. APC_LEVEL or DISPATCH_LEVEL: taken as soon as CR8 is below it and IF = 1. */
VOID HalRequestSoftwareInterrupt(KIRQL Level) {
    ULONG Vector = (ULONG)Level << 4 | 0xF;
    volatile UCHAR *Registers = HalpApicRegisters;
    if (Registers != NULL) {
        volatile ULONG *Command = (volatile ULONG *)(Registers + APIC_COMMAND_LOW);
        while (*Command & COMMAND_PENDING) {
            YieldProcessor();
        }
        *Command = COMMAND_TO_SELF | COMMAND_ASSERT | Vector;
    } else if (IsReady) {
        __writemsr(MSR_X2APIC + APIC_SELF_IPI / 16, Vector);
    }
}
C_ASSERT(VECTOR_APC == (APC_LEVEL << 4 | 0xF));
C_ASSERT(VECTOR_DISPATCH == (DISPATCH_LEVEL << 4 | 0xF));

/* Any IRQL. Processor has been activated. */
VOID HalRequestIpi(ULONG Processor, UCHAR Vector) {
    KdTraceAt(KiCurrentIrql(), TraceIpi, 0, Vector, Processor, (ULONG64)_ReturnAddress());
    Send(KiProcessorBlock[Processor]->ApicId, COMMAND_ASSERT | Vector);
}

/* Any IRQL; NMI ignores IRQL and IF. */
VOID HalRequestNmi(ULONG Processor) {
    if (IsReady) {
        Send(KiProcessorBlock[Processor]->ApicId, COMMAND_ASSERT | COMMAND_NMI);
    }
}

VOID HalpSendInit(ULONG ApicId) {
    Send(ApicId, COMMAND_ASSERT | COMMAND_INIT);
}

VOID HalpSendStartup(ULONG ApicId, ULONG64 Page) {
    Send(ApicId, COMMAND_ASSERT | COMMAND_STARTUP | (ULONG)(Page >> PAGE_SHIFT));
}

/* The address and data with which a PCI device raises Vector on one CPU: edge, fixed, physical destination. The APIC
 * id has eight bits there; a CPU with a larger one (x2APIC, more than 255) is replaced by the boot CPU. */
VOID HalGetMsiMessage(UCHAR Vector, ULONG Processor, ULONG64 *Address, ULONG *Data) {
    ULONG ApicId = KiProcessorBlock[Processor]->ApicId;
    if (ApicId > 0xFF) {
        ApicId = KiProcessorBlock[0]->ApicId;
    }
    *Address = MSI_ADDRESS | (ULONG64)ApicId << 12;
    *Data = Vector;
}
