/* ubsan.c: the routines that the compiler calls in BUILD=ubsan where behaviour is undefined in C.
 *
 * Each report is one line that begins with "ubsan:", on COM1 for people and on COM2 as a comment of the test report;
 * the test runner fails on it. The code goes on, so that one run shows all; a place that reports again and again is
 * silenced. */
#include <kd.h>
#include <ntddk.h>

/* The layouts are the compiler's: gcc's libubsan calls these functions with these structures. */
typedef struct _UBSAN_LOCATION {
    PCSTR File; /* the compiler marks a reported place by its column */
    volatile ULONG Line, Column;
} UBSAN_LOCATION;

typedef struct _UBSAN_TYPE {
    USHORT Kind; /* 0 integer, 1 float */
    USHORT Information;
    CHAR Name[];
} UBSAN_TYPE;

typedef struct _UBSAN_OVERFLOW {
    UBSAN_LOCATION Location;
    const UBSAN_TYPE *Type;
} UBSAN_OVERFLOW;

typedef struct _UBSAN_SHIFT {
    UBSAN_LOCATION Location;
    const UBSAN_TYPE *LeftType, *RightType;
} UBSAN_SHIFT;

typedef struct _UBSAN_BOUNDS {
    UBSAN_LOCATION Location;
    const UBSAN_TYPE *ArrayType, *IndexType;
} UBSAN_BOUNDS;

typedef struct _UBSAN_MISMATCH {
    UBSAN_LOCATION Location;
    const UBSAN_TYPE *Type;
    UCHAR AlignmentShift;
    UCHAR AccessKind;
} UBSAN_MISMATCH;

#define REPORTED 0xFFFFFFFFu /* no real column: this place has been reported */

volatile LONG KdUbsanReports; /* how many places were found */

/* TRUE the first time for each place. */
static BOOLEAN ClaimReport(UBSAN_LOCATION *Location) {
    if (__atomic_exchange_n(&Location->Column, REPORTED, __ATOMIC_RELAXED) == REPORTED) {
        return FALSE;
    }
    InterlockedIncrement(&KdUbsanReports);
    return TRUE;
}

static VOID Report(UBSAN_LOCATION *Location, PCSTR What, ULONG64 Left, ULONG64 Right) {
    if (ClaimReport(Location)) {
        KdPrintf("ubsan: %s:%u: %s (0x%llx, 0x%llx)\n", Location->File, Location->Line, What, Left, Right);
        KdChannelf("# ubsan: %s:%u: %s\n", Location->File, Location->Line, What);
    }
}

#define OVERFLOW_HANDLER(Function, What)                               \
    VOID Function(UBSAN_OVERFLOW *Data, ULONG64 Left, ULONG64 Right);  \
    VOID Function(UBSAN_OVERFLOW *Data, ULONG64 Left, ULONG64 Right) { \
        Report(&Data->Location, What, Left, Right);                    \
    }

OVERFLOW_HANDLER(__ubsan_handle_add_overflow, "an addition overflows")
OVERFLOW_HANDLER(__ubsan_handle_sub_overflow, "a subtraction overflows")
OVERFLOW_HANDLER(__ubsan_handle_mul_overflow, "a multiplication overflows")
OVERFLOW_HANDLER(__ubsan_handle_divrem_overflow, "a division by zero, or one that overflows")
OVERFLOW_HANDLER(__ubsan_handle_pointer_overflow, "arithmetic takes a pointer around the address space")

VOID __ubsan_handle_negate_overflow(UBSAN_OVERFLOW *Data, ULONG64 Value);
VOID __ubsan_handle_negate_overflow(UBSAN_OVERFLOW *Data, ULONG64 Value) {
    Report(&Data->Location, "a negation overflows", Value, 0);
}

