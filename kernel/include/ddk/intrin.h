/* intrin.h: single machine instructions under their names in driver sources. */
#ifndef _INTRIN_H_
#define _INTRIN_H_

#include <ntdef.h>

/* The current IRQL is CR8, and nothing else is. */
static FORCEINLINE ULONG64 __readcr8(void) {
    ULONG64 Value;
    __asm__ volatile("mov %%cr8, %0" : "=r"(Value) : : "memory");
    return Value;
}

static FORCEINLINE void __writecr8(ULONG64 Value) {
    __asm__ volatile("mov %0, %%cr8" : : "r"(Value) : "memory");
}

static FORCEINLINE ULONG64 __readcr2(void) {
    ULONG64 Value;
    __asm__ volatile("mov %%cr2, %0" : "=r"(Value));
    return Value;
}

static FORCEINLINE ULONG64 __readcr3(void) {
    ULONG64 Value;
    __asm__ volatile("mov %%cr3, %0" : "=r"(Value) : : "memory");
    return Value;
}

static FORCEINLINE ULONG64 __readcr0(void) {
    ULONG64 Value;
    __asm__ volatile("mov %%cr0, %0" : "=r"(Value) : : "memory");
    return Value;
}

static FORCEINLINE void __writecr0(ULONG64 Value) {
    __asm__ volatile("mov %0, %%cr0" : : "r"(Value) : "memory");
}

static FORCEINLINE ULONG64 __readcr4(void) {
    ULONG64 Value;
    __asm__ volatile("mov %%cr4, %0" : "=r"(Value));
    return Value;
}

static FORCEINLINE ULONG64 __readeflags(void) {
    ULONG64 Value;
    __asm__ volatile("pushfq; pop %0" : "=r"(Value) : : "memory");
    return Value;
}

static FORCEINLINE void __invlpg(void *Address) {
    __asm__ volatile("invlpg (%0)" : : "r"(Address) : "memory");
}

/* EAX, EBX, ECX and EDX of a CPUID leaf. */
static FORCEINLINE void __cpuidex(int Words[4], int Leaf, int Subleaf) {
    __asm__ volatile("cpuid"
                     : "=a"(Words[0]), "=b"(Words[1]), "=c"(Words[2]), "=d"(Words[3])
                     : "a"(Leaf), "c"(Subleaf));
}

static FORCEINLINE void __cpuid(int Words[4], int Leaf) {
    __cpuidex(Words, Leaf, 0);
}

static FORCEINLINE UCHAR __inbyte(USHORT Port) {
    UCHAR Value;
    __asm__ volatile("inb %1, %0" : "=a"(Value) : "Nd"(Port) : "memory");
    return Value;
}

static FORCEINLINE void __outbyte(USHORT Port, UCHAR Value) {
    __asm__ volatile("outb %0, %1" : : "a"(Value), "Nd"(Port) : "memory");
}

/* The number of the lowest or highest bit that is set; FALSE, and no number, where there is none. Macros, because sources
 * keep the number in an `unsigned long`, which has 32 bits on Windows. */
#define BIT_SCAN(Index, Mask, Number) ((Mask) != 0 ? (*(Index) = (ULONG)(Number), (UCHAR)1) : (UCHAR)0)
#define _BitScanForward(Index, Mask) BIT_SCAN(Index, (ULONG)(Mask), __builtin_ctz((ULONG)(Mask)))
#define _BitScanReverse(Index, Mask) BIT_SCAN(Index, (ULONG)(Mask), 31 - __builtin_clz((ULONG)(Mask)))
#define _BitScanForward64(Index, Mask) BIT_SCAN(Index, (ULONG64)(Mask), __builtin_ctzll((ULONG64)(Mask)))
#define _BitScanReverse64(Index, Mask) BIT_SCAN(Index, (ULONG64)(Mask), 63 - __builtin_clzll((ULONG64)(Mask)))
#define BitScanForward _BitScanForward
#define BitScanReverse _BitScanReverse
#define BitScanForward64 _BitScanForward64
#define BitScanReverse64 _BitScanReverse64

