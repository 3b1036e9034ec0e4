/* probe.c: checks that an address is a program's: for the kernel's they raise an exception.
 *
 * There is no user mode, so every buffer that exists fails: as on Windows when a kernel caller's METHOD_NEITHER buffer is
 * probed without a look at Irp->RequestorMode. */
#include <ex.h>

#define USER_PROBE_ADDRESS 0x7FFFFFFF0000ULL

/* Any IRQL. STATUS_ACCESS_VIOLATION. ntddk.h: ExRaiseAccessViolation. */
DECLSPEC_NORETURN VOID ExRaiseAccessViolation(VOID) {
    KiRaiseException(STATUS_ACCESS_VIOLATION, (ULONG64)_ReturnAddress(), __builtin_frame_address(0));
}

/* Any IRQL. STATUS_DATATYPE_MISALIGNMENT. ntddk.h: ExRaiseDatatypeMisalignment. */
DECLSPEC_NORETURN VOID ExRaiseDatatypeMisalignment(VOID) {
    KiRaiseException(STATUS_DATATYPE_MISALIGNMENT, (ULONG64)_ReturnAddress(), __builtin_frame_address(0));
}

/* Caller and Frame: in whose name it raises. */
static FORCEINLINE VOID Probe(ULONG_PTR Start, SIZE_T Length, ULONG Alignment, ULONG64 Caller, const ULONG64 *Frame) {
    if (Length != 0 && (Start & (Alignment - 1)) != 0) {
        KiRaiseException(STATUS_DATATYPE_MISALIGNMENT, Caller, Frame);
    }
    if (Length != 0 && (Start + Length < Start || Start + Length > USER_PROBE_ADDRESS)) {
        KiRaiseException(STATUS_ACCESS_VIOLATION, Caller, Frame);
    }
}

/* <= APC_LEVEL. No bytes pass at any address. Raises STATUS_DATATYPE_MISALIGNMENT or STATUS_ACCESS_VIOLATION in the
 * caller's name. wdm.h: ProbeForRead. */
VOID ProbeForRead(const volatile VOID *Address, SIZE_T Length, ULONG Alignment) {
    Probe((ULONG_PTR)Address, Length, Alignment, (ULONG64)_ReturnAddress(), __builtin_frame_address(0));
}

/* The same, and each page is written to, as it was. wdm.h: ProbeForWrite. */
VOID ProbeForWrite(volatile VOID *Address, SIZE_T Length, ULONG Alignment) {
    ULONG_PTR Start = (ULONG_PTR)Address, End = Start + Length;
    Probe(Start, Length, Alignment, (ULONG64)_ReturnAddress(), __builtin_frame_address(0));
    for (ULONG_PTR Page = Start; Page < End; Page = (Page & ~(ULONG_PTR)(PAGE_SIZE - 1)) + PAGE_SIZE) {
        UCHAR Byte = *(volatile UCHAR *)Page;
        *(volatile UCHAR *)Page = Byte;
    }
}
