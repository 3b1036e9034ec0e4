/* intrincpu.h: the part of intrin.h about registers, ports and single instructions. */
#ifndef _INTRINCPU_H_
#define _INTRINCPU_H_

#include <nttypes.h>

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

#endif
