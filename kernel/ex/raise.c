/* raise.c: raising an exception, which stops the machine: structured exception handling is absent. */
#include <ex.h>

/* An unhandled exception: a thread's own (0x7E), or a DPC's or interrupt's, which no thread is to blame for. Any IRQL.
 * wdm.h: ExRaiseStatus. */
DECLSPEC_NORETURN VOID ExRaiseStatus(NTSTATUS Status) {
    KiRaiseException(Status, (ULONG64)_ReturnAddress(), __builtin_frame_address(0));
}

/* In a class's table of virtual functions where one has no body: called, it is a mistake of the driver's. Any IRQL. */
DECLSPEC_NORETURN VOID __cxa_pure_virtual(VOID);
DECLSPEC_NORETURN VOID __cxa_pure_virtual(VOID) {
    KiRaiseException(STATUS_NOT_IMPLEMENTED, (ULONG64)_ReturnAddress(), __builtin_frame_address(0));
}

/* Any IRQL. No call comes from user mode, which does not exist. */
KPROCESSOR_MODE ExGetPreviousMode(VOID) {
    return KernelMode;
}
