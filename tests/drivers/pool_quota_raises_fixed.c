/* pool_quota_raises_fixed.c: says that it wants a NULL.
 *
 * expect: completed
 */
#include <ntddk.h>

DRIVER_INITIALIZE DriverEntry;

#define TAG 'looP'

NTSTATUS DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath) {
    UNREFERENCED_PARAMETER(DriverObject);
    UNREFERENCED_PARAMETER(RegistryPath);
    POOL_TYPE Type = (POOL_TYPE)(PagedPool | POOL_QUOTA_FAIL_INSTEAD_OF_RAISE);
    PVOID Block = ExAllocatePoolWithQuotaTag(Type, (SIZE_T)1 << 40, TAG);
    if (Block != NULL) {
        ExFreePoolWithTag(Block, TAG);
    }
    return STATUS_SUCCESS;
}
