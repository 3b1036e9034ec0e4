/* pool_list_damaged.c: overwrites the links of free memory behind its block with small numbers: the allocator
 * follows them, at DISPATCH_LEVEL.
 *
 * expect: bugcheck 0x000000C5 (*, 2, *, kernel) in pool_list_damaged!DriverEntry
 * expect: bugcheck 0x00000019 (0x20, nonpaged, nonpaged, *) in pool_list_damaged!DriverEntry
 */
#include <ntddk.h>

DRIVER_INITIALIZE DriverEntry;

#define TAG 'looP'

NTSTATUS DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath) {
    UNREFERENCED_PARAMETER(DriverObject);
    UNREFERENCED_PARAMETER(RegistryPath);
    for (ULONG Round = 0; Round < 1000; Round++) {
        PUCHAR Block = ExAllocatePoolWithTag(NonPagedPoolNx, 1008, TAG);
        PULONG64 Links = (PULONG64)(Block + 1008 + 16); /* behind the header that comes next */
        if (Block != NULL && BYTE_OFFSET(Links) > 1024 && ((PUCHAR)Links)[-13] == 0) {
            Links[0] = 0x1000;
            Links[1] = 0x2000;
            ExFreePoolWithTag(Block, TAG);
        }
    }
    return STATUS_SUCCESS;
}
