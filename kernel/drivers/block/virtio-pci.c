/* virtio-pci.c: the PCI transport of VIRTIO 1: where a device's registers are, and how it is started.
 *
 * A modern device has no fixed registers. Vendor-specific PCI capabilities say which piece of which BAR holds what:
 *
 *      capability:  +0 id 9   +1 next   +2 length   +3 kind   +4 BAR   +8 offset (32 bits)   +12 length (32 bits)
 *      kind:        1 common configuration   2 notification (+16: multiplier)   4 configuration of the device's kind
 *
 * What the device says is checked before it is believed: IoMapPciBar refuses what is not inside the BAR, and a
 * structure that is too short is refused here. */
#include "virtio.h"

#define KIND_COMMON 1
#define KIND_NOTIFY 2
#define KIND_DEVICE 4
#define CAPABILITY_KIND 3
#define CAPABILITY_BAR 4
#define CAPABILITY_OFFSET 8
#define CAPABILITY_LENGTH 12
#define CAPABILITY_MULTIPLIER 16
#define LARGEST_MAPPING 0x10000 /* QEMU's notification area alone is larger than any device here needs */
#define RESET_TRIES 1000

/* Maps the first structure of a kind. NULL: there is none, or it is no good. */
static PVOID MapStructure(PPCI_DEVICE Pci, UCHAR Kind, SIZE_T Minimum, SIZE_T *Bytes, ULONG *Capability) {
    for (ULONG Offset = 0; (Offset = IoFindPciCapability(Pci, PCI_CAPABILITY_ID_VENDOR, Offset)) != 0;) {
        if (IoReadPciConfig(Pci, Offset + CAPABILITY_KIND, 1) != Kind) {
            continue;
        }
        SIZE_T Length = IoReadPciConfig(Pci, Offset + CAPABILITY_LENGTH, 4);
        *Bytes = Length < LARGEST_MAPPING ? Length : LARGEST_MAPPING;
        *Capability = Offset;
        return *Bytes < Minimum ? NULL
                                : IoMapPciBar(Pci, IoReadPciConfig(Pci, Offset + CAPABILITY_BAR, 1),
                                              IoReadPciConfig(Pci, Offset + CAPABILITY_OFFSET, 4), *Bytes, MmNonCached);
    }
    return NULL;
}

PCSTR VirtioMap(PVIRTIO_DEVICE Device, PPCI_DEVICE Pci) {
    ULONG Capability;
    SIZE_T CommonBytes;
    *Device = (VIRTIO_DEVICE){.Pci = Pci};
    IoEnablePciDevice(Pci);
    Device->Common = MapStructure(Pci, KIND_COMMON, sizeof(VIRTIO_COMMON), &CommonBytes, &Capability);
    Device->Config = MapStructure(Pci, KIND_DEVICE, 8, &Device->ConfigBytes, &Capability);
    Device->Notify = MapStructure(Pci, KIND_NOTIFY, 2, &Device->NotifyBytes, &Capability);
    if (Device->Common == NULL || Device->Config == NULL || Device->Notify == NULL) {
        VirtioUnmap(Device);
        return "it has no VIRTIO 1 interface (disable-modern=on?)";
    }
    Device->NotifyMultiplier = IoReadPciConfig(Pci, Capability + CAPABILITY_MULTIPLIER, 4);
    return NULL;
}

VOID VirtioUnmap(PVIRTIO_DEVICE Device) {
    if (Device->Common) {
        MmUnmapIoSpace((PVOID)Device->Common, sizeof(VIRTIO_COMMON));
    }
    if (Device->Config) {
        MmUnmapIoSpace((PVOID)Device->Config, Device->ConfigBytes);
    }
    if (Device->Notify) {
        MmUnmapIoSpace((PVOID)Device->Notify, Device->NotifyBytes);
    }
    *Device = (VIRTIO_DEVICE){.Pci = Device->Pci};
}

