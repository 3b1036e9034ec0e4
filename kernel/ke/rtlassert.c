/* rtlassert.c: RtlAssert: a failed assertion stops the machine, with its text as a parameter. */
#include <kd.h>
#include <ntddk.h>

#define STATUS_ASSERTION_FAILURE ((NTSTATUS)0xC0000420)

/* Any IRQL. Called by NT_ASSERT in the checked build; drivers built for it call it in a free kernel too. */
VOID RtlAssert(PVOID FailedAssertion, PVOID FileName, ULONG LineNumber, PSTR Message) {
    KdPrintf("Assertion failed: %s%s%s\n  in %s, line %u\n", Message ? Message : "", Message ? ": " : "",
             (PCSTR)FailedAssertion, (PCSTR)FileName, LineNumber);
    KeBugCheckEx(KMODE_EXCEPTION_NOT_HANDLED, (ULONG_PTR)(LONG_PTR)STATUS_ASSERTION_FAILURE,
                 (ULONG_PTR)_ReturnAddress(), (ULONG_PTR)FailedAssertion, LineNumber);
}
