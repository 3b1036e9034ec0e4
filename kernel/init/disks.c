/* disks.c: the start of the disks: each disk driver in turn. */
#include <io.h>
#include <ldr.h>
#include <pci.h>

/* A driver is loaded where one of its devices is. The order gives the roles: block.c. */
static const struct {
    USHORT VendorId, DeviceId;
    PCSTR Driver;
} DiskDrivers[] = {
    {0x1AF4, 0x1110, "ivshmem"}, /* shared memory: the repeatable disk of seeded runs */
    {0x1AF4, 0x1042, "virtio-blk"},
    {0x1AF4, 0x1001, "virtio-blk"}, /* the same with its older interface as well */
};

static VOID LoadDiskDrivers(VOID) {
    PCSTR Loaded = "";
    for (ULONG i = 0; i < RTL_NUMBER_OF(DiskDrivers); i++) {
        if (IoFindPciDevice(DiskDrivers[i].VendorId, DiskDrivers[i].DeviceId, NULL) &&
            strcmp(Loaded, DiskDrivers[i].Driver) != 0) {
            PDRIVER_OBJECT DriverObject;
            LdrLoadDriver(DiskDrivers[i].Driver, &DriverObject); /* says itself what goes wrong */
            Loaded = DiskDrivers[i].Driver;
        }
    }
}

VOID IoInitializeSystem(VOID) {
    PAGED_CODE();
    if (!KeGetBootOption("nodisk", NULL, 0)) {
        LoadDiskDrivers();
    }
}