/* After it the device has forgotten all queues and touches no memory. FALSE: it does not come out of its reset. */
BOOLEAN VirtioReset(PVIRTIO_DEVICE Device) {
    Device->Common->DeviceStatus = 0;
    for (ULONG Try = 0; Try < RESET_TRIES; Try++) {
        if (Device->Common->DeviceStatus == 0) {
            return TRUE;
        }
        KeStallExecutionProcessor(10);
    }
    return FALSE;
}

static ULONG64 ReadFeatures(PVIRTIO_COMMON Common) {
    Common->DeviceFeatureSelect = 0;
    ULONG64 Features = Common->DeviceFeature;
    Common->DeviceFeatureSelect = 1;
    return Features | (ULONG64)Common->DeviceFeature << 32;
}

static VOID WriteFeatures(PVIRTIO_COMMON Common, ULONG64 Features) {
    Common->DriverFeatureSelect = 0;
    Common->DriverFeature = (ULONG)Features;
    Common->DriverFeatureSelect = 1;
    Common->DriverFeature = (ULONG)(Features >> 32);
}

/* "Driver Requirements: Device Initialization", steps 1 to 6. Features: those that the device offers. */
PCSTR VirtioNegotiate(PVIRTIO_DEVICE Device, ULONG64 Wanted, PULONG64 Features) {
    PVIRTIO_COMMON Common = Device->Common;
    if (!VirtioReset(Device)) {
        return "it does not come out of its reset";
    }
    Common->DeviceStatus = VIRTIO_STATUS_ACKNOWLEDGE;
    Common->DeviceStatus = VIRTIO_STATUS_ACKNOWLEDGE | VIRTIO_STATUS_DRIVER;
    *Features = ReadFeatures(Common);
    if (!(*Features & VIRTIO_F_VERSION_1)) {
        return "it does not offer VIRTIO 1";
    }
    WriteFeatures(Common, *Features & (Wanted | VIRTIO_F_VERSION_1));
    Common->DeviceStatus = VIRTIO_STATUS_ACKNOWLEDGE | VIRTIO_STATUS_DRIVER | VIRTIO_STATUS_FEATURES_OK;
    if (!(Common->DeviceStatus & VIRTIO_STATUS_FEATURES_OK)) {
        return "it insists on a feature that this driver does not know";
    }
    return NULL;
}

static VOID WriteAddress(volatile ULONG *Register, ULONG64 Address) {
    Register[0] = (ULONG)Address;
    Register[1] = (ULONG)(Address >> 32);
}

PCSTR VirtioEnableQueue(PVIRTIO_DEVICE Device, USHORT Index, PVIRTIO_QUEUE Queue) {
    PVIRTIO_COMMON Common = Device->Common;
    Common->QueueSelect = Index;
    USHORT Size = Common->QueueSize;
    if (Index >= Common->QueueCount || Size == 0 || (Size & (Size - 1)) != 0) {
        return "its queue has no usable size";
    }
    if (Size < Queue->Size) {
        Queue->Size = Size;
    }
    Common->QueueSize = Queue->Size;
    Common->ConfigMsixVector = VIRTIO_NO_VECTOR;
    Common->QueueMsixVector = Queue->MsixVector;
    if (Common->QueueMsixVector != Queue->MsixVector) {
        return "it refuses its interrupt";
    }
    WriteAddress(Common->QueueDescriptors, Queue->Descriptors);
    WriteAddress(Common->QueueAvailable, Queue->Available);
    WriteAddress(Common->QueueUsed, Queue->Used);
    ULONG64 Doorbell = (ULONG64)Common->QueueNotifyOffset * Device->NotifyMultiplier;
    if (Doorbell + sizeof(USHORT) > Device->NotifyBytes) {
        return "its doorbell lies outside of its registers";
    }
    Queue->Doorbell = (volatile USHORT *)(Device->Notify + Doorbell);
    Common->QueueEnable = 1;
    return NULL;
}

VOID VirtioGoLive(PVIRTIO_DEVICE Device) {
    Device->Common->DeviceStatus =
        VIRTIO_STATUS_ACKNOWLEDGE | VIRTIO_STATUS_DRIVER | VIRTIO_STATUS_FEATURES_OK | VIRTIO_STATUS_DRIVER_OK;
}
