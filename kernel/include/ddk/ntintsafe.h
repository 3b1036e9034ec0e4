/* ntintsafe.h: integer sums, products and conversions that report an overflow.
 *
 * STATUS_INTEGER_OVERFLOW, and the result is all ones; otherwise STATUS_SUCCESS. Any IRQL. */
#ifndef _NTINTSAFE_H_
#define _NTINTSAFE_H_

#include <ntdef.h>
#include <ntstatus.h>

#define INTSAFE_ARITHMETIC(Name_, Type_, Builtin_)                       \
    static FORCEINLINE NTSTATUS Name_(Type_ A, Type_ B, Type_ *Result) { \
        if (Builtin_(A, B, Result)) {                                    \
            *Result = (Type_) ~(Type_)0;                                 \
            return STATUS_INTEGER_OVERFLOW;                              \
        }                                                                \
        return STATUS_SUCCESS;                                           \
    }
#define INTSAFE_TYPE(Prefix_, Type_)                                     \
    INTSAFE_ARITHMETIC(Rtl##Prefix_##Add, Type_, __builtin_add_overflow) \
    INTSAFE_ARITHMETIC(Rtl##Prefix_##Sub, Type_, __builtin_sub_overflow) \
    INTSAFE_ARITHMETIC(Rtl##Prefix_##Mult, Type_, __builtin_mul_overflow)
#define INTSAFE_CONVERSION(Name_, From_, To_)                     \
    static FORCEINLINE NTSTATUS Name_(From_ Value, To_ *Result) { \
        if (__builtin_add_overflow(Value, 0, Result)) {           \
            *Result = (To_) ~(To_)0;                              \
            return STATUS_INTEGER_OVERFLOW;                       \
        }                                                         \
        return STATUS_SUCCESS;                                    \
    }

INTSAFE_TYPE(UChar, UCHAR)
INTSAFE_TYPE(UShort, USHORT)
INTSAFE_TYPE(UInt, unsigned int)
INTSAFE_TYPE(ULong, ULONG)
INTSAFE_TYPE(ULongLong, ULONGLONG)
INTSAFE_TYPE(ULongPtr, ULONG_PTR)
INTSAFE_TYPE(SizeT, SIZE_T)
INTSAFE_TYPE(Long, LONG)
INTSAFE_TYPE(LongLong, LONGLONG)
INTSAFE_CONVERSION(RtlULongToUShort, ULONG, USHORT)
INTSAFE_CONVERSION(RtlULongToUChar, ULONG, UCHAR)
INTSAFE_CONVERSION(RtlULongToLong, ULONG, LONG)
INTSAFE_CONVERSION(RtlLongToULong, LONG, ULONG)
INTSAFE_CONVERSION(RtlSizeTToULong, SIZE_T, ULONG)
INTSAFE_CONVERSION(RtlSizeTToUShort, SIZE_T, USHORT)
INTSAFE_CONVERSION(RtlSizeTToLong, SIZE_T, LONG)
INTSAFE_CONVERSION(RtlULongLongToULong, ULONGLONG, ULONG)
INTSAFE_CONVERSION(RtlULongLongToSizeT, ULONGLONG, SIZE_T)
INTSAFE_CONVERSION(RtlULongPtrToULong, ULONG_PTR, ULONG)
INTSAFE_CONVERSION(RtlLongLongToULong, LONGLONG, ULONG)
INTSAFE_CONVERSION(RtlLongLongToLong, LONGLONG, LONG)
INTSAFE_CONVERSION(RtlUShortToUChar, USHORT, UCHAR)
#define RtlDWordAdd RtlULongAdd
#define RtlDWordMult RtlULongMult

#undef INTSAFE_ARITHMETIC
#undef INTSAFE_TYPE
#undef INTSAFE_CONVERSION

#endif
