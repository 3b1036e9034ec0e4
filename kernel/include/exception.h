/* exception.h: exceptions, and the calls that end the machine (ke/exception.c, ke/bugcheck.c). */
#ifndef _EXCEPTION_H_
#define _EXCEPTION_H_

#include <trapframe.h>

/* ---- Dying (ke/bugcheck.c; bugcheck.h) ---- */
DECLSPEC_NORETURN VOID KiBugCheckFromTrap(ULONG Code, ULONG_PTR P1, ULONG_PTR P2, ULONG_PTR P3, ULONG_PTR P4,
                                          PKTRAP_FRAME Frame);
/* An exception, which no code handles: the end (ke/exception.c). Any IRQL. Count: details that are given. */
DECLSPEC_NORETURN VOID KiDispatchException(PKTRAP_FRAME Frame, NTSTATUS Status, ULONG64 Address, ULONG Count,
                                           ULONG_PTR Detail0, ULONG_PTR Detail1);
/* The same, raised by a call: Address is where, StackFrame the frame of the function that was called to raise it. Inside
 * KiCallGuarded that call ends with Status instead. */
DECLSPEC_NORETURN VOID KiRaiseException(NTSTATUS Status, ULONG64 Address, const ULONG64 *StackFrame);
/* A copy from or to a caller's memory where NT's own code has __try: STATUS_ACCESS_VIOLATION for an address where no
 * memory can be (a kernel address without memory stops the machine, there as here). The caller's IRQL. */
NTSTATUS KiCopyGuarded(PVOID To, const void *From, SIZE_T Bytes);
VOID KiInitializeStackCookie(VOID); /* from a function that never returns, before any other CPU or thread runs */
extern ULONG_PTR KiBugCheckData[5]; /* the code as rewritten, and four parameters */

/* Ends the machine with the verdict line on COM2 and the exit code for QEMU (contract: docs/architecture). */
DECLSPEC_NORETURN VOID KeEndMachine(PCSTR End, BOOLEAN IsExpected);

#endif
