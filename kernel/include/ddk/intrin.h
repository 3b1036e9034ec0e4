/* intrin.h: single machine instructions under their names in driver sources. */
#ifndef _INTRIN_H_
#define _INTRIN_H_

#include <ntdef.h>
#include <intrincpu.h>

#define InterlockedIncrement(p) __atomic_add_fetch((volatile LONG *)(p), 1, __ATOMIC_SEQ_CST)
#define InterlockedDecrement(p) __atomic_sub_fetch((volatile LONG *)(p), 1, __ATOMIC_SEQ_CST)
#define InterlockedIncrement64(p) __atomic_add_fetch((volatile LONG64 *)(p), 1, __ATOMIC_SEQ_CST)
#define InterlockedDecrement64(p) __atomic_sub_fetch((volatile LONG64 *)(p), 1, __ATOMIC_SEQ_CST)
#define InterlockedExchange(p, v) __atomic_exchange_n((volatile LONG *)(p), (LONG)(v), __ATOMIC_SEQ_CST)
#define InterlockedExchange64(p, v) __atomic_exchange_n((volatile LONG64 *)(p), (LONG64)(v), __ATOMIC_SEQ_CST)
#define InterlockedExchangePointer(p, v) __atomic_exchange_n((PVOID volatile *)(p), (PVOID)(v), __ATOMIC_SEQ_CST)
#define InterlockedExchangeAdd(p, v) __atomic_fetch_add((volatile LONG *)(p), (LONG)(v), __ATOMIC_SEQ_CST)
#define InterlockedExchangeAdd64(p, v) __atomic_fetch_add((volatile LONG64 *)(p), (LONG64)(v), __ATOMIC_SEQ_CST)
#define InterlockedAdd(p, v) __atomic_add_fetch((volatile LONG *)(p), (LONG)(v), __ATOMIC_SEQ_CST)
#define InterlockedAdd64(p, v) __atomic_add_fetch((volatile LONG64 *)(p), (LONG64)(v), __ATOMIC_SEQ_CST)
#define InterlockedAnd(p, v) __atomic_fetch_and((volatile LONG *)(p), (LONG)(v), __ATOMIC_SEQ_CST)
#define InterlockedOr(p, v) __atomic_fetch_or((volatile LONG *)(p), (LONG)(v), __ATOMIC_SEQ_CST)
#define InterlockedXor(p, v) __atomic_fetch_xor((volatile LONG *)(p), (LONG)(v), __ATOMIC_SEQ_CST)

