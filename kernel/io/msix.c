/* msix.c: MSI-X: an interrupt is a 32-bit write of the device to the local APIC's addresses.
 *
 *      table entry, in a BAR:   +0 address low   +4 address high   +8 data   +12 vector control (1: masked)
 *
 * The address names the CPU, the data the vector: no pin, no sharing, no I/O APIC. A message is an edge: one that
 * comes while its vector is still pending merges with it, so a service routine must look for all the work there is,
 * not for one piece. */
#include <arch.h>
#include "iop.h"

#define MSIX_CONTROL 2 /* in the capability */
#define MSIX_TABLE 4
#define CONTROL_ENABLE 0x8000u
#define CONTROL_MASK_ALL 0x4000u
#define CONTROL_TABLE_SIZE 0x07FFu /* entries - 1 */
#define TABLE_BAR 0x7u
#define ENTRY_BYTES 16
#define ENTRY_MASKED 1u
enum { EntryAddressLow, EntryAddressHigh, EntryData, EntryControl };

static VOID WriteEntry(PKINTERRUPT Interrupt) {
    ULONG64 Address;
    ULONG Data;
    HalGetMsiMessage(Interrupt->Vector, Interrupt->Processor, &Address, &Data);
    volatile ULONG *Entry = Interrupt->MsixEntry;
    Entry[EntryControl] |= ENTRY_MASKED; /* the three words below must not be used half written */
    Entry[EntryAddressLow] = (ULONG)Address;
    Entry[EntryAddressHigh] = (ULONG)(Address >> 32);
    Entry[EntryData] = Data;
    Entry[EntryControl] &= ~ENTRY_MASKED;
}

NTSTATUS IoConnectMsix(PPCI_DEVICE Device, ULONG Entry, PKSERVICE_ROUTINE ServiceRoutine, PVOID ServiceContext,
                       PKINTERRUPT *Interrupt) {
    PAGED_CODE();
    ULONG Capability = IoFindPciCapability(Device, PCI_CAPABILITY_ID_MSIX, 0);
    if (Capability == 0) {
        return STATUS_NOT_SUPPORTED;
    }
    ULONG Control = IoReadPciConfig(Device, Capability + MSIX_CONTROL, 2);
    if (Entry > (Control & CONTROL_TABLE_SIZE)) {
        return STATUS_NOT_SUPPORTED;
    }
    ULONG Table = IoReadPciConfig(Device, Capability + MSIX_TABLE, 4);
    PVOID Mapped = IoMapPciBar(Device, Table & TABLE_BAR, (Table & ~TABLE_BAR) + (ULONG64)Entry * ENTRY_BYTES,
                               ENTRY_BYTES, MmNonCached);
    PKINTERRUPT New = Mapped ? IopCreateInterrupt(ServiceRoutine, ServiceContext) : NULL;
    if (New == NULL) {
        if (Mapped) {
            MmUnmapIoSpace(Mapped, ENTRY_BYTES);
        }
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    New->MsixEntry = Mapped;
    *Interrupt = New; /* before the first interrupt can come */
    WriteEntry(New);
    IoWritePciConfig(Device, Capability + MSIX_CONTROL, 2, (Control | CONTROL_ENABLE) & ~CONTROL_MASK_ALL);
    return STATUS_SUCCESS;
}

VOID IoDisconnectMsix(PKINTERRUPT Interrupt) {
    PAGED_CODE();
    Interrupt->MsixEntry[EntryControl] |= ENTRY_MASKED;
    (void)Interrupt->MsixEntry[EntryControl]; /* the read comes back only when the write has arrived */
    MmUnmapIoSpace((PVOID)Interrupt->MsixEntry, ENTRY_BYTES);
    IopDeleteInterrupt(Interrupt);
}
