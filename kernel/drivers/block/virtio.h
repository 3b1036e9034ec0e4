/* virtio.h: the part of the VIRTIO 1 standard that a block driver needs: registers, ring, feature bits.
 * Names of sections refer to "Virtual I/O Device (VIRTIO) Version 1.2", OASIS. Everything is little-endian. */
#ifndef _VIRTIO_H_
#define _VIRTIO_H_

#include <pci.h>

/* "Common configuration structure layout" */
typedef volatile struct _VIRTIO_COMMON {
    ULONG DeviceFeatureSelect;
    ULONG DeviceFeature;
    ULONG DriverFeatureSelect;
    ULONG DriverFeature;
    USHORT ConfigMsixVector;
    USHORT QueueCount;
    UCHAR DeviceStatus;
    UCHAR ConfigGeneration;
    USHORT QueueSelect;
    USHORT QueueSize;
    USHORT QueueMsixVector;
    USHORT QueueEnable;
    USHORT QueueNotifyOffset;
    ULONG QueueDescriptors[2]; /* physical addresses, low word first */
    ULONG QueueAvailable[2];
    ULONG QueueUsed[2];
} VIRTIO_COMMON, *PVIRTIO_COMMON;
C_ASSERT(sizeof(VIRTIO_COMMON) == 56);

#define VIRTIO_NO_VECTOR 0xFFFF

/* "Device Status Field" */
#define VIRTIO_STATUS_ACKNOWLEDGE 0x01
#define VIRTIO_STATUS_DRIVER 0x02
#define VIRTIO_STATUS_DRIVER_OK 0x04
#define VIRTIO_STATUS_FEATURES_OK 0x08
#define VIRTIO_STATUS_FAILED 0x80

#define VIRTIO_F_VERSION_1 (1ULL << 32)

/* "Split Virtqueues" */
typedef struct _VIRTQ_DESCRIPTOR {
    ULONG64 Address;
    ULONG Length;
    USHORT Flags;
    USHORT Next;
} VIRTQ_DESCRIPTOR;

#define VIRTQ_DESCRIPTOR_NEXT 1
#define VIRTQ_DESCRIPTOR_DEVICE_WRITES 2

typedef struct _VIRTQ_USED_ELEMENT {
    ULONG Id; /* first descriptor of the chain */
    ULONG Length;
} VIRTQ_USED_ELEMENT;

#define VIRTQ_AVAILABLE_NO_INTERRUPT 1 /* a wish of the driver's */
#define VIRTQ_USED_NO_NOTIFY 1         /* a wish of the device's */

/* ---- The PCI transport (virtio-pci.c) ---- */
typedef struct _VIRTIO_DEVICE {
    PPCI_DEVICE Pci;
    PVIRTIO_COMMON Common;
    volatile UCHAR *Config; /* of the device's kind */
    SIZE_T ConfigBytes;
    volatile UCHAR *Notify;
    SIZE_T NotifyBytes;
    ULONG NotifyMultiplier;
} VIRTIO_DEVICE, *PVIRTIO_DEVICE;

typedef struct _VIRTIO_QUEUE {
    USHORT Size;                          /* in: the driver's room; out: the size agreed, a power of two */
    USHORT MsixVector;                    /* entry of the MSI-X table, or VIRTIO_NO_VECTOR */
    ULONG64 Descriptors, Available, Used; /* physical addresses */
    volatile USHORT *Doorbell;
} VIRTIO_QUEUE, *PVIRTIO_QUEUE;

/* Each returns NULL, or the end of the sentence "io: virtio-blk at 00:03.0: ..." that says what is wrong. */
PCSTR VirtioMap(PVIRTIO_DEVICE Device, PPCI_DEVICE Pci);                         /* PASSIVE_LEVEL */
VOID VirtioUnmap(PVIRTIO_DEVICE Device);                                         /* PASSIVE_LEVEL */
BOOLEAN VirtioReset(PVIRTIO_DEVICE Device);                                      /* any IRQL, like all below */
PCSTR VirtioNegotiate(PVIRTIO_DEVICE Device, ULONG64 Wanted, PULONG64 Features); /* from reset to FEATURES_OK */
PCSTR VirtioEnableQueue(PVIRTIO_DEVICE Device, USHORT Index, PVIRTIO_QUEUE Queue);
VOID VirtioGoLive(PVIRTIO_DEVICE Device); /* DRIVER_OK */

#endif
