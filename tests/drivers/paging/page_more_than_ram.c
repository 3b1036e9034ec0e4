/* page_more_than_ram.c: fills more paged pool than there is RAM and reads it back: the disk holds what does not fit. With
 * a disk that cannot be read any more it is the end of the machine (0x7A), and no fault of the driver's: that is shown by
 * tests/test_faults.py, because a driver cannot break a disk.
 *
 * expect: completed
 * run: --mem 16
 */
#include <ntddk.h>

DRIVER_INITIALIZE DriverEntry;

#define TAG 'maRM'
#define PAGES 3500

static VOID Fill(PULONG64 Pages) {
    for (ULONG Page = 0; Page < PAGES; Page++) {
        Pages[Page * (PAGE_SIZE / sizeof(ULONG64))] = Page + 1;
    }
}

static BOOLEAN ReadBack(const ULONG64 *Pages) {
    for (ULONG Page = 0; Page < PAGES; Page++) {
        if (Pages[Page * (PAGE_SIZE / sizeof(ULONG64))] != Page + 1) {
            return FALSE;
        }
    }
    return TRUE;
}

NTSTATUS DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath) {
    UNREFERENCED_PARAMETER(DriverObject);
    UNREFERENCED_PARAMETER(RegistryPath);
    PULONG64 Pages = ExAllocatePool2(POOL_FLAG_PAGED | POOL_FLAG_UNINITIALIZED, PAGES * PAGE_SIZE, TAG);
    if (Pages == NULL) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    Fill(Pages);
    BOOLEAN IsRight = ReadBack(Pages);
    ExFreePoolWithTag(Pages, TAG);
    return IsRight ? STATUS_SUCCESS : STATUS_UNSUCCESSFUL;
}
