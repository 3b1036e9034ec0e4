/* intrin.h: single machine instructions under the names that driver sources use for them. */
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
#define _ReturnAddress() __builtin_return_address(0)

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

#endif
