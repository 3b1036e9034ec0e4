/* stackcheck.c: the stack cookie: a word between a function's arrays and its return address.
 *
 * The compiler puts the cookie there on entry and compares it on exit, in the kernel and in drivers. */
#include <arch.h>

/* Its lowest byte is 0, so that a string that runs over cannot write it back. This value holds until start-up draws
 * one. */
ULONG64 __stack_chk_guard = 0x5A17E0C00C1E5700ULL;
DECLSPEC_NORETURN VOID __stack_chk_fail(VOID);

/* Boot CPU, before any other CPU or thread runs, from a function that never returns: the frames of functions entered
 * before would not match on return. Repeatable with a repeatable time-stamp counter. */
VOID KiInitializeStackCookie(VOID) {
    __stack_chk_guard = (HalReadTsc() * 0x9E3779B97F4A7C15ULL) & ~0xFFULL;
}

/* A function is about to return to an address that may have been overwritten: 0x139 (2, ...). Any IRQL. */
DECLSPEC_NORETURN VOID __stack_chk_fail(VOID) {
    __asm__ volatile(""
                     :
                     : "r"(__builtin_frame_address(0))); /* keeps a frame, so that the stack walk finds the caller */
    __fastfail(FAST_FAIL_STACK_COOKIE_CHECK_FAILURE);
}
