/* judge_unknown_call.c: it calls what the subset has not; the verdict names the call and its line.
 *
 * expect: unbuildable calls ZwLoadKeyFromTheMoon, which is not in the subset (judge_unknown_call.c:13)
 */
#include <ntddk.h>

DRIVER_INITIALIZE DriverEntry;
NTSYSAPI NTSTATUS NTAPI ZwLoadKeyFromTheMoon(PVOID Key); /* declared by hand, so only the link finds it missing */

NTSTATUS DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath) {
    UNREFERENCED_PARAMETER(RegistryPath);
    UNREFERENCED_PARAMETER(DriverObject);
    return ZwLoadKeyFromTheMoon(NULL);
}