static FORCEINLINE ULONG64 __rdtsc(void) {
    ULONG Low, High;
    __asm__ volatile("rdtsc" : "=a"(Low), "=d"(High) : : "memory");
    return (ULONG64)High << 32 | Low;
}

static FORCEINLINE ULONG64 __readmsr(ULONG Register) {
    ULONG Low, High;
    __asm__ volatile("rdmsr" : "=a"(Low), "=d"(High) : "c"(Register));
    return (ULONG64)High << 32 | Low;
}

static FORCEINLINE void __writemsr(ULONG Register, ULONG64 Value) {
    __asm__ volatile("wrmsr" : : "c"(Register), "a"((ULONG)Value), "d"((ULONG)(Value >> 32)) : "memory");
}

static FORCEINLINE void _disable(void) {
    __asm__ volatile("cli" : : : "memory");
}

static FORCEINLINE void _enable(void) {
    __asm__ volatile("sti" : : : "memory");
}

/* An instruction that does not exist: STATUS_ILLEGAL_INSTRUCTION. */
static FORCEINLINE DECLSPEC_NORETURN void __ud2(void) {
    __asm__ volatile("ud2" : : : "memory");
    __builtin_unreachable();
}

static FORCEINLINE void __debugbreak(void) {
    __asm__ volatile("int3");
}

/* Stops the machine with KERNEL_SECURITY_CHECK_FAILURE (Code, ...). */
static FORCEINLINE DECLSPEC_NORETURN void __fastfail(ULONG Code) {
    __asm__ volatile("int $0x29" : : "c"(Code) : "memory");
    __builtin_unreachable();
}

#define FAST_FAIL_LEGACY_GS_VIOLATION 0
#define FAST_FAIL_VTGUARD_CHECK_FAILURE 1
#define FAST_FAIL_STACK_COOKIE_CHECK_FAILURE 2
#define FAST_FAIL_CORRUPT_LIST_ENTRY 3
#define FAST_FAIL_INCORRECT_STACK 4
#define FAST_FAIL_INVALID_ARG 5
#define FAST_FAIL_GS_COOKIE_INIT 6
#define FAST_FAIL_FATAL_APP_EXIT 7
#define FAST_FAIL_RANGE_CHECK_FAILURE 8
#define FAST_FAIL_UNSAFE_REGISTRY_ACCESS 9
#define FAST_FAIL_GUARD_ICALL_CHECK_FAILURE 10
#define FAST_FAIL_INVALID_SET_OF_CONTEXT 13
#define FAST_FAIL_INVALID_REFERENCE_COUNT 14
#define FAST_FAIL_INVALID_JUMP_BUFFER 18
#define FAST_FAIL_MRDATA_MODIFIED 19
#define FAST_FAIL_INVALID_EXCEPTION_CHAIN 21
#define FAST_FAIL_INVALID_BALANCED_TREE 29
#define RtlFailFast(Code) __fastfail(Code)

#define _ReadWriteBarrier() __asm__ volatile("" : : : "memory")
#define KeMemoryBarrier() __atomic_thread_fence(__ATOMIC_SEQ_CST)
#define YieldProcessor() __asm__ volatile("pause" : : : "memory")
#define _mm_pause() YieldProcessor()
#define _mm_mfence() __asm__ volatile("mfence" : : : "memory")
#define _mm_lfence() __asm__ volatile("lfence" : : : "memory")
#define _mm_sfence() __asm__ volatile("sfence" : : : "memory")
#define MemoryBarrier() KeMemoryBarrier()
#define __faststorefence() KeMemoryBarrier()
#define __nop() __asm__ volatile("nop")
#define __halt() __asm__ volatile("hlt" : : : "memory")
#define __wbinvd() __asm__ volatile("wbinvd" : : : "memory")
#define __int2c() __asm__ volatile("int $0x2c" : : : "memory")
#define _ReturnAddress() __builtin_return_address(0)
#define _AddressOfReturnAddress() ((PVOID)((PULONG_PTR)__builtin_frame_address(0) + 1))
#define _byteswap_ushort(Value) __builtin_bswap16(Value)
#define _byteswap_ulong(Value) __builtin_bswap32(Value)
#define _byteswap_uint64(Value) __builtin_bswap64(Value)

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
