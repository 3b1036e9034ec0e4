/* raise.c: exceptions and assertions that code raises: nothing handles them, so the machine stops. */
#include <ex.h>
#include <kd.h>

#define STATUS_ASSERTION_FAILURE ((NTSTATUS)0xC0000420)

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

/* Any IRQL. Called by NT_ASSERT in the checked build; drivers built for it call it in a free kernel too. */
VOID RtlAssert(PVOID FailedAssertion, PVOID FileName, ULONG LineNumber, PSTR Message) {
    KdPrintf("Assertion failed: %s%s%s\n  in %s, line %u\n", Message ? Message : "", Message ? ": " : "",
             (PCSTR)FailedAssertion, (PCSTR)FileName, LineNumber);
    KeBugCheckEx(KMODE_EXCEPTION_NOT_HANDLED, (ULONG_PTR)(LONG_PTR)STATUS_ASSERTION_FAILURE,
                 (ULONG_PTR)_ReturnAddress(), (ULONG_PTR)FailedAssertion, LineNumber);
}
