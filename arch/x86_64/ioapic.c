/* ioapic.c: the I/O APICs, which turn interrupt lines into messages to a CPU; each line starts masked.
 *
 * Devices of this kernel signal by MSI-X, past the I/O APICs. That leaves the ISA lines, found through the MADT. */
#include "hal.h"
#include <kd.h>
#include <mm.h>

#define IO_APIC_BYTES 0x20
#define SELECT_OFFSET 0x00
#define WINDOW_OFFSET 0x10
#define REGISTER_VERSION 0x01
#define REGISTER_LINE(Line) (0x10 + 2 * (Line)) /* and the next one: upper half */
#define LINE_ACTIVE_LOW 0x2000
#define LINE_LEVEL 0x8000
#define LINE_MASKED 0x10000

typedef struct _IO_APIC {
    volatile UCHAR *Registers; /* NULL: could not be mapped */
    ULONG FirstInterrupt, Lines;
} IO_APIC;

static IO_APIC IoApics[MAXIMUM_IO_APICS];
KE_DECLARE_LOCK(HalpIoApicLock, RANK_IO, "the I/O APICs' select registers: select and window are one access");

static VOID WriteRegister(const IO_APIC *IoApic, ULONG Register, ULONG Value) {
    *(volatile ULONG *)(IoApic->Registers + SELECT_OFFSET) = Register;
    *(volatile ULONG *)(IoApic->Registers + WINDOW_OFFSET) = Value;
}

static ULONG ReadRegister(const IO_APIC *IoApic, ULONG Register) {
    *(volatile ULONG *)(IoApic->Registers + SELECT_OFFSET) = Register;
    return *(volatile ULONG *)(IoApic->Registers + WINDOW_OFFSET);
}

/* Boot CPU, IF = 0, after HalInitializeAcpi. */
VOID HalpInitializeIoApics(VOID) {
    for (ULONG i = 0; i < HalpMachine.IoApicCount; i++) {
        IO_APIC *IoApic = &IoApics[i];
        PHYSICAL_ADDRESS Base = {.QuadPart = (LONGLONG)HalpMachine.IoApic[i].Base};
        IoApic->Registers = MmMapIoSpace(Base, IO_APIC_BYTES, MmNonCached);
        if (IoApic->Registers == NULL) {
            continue;
        }
        IoApic->FirstInterrupt = HalpMachine.IoApic[i].FirstInterrupt;
        IoApic->Lines = (ReadRegister(IoApic, REGISTER_VERSION) >> 16 & 0xFF) + 1;
        for (ULONG Line = 0; Line < IoApic->Lines; Line++) {
            WriteRegister(IoApic, REGISTER_LINE(Line), LINE_MASKED);
        }
    }
}

static IO_APIC *FindLine(ULONG GlobalInterrupt, ULONG *Line) {
    for (ULONG i = 0; i < HalpMachine.IoApicCount; i++) {
        IO_APIC *IoApic = &IoApics[i];
        if (IoApic->Registers != NULL && GlobalInterrupt - IoApic->FirstInterrupt < IoApic->Lines) {
            *Line = GlobalInterrupt - IoApic->FirstInterrupt;
            return IoApic;
        }
    }
    return NULL;
}

/* Sends an ISA interrupt to one CPU as Vector (HalConnectVector); Vector 0 silences it. FALSE: no I/O APIC has the
 * line. <= DISPATCH_LEVEL. */
BOOLEAN HalRouteIsaInterrupt(ULONG Irq, UCHAR Vector, ULONG Processor) {
    ULONG Line;
    IO_APIC *IoApic = Irq < ISA_INTERRUPTS ? FindLine(HalpMachine.Isa[Irq].GlobalInterrupt, &Line) : NULL;
    ULONG ApicId = KiProcessorBlock[Processor]->ApicId;
    if (IoApic == NULL || ApicId > 0xFF) {
        return FALSE;
    }
    ULONG Low = Vector == 0 ? LINE_MASKED : Vector;
    Low |= HalpMachine.Isa[Irq].IsActiveLow ? LINE_ACTIVE_LOW : 0;
    Low |= HalpMachine.Isa[Irq].IsLevel ? LINE_LEVEL : 0;
    KIRQL OldIrql;
    KeAcquireSpinLock(&HalpIoApicLock, &OldIrql);
    WriteRegister(IoApic, REGISTER_LINE(Line), LINE_MASKED); /* never live with half of an old destination */
    WriteRegister(IoApic, REGISTER_LINE(Line) + 1, ApicId << 24);
    WriteRegister(IoApic, REGISTER_LINE(Line), Low);
    KeReleaseSpinLock(&HalpIoApicLock, OldIrql);
    return TRUE;
}