static FORCEINLINE LONG InterlockedCompareExchange(volatile LONG *Target, LONG Exchange, LONG Comparand) {
    __atomic_compare_exchange_n(Target, &Comparand, Exchange, FALSE, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
    return Comparand;
}

static FORCEINLINE LONG64 InterlockedCompareExchange64(volatile LONG64 *Target, LONG64 Exchange, LONG64 Comparand) {
    __atomic_compare_exchange_n(Target, &Comparand, Exchange, FALSE, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
    return Comparand;
}

static FORCEINLINE PVOID InterlockedCompareExchangePointer(PVOID volatile *Target, PVOID Exchange, PVOID Comparand) {
    __atomic_compare_exchange_n(Target, &Comparand, Exchange, FALSE, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
    return Comparand;
}

/* The value of a bit before it was set or cleared. */
static FORCEINLINE BOOLEAN InterlockedBitTestAndSet(volatile LONG *Base, LONG Bit) {
    LONG Mask = (LONG)(1u << (Bit & 31));
    return (__atomic_fetch_or(Base + (Bit >> 5), Mask, __ATOMIC_SEQ_CST) & Mask) != 0;
}

static FORCEINLINE BOOLEAN InterlockedBitTestAndReset(volatile LONG *Base, LONG Bit) {
    LONG Mask = (LONG)(1u << (Bit & 31));
    return (__atomic_fetch_and(Base + (Bit >> 5), ~Mask, __ATOMIC_SEQ_CST) & Mask) != 0;
}

/* ---- The same in other widths ---- */
#define InterlockedAnd64(p, v) __atomic_fetch_and((volatile LONG64 *)(p), (LONG64)(v), __ATOMIC_SEQ_CST)
#define InterlockedOr64(p, v) __atomic_fetch_or((volatile LONG64 *)(p), (LONG64)(v), __ATOMIC_SEQ_CST)
#define InterlockedXor64(p, v) __atomic_fetch_xor((volatile LONG64 *)(p), (LONG64)(v), __ATOMIC_SEQ_CST)
#define InterlockedIncrement16(p) __atomic_add_fetch((volatile SHORT *)(p), 1, __ATOMIC_SEQ_CST)
#define InterlockedDecrement16(p) __atomic_sub_fetch((volatile SHORT *)(p), 1, __ATOMIC_SEQ_CST)
#define InterlockedExchange16(p, v) __atomic_exchange_n((volatile SHORT *)(p), (SHORT)(v), __ATOMIC_SEQ_CST)
#define InterlockedExchange8(p, v) __atomic_exchange_n((volatile CHAR *)(p), (CHAR)(v), __ATOMIC_SEQ_CST)
#define InterlockedAnd8(p, v) __atomic_fetch_and((volatile CHAR *)(p), (CHAR)(v), __ATOMIC_SEQ_CST)
#define InterlockedOr8(p, v) __atomic_fetch_or((volatile CHAR *)(p), (CHAR)(v), __ATOMIC_SEQ_CST)
#define InterlockedXor8(p, v) __atomic_fetch_xor((volatile CHAR *)(p), (CHAR)(v), __ATOMIC_SEQ_CST)
#define InterlockedExchangeSubtract(p, v) __atomic_fetch_sub((volatile ULONG *)(p), (ULONG)(v), __ATOMIC_SEQ_CST)

static FORCEINLINE SHORT InterlockedCompareExchange16(volatile SHORT *Target, SHORT Exchange, SHORT Comparand) {
    __atomic_compare_exchange_n(Target, &Comparand, Exchange, FALSE, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
    return Comparand;
}

/* ---- Names with a weaker order: x64's locked instructions are full fences in any case ---- */
#define InterlockedIncrementAcquire InterlockedIncrement
#define InterlockedIncrementRelease InterlockedIncrement
#define InterlockedIncrementNoFence InterlockedIncrement
#define InterlockedDecrementAcquire InterlockedDecrement
#define InterlockedDecrementRelease InterlockedDecrement
#define InterlockedDecrementNoFence InterlockedDecrement
#define InterlockedExchangeAcquire InterlockedExchange
#define InterlockedExchangeNoFence InterlockedExchange
#define InterlockedExchangeAddAcquire InterlockedExchangeAdd
#define InterlockedExchangeAddRelease InterlockedExchangeAdd
#define InterlockedExchangeAddNoFence InterlockedExchangeAdd
#define InterlockedCompareExchangeAcquire InterlockedCompareExchange
#define InterlockedCompareExchangeRelease InterlockedCompareExchange
#define InterlockedCompareExchangeNoFence InterlockedCompareExchange
#define InterlockedExchangePointerAcquire InterlockedExchangePointer
#define InterlockedExchangePointerNoFence InterlockedExchangePointer
#define InterlockedCompareExchangePointerAcquire InterlockedCompareExchangePointer
#define InterlockedCompareExchangePointerRelease InterlockedCompareExchangePointer
#define InterlockedCompareExchangePointerNoFence InterlockedCompareExchangePointer
#define InterlockedAndAcquire InterlockedAnd
#define InterlockedAndRelease InterlockedAnd
#define InterlockedAndNoFence InterlockedAnd
#define InterlockedOrAcquire InterlockedOr
#define InterlockedOrRelease InterlockedOr
#define InterlockedOrNoFence InterlockedOr

/* ---- Reads and writes that the compiler may not move or split ---- */
#define ReadAcquire(p) __atomic_load_n((volatile const LONG *)(p), __ATOMIC_ACQUIRE)
#define ReadNoFence(p) __atomic_load_n((volatile const LONG *)(p), __ATOMIC_RELAXED)
#define ReadAcquire64(p) __atomic_load_n((volatile const LONG64 *)(p), __ATOMIC_ACQUIRE)
#define ReadNoFence64(p) __atomic_load_n((volatile const LONG64 *)(p), __ATOMIC_RELAXED)
#define ReadULongAcquire(p) __atomic_load_n((volatile const ULONG *)(p), __ATOMIC_ACQUIRE)
#define ReadULongNoFence(p) __atomic_load_n((volatile const ULONG *)(p), __ATOMIC_RELAXED)
#define ReadULong64Acquire(p) __atomic_load_n((volatile const ULONG64 *)(p), __ATOMIC_ACQUIRE)
#define ReadULong64NoFence(p) __atomic_load_n((volatile const ULONG64 *)(p), __ATOMIC_RELAXED)
#define ReadUCharAcquire(p) __atomic_load_n((volatile const UCHAR *)(p), __ATOMIC_ACQUIRE)
#define ReadUCharNoFence(p) __atomic_load_n((volatile const UCHAR *)(p), __ATOMIC_RELAXED)
#define ReadBooleanAcquire(p) __atomic_load_n((volatile const BOOLEAN *)(p), __ATOMIC_ACQUIRE)
#define ReadBooleanNoFence(p) __atomic_load_n((volatile const BOOLEAN *)(p), __ATOMIC_RELAXED)
#define ReadPointerAcquire(p) __atomic_load_n((PVOID volatile const *)(p), __ATOMIC_ACQUIRE)
#define ReadPointerNoFence(p) __atomic_load_n((PVOID volatile const *)(p), __ATOMIC_RELAXED)
#define WriteRelease(p, v) __atomic_store_n((volatile LONG *)(p), (LONG)(v), __ATOMIC_RELEASE)
#define WriteNoFence(p, v) __atomic_store_n((volatile LONG *)(p), (LONG)(v), __ATOMIC_RELAXED)
#define WriteRelease64(p, v) __atomic_store_n((volatile LONG64 *)(p), (LONG64)(v), __ATOMIC_RELEASE)
#define WriteNoFence64(p, v) __atomic_store_n((volatile LONG64 *)(p), (LONG64)(v), __ATOMIC_RELAXED)
#define WriteULongRelease(p, v) __atomic_store_n((volatile ULONG *)(p), (ULONG)(v), __ATOMIC_RELEASE)
#define WriteULongNoFence(p, v) __atomic_store_n((volatile ULONG *)(p), (ULONG)(v), __ATOMIC_RELAXED)
#define WriteULong64Release(p, v) __atomic_store_n((volatile ULONG64 *)(p), (ULONG64)(v), __ATOMIC_RELEASE)
#define WriteULong64NoFence(p, v) __atomic_store_n((volatile ULONG64 *)(p), (ULONG64)(v), __ATOMIC_RELAXED)
#define WriteBooleanRelease(p, v) __atomic_store_n((volatile BOOLEAN *)(p), (BOOLEAN)(v), __ATOMIC_RELEASE)
#define WriteBooleanNoFence(p, v) __atomic_store_n((volatile BOOLEAN *)(p), (BOOLEAN)(v), __ATOMIC_RELAXED)
#define WritePointerRelease(p, v) __atomic_store_n((PVOID volatile *)(p), (PVOID)(v), __ATOMIC_RELEASE)
#define WritePointerNoFence(p, v) __atomic_store_n((PVOID volatile *)(p), (PVOID)(v), __ATOMIC_RELAXED)

/* ---- Bits and wide products ---- */
#define _rotl(Value, Count) ((ULONG)(((ULONG)(Value) << ((Count) & 31)) | ((ULONG)(Value) >> (-(Count) & 31))))
#define _rotr(Value, Count) ((ULONG)(((ULONG)(Value) >> ((Count) & 31)) | ((ULONG)(Value) << (-(Count) & 31))))
#define _rotl64(Value, Count) (((ULONG64)(Value) << ((Count) & 63)) | ((ULONG64)(Value) >> (-(Count) & 63)))
#define _rotr64(Value, Count) (((ULONG64)(Value) >> ((Count) & 63)) | ((ULONG64)(Value) << (-(Count) & 63)))
#define __umulh(A, B) ((ULONG64)(((unsigned __int128)(ULONG64)(A) * (ULONG64)(B)) >> 64))
#define __mulh(A, B) ((LONG64)(((__int128)(LONG64)(A) * (LONG64)(B)) >> 64))

/* By hand: the compiler's own would call its library. */
static FORCEINLINE ULONG64 __popcnt64(ULONG64 Value) {
    ULONG64 Count = 0;
    for (; Value != 0; Value &= Value - 1) {
        Count++;
    }
    return Count;
}
#define __popcnt(Value) ((ULONG)__popcnt64((ULONG)(Value)))
#define __popcnt16(Value) ((USHORT)__popcnt64((USHORT)(Value)))

/* The compiler's own names of the operations, which sources use that include this header alone. */
#define _InterlockedIncrement64 InterlockedIncrement64
#define _InterlockedDecrement64 InterlockedDecrement64
#define _InterlockedExchange64 InterlockedExchange64
#define _InterlockedExchangeAdd64 InterlockedExchangeAdd64
#define _InterlockedIncrement16 InterlockedIncrement16
#define _InterlockedDecrement16 InterlockedDecrement16
#define _InterlockedExchange8 InterlockedExchange8
#define _InterlockedExchange16 InterlockedExchange16
#define _InterlockedCompareExchange16 InterlockedCompareExchange16
#define _InterlockedAnd64 InterlockedAnd64
#define _InterlockedOr64 InterlockedOr64
#define _InterlockedXor64 InterlockedXor64
#define _InterlockedAnd8 InterlockedAnd8
#define _InterlockedOr8 InterlockedOr8
#define _InterlockedIncrement InterlockedIncrement
#define _InterlockedDecrement InterlockedDecrement
#define _InterlockedExchange InterlockedExchange
#define _InterlockedExchangeAdd InterlockedExchangeAdd
#define _InterlockedCompareExchange InterlockedCompareExchange
#define _InterlockedCompareExchange64 InterlockedCompareExchange64
#define _InterlockedCompareExchangePointer InterlockedCompareExchangePointer
#define _InterlockedExchangePointer InterlockedExchangePointer
#define _InterlockedAnd InterlockedAnd
#define _InterlockedOr InterlockedOr
#define _InterlockedXor InterlockedXor
#define _interlockedbittestandset InterlockedBitTestAndSet
#define _interlockedbittestandreset InterlockedBitTestAndReset

#endif
