/* raise.c: raising an exception: there is no structured exception handling, so nobody handles it and the machine
 * stops. */
#include <ex.h>

/* The code of an unhandled exception: a thread's own, or a DPC's or interrupt's, which no thread is to blame for.
 * Any IRQL. wdm.h: ExRaiseStatus. */
DECLSPEC_NORETURN VOID ExRaiseStatus(NTSTATUS Status) {
    ULONG_PTR Code = (ULONG_PTR)(LONG_PTR)Status; /* sign-extended, as in an exception record */
    ULONG_PTR Address = (ULONG_PTR)_ReturnAddress();
    if (KiCurrentIrql() >= DISPATCH_LEVEL) {
        KeBugCheckEx(KMODE_EXCEPTION_NOT_HANDLED, Code, Address, 0, 0);
    }
    KeBugCheckEx(SYSTEM_THREAD_EXCEPTION_NOT_HANDLED, Code, Address, 0, 0);
}
