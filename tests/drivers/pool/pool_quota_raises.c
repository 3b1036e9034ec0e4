/* pool_quota_raises.c: asks for more than there is by the one call that raises an exception instead of returning
 * NULL.
 *
 * expect: bugcheck 0x0000007E (0xFFFFFFFFC000009A, *, stack, stack) in pool_quota_raises!DriverEntry
 */
#include <ntddk.h>

DRIVER_INITIALIZE DriverEntry;

#define TAG 'looP'

NTSTATUS DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath) {
    UNREFERENCED_PARAMETER(DriverObject);
    UNREFERENCED_PARAMETER(RegistryPath);
    PVOID Block = ExAllocatePoolWithQuotaTag(PagedPool, (SIZE_T)1 << 40, TAG);
    if (Block != NULL) {
        ExFreePoolWithTag(Block, TAG);
    }
    return STATUS_SUCCESS;
}