VOID __ubsan_handle_shift_out_of_bounds(UBSAN_SHIFT *Data, ULONG64 Left, ULONG64 Right);
VOID __ubsan_handle_shift_out_of_bounds(UBSAN_SHIFT *Data, ULONG64 Left, ULONG64 Right) {
    Report(&Data->Location, "a shift by too much, or of a sign bit", Left, Right);
}

VOID __ubsan_handle_out_of_bounds(UBSAN_BOUNDS *Data, ULONG64 Index);
VOID __ubsan_handle_out_of_bounds(UBSAN_BOUNDS *Data, ULONG64 Index) {
    Report(&Data->Location, "an index is outside its array", Index, 0);
}

VOID __ubsan_handle_type_mismatch_v1(UBSAN_MISMATCH *Data, ULONG64 Address);
VOID __ubsan_handle_type_mismatch_v1(UBSAN_MISMATCH *Data, ULONG64 Address) {
    BOOLEAN IsMisaligned = Address & ((1ULL << Data->AlignmentShift) - 1) ? TRUE : FALSE;
    Report(&Data->Location, IsMisaligned ? "an access is not aligned for its type" : "an object is too small, or NULL",
           Address, 1ULL << Data->AlignmentShift);
}

VOID __ubsan_handle_load_invalid_value(UBSAN_OVERFLOW *Data, ULONG64 Value);
VOID __ubsan_handle_load_invalid_value(UBSAN_OVERFLOW *Data, ULONG64 Value) {
    Report(&Data->Location, "a value that its type cannot have", Value, 0);
}

VOID __ubsan_handle_vla_bound_not_positive(UBSAN_OVERFLOW *Data, ULONG64 Bound);
VOID __ubsan_handle_vla_bound_not_positive(UBSAN_OVERFLOW *Data, ULONG64 Bound) {
    Report(&Data->Location, "an array of no or negative length", Bound, 0);
}

VOID __ubsan_handle_invalid_builtin(UBSAN_LOCATION *Data);
VOID __ubsan_handle_invalid_builtin(UBSAN_LOCATION *Data) {
    Report(Data, "a compiler builtin with an argument that it does not take", 0, 0);
}

VOID __ubsan_handle_nonnull_arg(UBSAN_LOCATION *Data);
VOID __ubsan_handle_nonnull_arg(UBSAN_LOCATION *Data) {
    Report(Data, "NULL where a function promises not to take it", 0, 0);
}

VOID __ubsan_handle_nonnull_return_v1(PVOID Data, UBSAN_LOCATION *Location);
VOID __ubsan_handle_nonnull_return_v1(PVOID Data, UBSAN_LOCATION *Location) {
    UNREFERENCED_PARAMETER(Data);
    Report(Location, "NULL from a function that promises not to return it", 0, 0);
}

/* After this one the compiler has left no code to go on with. */
DECLSPEC_NORETURN VOID __ubsan_handle_builtin_unreachable(UBSAN_LOCATION *Data);
DECLSPEC_NORETURN VOID __ubsan_handle_builtin_unreachable(UBSAN_LOCATION *Data) {
    Report(Data, "code that cannot be reached was reached", 0, 0);
    KeBugCheckEx(KMODE_EXCEPTION_NOT_HANDLED, (ULONG_PTR)(LONG_PTR)STATUS_ILLEGAL_INSTRUCTION,
                 (ULONG_PTR)_ReturnAddress(), 0, 0);
}

DECLSPEC_NORETURN VOID __ubsan_handle_missing_return(UBSAN_LOCATION *Data);
DECLSPEC_NORETURN VOID __ubsan_handle_missing_return(UBSAN_LOCATION *Data) {
    Report(Data, "a function ended without returning its value", 0, 0);
    KeBugCheckEx(KMODE_EXCEPTION_NOT_HANDLED, (ULONG_PTR)(LONG_PTR)STATUS_ILLEGAL_INSTRUCTION,
                 (ULONG_PTR)_ReturnAddress(), 0, 0);
}
