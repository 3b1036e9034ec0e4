/* pci.h: PCI for drivers, an addition to WDM: a function, its registers, MSI-X interrupts.
 *
 * Windows hands all this out through Plug and Play; here a driver looks for its device by itself, in DriverEntry. */
#ifndef _PCI_H_
#define _PCI_H_

#include <wdm.h>

#ifdef __cplusplus
extern "C" {
#endif

#define PCI_CAPABILITY_ID_VENDOR 0x09
#define PCI_CAPABILITY_ID_MSIX 0x11
#define PCI_BARS 6

typedef struct _PCI_BAR {
    ULONG64 Base; /* physical address */
    ULONG64 LengthBytes;
    BOOLEAN IsPrefetchable;
} PCI_BAR, *PPCI_BAR;

/* One function of one device, as the bus scan at boot found it. Lives forever. */
typedef struct _PCI_DEVICE {
    UCHAR Bus, Slot, Function;
    UCHAR HeaderType; /* without the multi-function bit; 0: an ordinary device */
    USHORT VendorId, DeviceId;
    UCHAR BaseClass, SubClass;
    CHAR Address[8];       /* "00:03.0" */
    PCI_BAR Bar[PCI_BARS]; /* LengthBytes 0: none, or not of memory */
} PCI_DEVICE, *PPCI_DEVICE;

/* The next function of this kind behind After (NULL: the first), in bus order; NULL: no more. Any IRQL. */
PPCI_DEVICE IoFindPciDevice(USHORT VendorId, USHORT DeviceId, PPCI_DEVICE After);

/* Configuration space: Offset 0..255, a multiple of Bytes; Bytes 1, 2 or 4. <= DISPATCH_LEVEL. */
ULONG IoReadPciConfig(PPCI_DEVICE Device, ULONG Offset, ULONG Bytes);
VOID IoWritePciConfig(PPCI_DEVICE Device, ULONG Offset, ULONG Bytes, ULONG Value);

/* Offset of the next capability with this identifier behind offset After (0: the first); 0: no more. <=
 * DISPATCH_LEVEL. */
ULONG IoFindPciCapability(PPCI_DEVICE Device, UCHAR Id, ULONG After);

/* Switches memory decoding and bus mastering on. <= DISPATCH_LEVEL. */
VOID IoEnablePciDevice(PPCI_DEVICE Device);

/* Address and size of memory BAR Index (0..5), as they were at the bus scan. STATUS_NO_SUCH_DEVICE: no memory BAR, or one
 * without an address. Any IRQL. */
NTSTATUS IoQueryPciBar(PPCI_DEVICE Device, ULONG Index, PPCI_BAR Bar);

/* Maps LengthBytes at Offset of a memory BAR; NULL when that is not wholly inside, or memory is out. Undone by
 * MmUnmapIoSpace. PASSIVE_LEVEL. */
PVOID IoMapPciBar(PPCI_DEVICE Device, ULONG Index, ULONG64 Offset, SIZE_T LengthBytes, MEMORY_CACHING_TYPE CacheType);

/* Routes entry Entry of the device's MSI-X table to ServiceRoutine, and switches MSI-X on. STATUS_NOT_SUPPORTED: no
 * MSI-X or no such entry; STATUS_INSUFFICIENT_RESOURCES: no vector or no memory. PASSIVE_LEVEL. */
NTSTATUS IoConnectMsix(PPCI_DEVICE Device, ULONG Entry, PKSERVICE_ROUTINE ServiceRoutine, PVOID ServiceContext,
                       PKINTERRUPT *Interrupt);
/* When it returns, ServiceRoutine does not run and will not run again. PASSIVE_LEVEL. */
VOID IoDisconnectMsix(PKINTERRUPT Interrupt);

#ifdef __cplusplus
}
#endif
#endif
