/* pcibar.c: base address registers: where the firmware put a device's memory, and its size.
 *
 * A BAR reveals its size in a roundabout way: of the ones written to it, it keeps only those above the size. Meanwhile
 * the device must not decode, or it would answer at an address of all ones, and its registers must not be in use. So
 * all sizes are read at the bus scan, before the other CPUs start. QEMU before 8.2 needs that for more than the device:
 * while one CPU changes the address map, another CPU's access to any device (the EOI to its local APIC) may reach a
 * wrong one, or none, and QEMU dies of that. */
#include <arch.h>
#include "iop.h"

#define CONFIG_COMMAND 0x04
#define CONFIG_BAR0 0x10
#define COMMAND_DECODE 0x0003 /* I/O and memory */
#define BAR_IS_PORT 0x1u
#define BAR_TYPE 0x6u
#define BAR_TYPE_64BIT 0x4u
#define BAR_PREFETCHABLE 0x8u
#define BAR_FLAGS 0xFu
#define CLASS_BRIDGE 6 /* the devices behind a bridge, the legacy ports among them, must stay within reach */

/* Writes ones, reads those that stuck, restores. */
static ULONG ProbeSize(PPCI_DEVICE Device, ULONG Offset) {
    ULONG Value = IoReadPciConfig(Device, Offset, 4);
    IoWritePciConfig(Device, Offset, 4, 0xFFFFFFFF);
    ULONG Mask = IoReadPciConfig(Device, Offset, 4);
    IoWritePciConfig(Device, Offset, 4, Value);
    return Mask;
}

/* The device does not decode. Returns how many registers the BAR takes. */
static ULONG MeasureBar(PPCI_DEVICE Device, ULONG Index) {
    ULONG Offset = CONFIG_BAR0 + 4 * Index;
    ULONG Low = IoReadPciConfig(Device, Offset, 4);
    BOOLEAN Is64Bit = (Low & BAR_TYPE) == BAR_TYPE_64BIT;
    if ((Low & BAR_IS_PORT) || (Is64Bit && Index + 1 == PCI_BARS)) {
        return 1;
    }
    ULONG64 Base = Low & ~BAR_FLAGS;
    ULONG64 Mask = 0xFFFFFFFF00000000ULL | (ProbeSize(Device, Offset) & ~BAR_FLAGS);
    if (Is64Bit) {
        Base |= (ULONG64)IoReadPciConfig(Device, Offset + 4, 4) << 32;
        Mask &= (ULONG64)ProbeSize(Device, Offset + 4) << 32 | 0xFFFFFFFF;
    }
    PPCI_BAR Bar = &Device->Bar[Index];
    Bar->Base = Base;
    Bar->LengthBytes = (ULONG)Mask == 0 && !Is64Bit ? 0 : ~Mask + 1;
    Bar->IsPrefetchable = (Low & BAR_PREFETCHABLE) != 0;
    return Is64Bit ? 2 : 1;
}

static BOOLEAN HasMemoryBar(PPCI_DEVICE Device) {
    for (ULONG Index = 0; Index < PCI_BARS; Index++) {
        ULONG Value = IoReadPciConfig(Device, CONFIG_BAR0 + 4 * Index, 4);
        if (Value != 0 && !(Value & BAR_IS_PORT)) {
            return TRUE;
        }
    }
    return FALSE;
}

VOID IopMeasurePciBars(PPCI_DEVICE Device) {
    if (Device->HeaderType != 0 || Device->BaseClass == CLASS_BRIDGE || !HasMemoryBar(Device)) {
        return;
    }
    ULONG Command = IoReadPciConfig(Device, CONFIG_COMMAND, 2);
    IoWritePciConfig(Device, CONFIG_COMMAND, 2, Command & ~COMMAND_DECODE);
    for (ULONG Index = 0; Index < PCI_BARS;) {
        Index += MeasureBar(Device, Index);
    }
    IoWritePciConfig(Device, CONFIG_COMMAND, 2, Command);
}

NTSTATUS IoQueryPciBar(PPCI_DEVICE Device, ULONG Index, PPCI_BAR Bar) {
    if (Index >= PCI_BARS || Device->Bar[Index].Base == 0 || Device->Bar[Index].LengthBytes == 0) {
        return STATUS_NO_SUCH_DEVICE;
    }
    *Bar = Device->Bar[Index];
    return STATUS_SUCCESS;
}

PVOID IoMapPciBar(PPCI_DEVICE Device, ULONG Index, ULONG64 Offset, SIZE_T LengthBytes, MEMORY_CACHING_TYPE CacheType) {
    PAGED_CODE();
    PCI_BAR Bar;
    if (!NT_SUCCESS(IoQueryPciBar(Device, Index, &Bar)) || LengthBytes == 0 || Offset > Bar.LengthBytes ||
        LengthBytes > Bar.LengthBytes - Offset) {
        return NULL;
    }
    PHYSICAL_ADDRESS Physical = {.QuadPart = (LONGLONG)(Bar.Base + Offset)};
    return MmMapIoSpace(Physical, LengthBytes, CacheType);
}
