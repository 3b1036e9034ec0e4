/* pciconfig.c: PCI configuration space through ports 0xCF8 and 0xCFC, and the scan at boot.
 *
 * The address goes to one port and the data through the other, so an access is two steps and needs a lock. The
 * memory-mapped way (ECAM) reaches 4 KiB of each function instead of 256 bytes; no device driven here needs more than
 * 256. */
#include <arch.h>
#include <kd.h>
#include <rtl.h>
#include "iop.h"

#define PORT_ADDRESS 0xCF8
#define PORT_DATA 0xCFC
#define ADDRESS_ENABLE 0x80000000u

#define CONFIG_VENDOR_ID 0x00
#define CONFIG_DEVICE_ID 0x02
#define CONFIG_COMMAND 0x04
#define CONFIG_STATUS 0x06
#define CONFIG_SUBCLASS 0x0A
#define CONFIG_BASE_CLASS 0x0B
#define CONFIG_HEADER_TYPE 0x0E
#define CONFIG_SECONDARY_BUS 0x19 /* of a bridge */
#define CONFIG_CAPABILITIES 0x34

#define COMMAND_MEMORY 0x0002
#define COMMAND_BUS_MASTER 0x0004
#define STATUS_HAS_CAPABILITIES 0x0010
#define HEADER_MULTI_FUNCTION 0x80
#define HEADER_BRIDGE 1
#define NO_VENDOR 0xFFFF

#define MAXIMUM_FUNCTIONS 64

KE_DECLARE_LOCK(IopPciConfigLock, RANK_IO, "the pair of ports 0xCF8 and 0xCFC");

static PCI_DEVICE PciDevices[MAXIMUM_FUNCTIONS];
static ULONG PciDeviceCount;

static ULONG SelectRegister(PPCI_DEVICE Device, ULONG Offset) {
    HalOut32(PORT_ADDRESS, ADDRESS_ENABLE | (ULONG)Device->Bus << 16 | (ULONG)Device->Slot << 11 |
                               (ULONG)Device->Function << 8 | (Offset & 0xFC));
    return PORT_DATA + (Offset & 3);
}

ULONG IoReadPciConfig(PPCI_DEVICE Device, ULONG Offset, ULONG Bytes) {
    KIRQL OldIrql = KeAcquireSpinLockRaiseToDpc(&IopPciConfigLock);
    USHORT Port = (USHORT)SelectRegister(Device, Offset);
    ULONG Value = Bytes == 1 ? HalIn8(Port) : Bytes == 2 ? HalIn16(Port) : HalIn32(Port);
    KeReleaseSpinLock(&IopPciConfigLock, OldIrql);
    return Value;
}

VOID IoWritePciConfig(PPCI_DEVICE Device, ULONG Offset, ULONG Bytes, ULONG Value) {
    KIRQL OldIrql = KeAcquireSpinLockRaiseToDpc(&IopPciConfigLock);
    USHORT Port = (USHORT)SelectRegister(Device, Offset);
    if (Bytes == 1) {
        HalOut8(Port, (UCHAR)Value);
    } else if (Bytes == 2) {
        HalOut16(Port, (USHORT)Value);
    } else {
        HalOut32(Port, Value);
    }
    KeReleaseSpinLock(&IopPciConfigLock, OldIrql);
}

/* The device is not trusted: no more than 48 four-byte entries fit, so a ring in its list ends the search. */
ULONG IoFindPciCapability(PPCI_DEVICE Device, UCHAR Id, ULONG After) {
    if (!(IoReadPciConfig(Device, CONFIG_STATUS, 2) & STATUS_HAS_CAPABILITIES)) {
        return 0;
    }
    ULONG Next = After ? After + 1 : CONFIG_CAPABILITIES;
    for (ULONG Steps = 0; Steps < 48; Steps++) {
        ULONG Offset = IoReadPciConfig(Device, Next, 1) & ~3u;
        if (Offset < 0x40) {
            return 0;
        }
        if (IoReadPciConfig(Device, Offset, 1) == Id) {
            return Offset;
        }
        Next = Offset + 1;
    }
    return 0;
}

VOID IoEnablePciDevice(PPCI_DEVICE Device) {
    ULONG Command = IoReadPciConfig(Device, CONFIG_COMMAND, 2);
    IoWritePciConfig(Device, CONFIG_COMMAND, 2, Command | COMMAND_MEMORY | COMMAND_BUS_MASTER);
}

PPCI_DEVICE IoFindPciDevice(USHORT VendorId, USHORT DeviceId, PPCI_DEVICE After) {
    for (PPCI_DEVICE Device = After ? After + 1 : PciDevices; Device < PciDevices + PciDeviceCount; Device++) {
        if (Device->VendorId == VendorId && Device->DeviceId == DeviceId) {
            return Device;
        }
    }
    return NULL;
}

static VOID ScanBus(UCHAR Bus, ULONG Depth);

/* FALSE: there is no such function. */
static BOOLEAN ScanFunction(PPCI_DEVICE Device, ULONG Depth) {
    Device->VendorId = (USHORT)IoReadPciConfig(Device, CONFIG_VENDOR_ID, 2);
    if (Device->VendorId == NO_VENDOR) {
        return FALSE;
    }
    Device->DeviceId = (USHORT)IoReadPciConfig(Device, CONFIG_DEVICE_ID, 2);
    Device->BaseClass = (UCHAR)IoReadPciConfig(Device, CONFIG_BASE_CLASS, 1);
    Device->SubClass = (UCHAR)IoReadPciConfig(Device, CONFIG_SUBCLASS, 1);
    Device->HeaderType = (UCHAR)(IoReadPciConfig(Device, CONFIG_HEADER_TYPE, 1) & ~HEADER_MULTI_FUNCTION);
    RtlFormat(Device->Address, sizeof(Device->Address), "%02x:%02x.%x", Device->Bus, Device->Slot, Device->Function);
    if (PciDeviceCount == MAXIMUM_FUNCTIONS) {
        KdPrintf("io: PCI function %s is left out: there are more than %u\n", Device->Address, MAXIMUM_FUNCTIONS);
    } else {
        PciDevices[PciDeviceCount++] = *Device;
    }
    if (Device->HeaderType == HEADER_BRIDGE) {
        UCHAR Secondary = (UCHAR)IoReadPciConfig(Device, CONFIG_SECONDARY_BUS, 1);
        if (Secondary > Device->Bus) { /* 0: the firmware has not set it up */
            ScanBus(Secondary, Depth + 1);
        }
    }
    return TRUE;
}

static BOOLEAN IsMultiFunction(PPCI_DEVICE Device) {
    return (IoReadPciConfig(Device, CONFIG_HEADER_TYPE, 1) & HEADER_MULTI_FUNCTION) != 0;
}

static VOID ScanBus(UCHAR Bus, ULONG Depth) {
    if (Depth > 8) {
        return;
    }
    for (UCHAR Slot = 0; Slot < 32; Slot++) {
        PCI_DEVICE Device = {.Bus = Bus, .Slot = Slot};
        if (!ScanFunction(&Device, Depth) || !IsMultiFunction(&Device)) {
            continue;
        }
        for (UCHAR Function = 1; Function < 8; Function++) {
            PCI_DEVICE Other = {.Bus = Bus, .Slot = Slot, .Function = Function};
            ScanFunction(&Other, Depth);
        }
    }
}

VOID IoScanPci(VOID) {
    PAGED_CODE();
    ScanBus(0, 0);
    for (ULONG i = 0; i < PciDeviceCount; i++) {
        IopMeasurePciBars(&PciDevices[i]);
    }
}
