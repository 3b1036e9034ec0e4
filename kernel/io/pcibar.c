/* pcibar.c: base address registers: where the firmware has put a device's memory, and how much of it there is.
 *
 * A BAR tells its size in a roundabout way: of the ones written to it, it keeps only those above the size. Meanwhile
 * the device must not decode, or it would answer at an address of all ones. */
#include <arch.h>
#include "iop.h"

#define CONFIG_COMMAND 0x04
#define CONFIG_BAR0 0x10
#define COMMAND_DECODE 0x0003 /* I/O and memory */
#define BAR_COUNT 6
#define BAR_IS_PORT 0x1u
#define BAR_TYPE 0x6u
#define BAR_TYPE_64BIT 0x4u
#define BAR_PREFETCHABLE 0x8u
#define BAR_FLAGS 0xFu

/* Writes ones, reads what has stuck, restores. */
static ULONG ProbeSize(PPCI_DEVICE Device, ULONG Offset) {
    ULONG Value = IoReadPciConfig(Device, Offset, 4);
    IoWritePciConfig(Device, Offset, 4, 0xFFFFFFFF);
    ULONG Mask = IoReadPciConfig(Device, Offset, 4);
    IoWritePciConfig(Device, Offset, 4, Value);
    return Mask;
}

NTSTATUS IoQueryPciBar(PPCI_DEVICE Device, ULONG Index, PPCI_BAR Bar) {
    PAGED_CODE();
    if (Device->HeaderType != 0 || Index >= BAR_COUNT) {
        return STATUS_NO_SUCH_DEVICE;
    }
    ULONG Offset = CONFIG_BAR0 + 4 * Index;
    ULONG Low = IoReadPciConfig(Device, Offset, 4);
    BOOLEAN Is64Bit = (Low & BAR_TYPE) == BAR_TYPE_64BIT;
    if ((Low & BAR_IS_PORT) || (Is64Bit && Index + 1 == BAR_COUNT)) {
        return STATUS_NO_SUCH_DEVICE;
    }
    ULONG Command = IoReadPciConfig(Device, CONFIG_COMMAND, 2);
    IoWritePciConfig(Device, CONFIG_COMMAND, 2, Command & ~COMMAND_DECODE);
    ULONG64 Base = Low & ~BAR_FLAGS;
    ULONG64 Mask = 0xFFFFFFFF00000000ULL | (ProbeSize(Device, Offset) & ~BAR_FLAGS);
    if (Is64Bit) {
        Base |= (ULONG64)IoReadPciConfig(Device, Offset + 4, 4) << 32;
        Mask &= (ULONG64)ProbeSize(Device, Offset + 4) << 32 | 0xFFFFFFFF;
    }
    IoWritePciConfig(Device, CONFIG_COMMAND, 2, Command);
    Bar->Base = Base;
    Bar->LengthBytes = (ULONG)Mask == 0 && !Is64Bit ? 0 : ~Mask + 1;
    Bar->IsPrefetchable = (Low & BAR_PREFETCHABLE) != 0;
    return Base != 0 && Bar->LengthBytes != 0 ? STATUS_SUCCESS : STATUS_NO_SUCH_DEVICE;
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
