/* process_detach_only_fixed.c: attachments are nested, and each is taken back once.
 *
 * expect: completed
 */
#include <ntifs.h>

NTSTATUS DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath) {
    KAPC_STATE Outer, Inner;
    UNREFERENCED_PARAMETER(DriverObject);
    UNREFERENCED_PARAMETER(RegistryPath);
    KeStackAttachProcess(PsInitialSystemProcess, &Outer);
    KeStackAttachProcess(PsInitialSystemProcess, &Inner);
    KeUnstackDetachProcess(&Inner);
    KeUnstackDetachProcess(&Outer);
    return STATUS_SUCCESS;
}
