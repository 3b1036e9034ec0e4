/* arch.h: the contract between the machine (arch/x86_64) and the kernel. */
#ifndef _ARCH_H_
#define _ARCH_H_

#include <prcb.h>

/* ---- The one table of vectors (trap.asm has them from here): exceptions, then interrupts, whose level is vector >> 4 ---- */
enum {
    VectorDivideError = 0,
    VectorDebug = 1,
    VectorNmi = 2,
    VectorBreakpoint = 3,
    VectorOverflow = 4,
    VectorBoundRange = 5,
    VectorInvalidOpcode = 6,
    VectorDoubleFault = 8,
    VectorGeneralProtection = 13,
    VectorPageFault = 14,
    VectorMachineCheck = 18,
    VectorFastFail = 0x29
};
#define VECTOR_APC 0x1F
#define VECTOR_DISPATCH 0x2F
#define VECTOR_FIRST_DEVICE 0x30
#define VECTOR_LAST_DEVICE 0xBF
#define VECTOR_CLOCK 0xD1
#define VECTOR_SPURIOUS 0xDF
#define VECTOR_IPI 0xE1
#define VECTOR_APIC_ERROR 0xE2

#define SELECTOR_KERNEL_CODE 0x10
#define SELECTOR_KERNEL_DATA 0x18
#define SELECTOR_TSS 0x40

#define MSR_GS_BASE 0xC0000101 /* the CPU's KPCR */

/* ---- CPU features found on the boot CPU (arch/x86_64/cpu.c) ---- */
typedef struct _HAL_FEATURES {
    BOOLEAN Nx, Smep, Smap, Umip, X2Apic, InvariantTsc, TscDeadline, GlobalPages, Page1G, MachineCheck;
    ULONG64 TscHz;
    CHAR Brand[49];
} HAL_FEATURES;
extern HAL_FEATURES HalFeatures;

/* ---- Start-up, boot CPU, in this order ---- */
VOID HalInitializeSerial(VOID);
VOID HalInitializeBootProcessor(PKPCR Pcr); /* GDT, IDT, TSS, GS, CR0/CR4, features; before memory is there */
VOID HalInitializeAcpi(ULONG64 Rsdp);       /* after MmInitializeSystem: MADT, IRQ overrides */
ULONG HalCountProcessors(VOID);             /* that the MADT lists, at least 1 */
VOID HalInitializeInterrupts(VOID);         /* LAPIC, I/O APIC, timer calibration */
VOID HalInitializeProcessor(PKPCR Pcr);     /* the same on each other CPU, run by that CPU */
VOID HalStartProcessors(ULONG Maximum);     /* INIT/SIPI to the MADT's CPUs; prints the ones that do not answer */
VOID HalStartClock(VOID);                   /* each CPU: 64 Hz at CLOCK_LEVEL (and the seeded jitter) */

/* ---- The power button (powerbutton.c); any IRQL ---- */
VOID HalEnablePowerButton(VOID);       /* from now on it is remembered that it was pressed */
BOOLEAN HalIsPowerButtonPressed(VOID); /* since then; FALSE without a button */

/* ---- Interrupts ---- */
VOID HalRequestSoftwareInterrupt(KIRQL Level);     /* self-IPI 0x1F (APC_LEVEL) or 0x2F (DISPATCH_LEVEL) */
VOID HalRequestIpi(ULONG Processor, UCHAR Vector); /* to one CPU by its number */
VOID HalRequestNmi(ULONG Processor);
typedef VOID HAL_INTERRUPT_ROUTINE(PVOID Context);
typedef HAL_INTERRUPT_ROUTINE *PHAL_INTERRUPT_ROUTINE;
/* Gives out a free device vector at level Irql (3..11); the routine runs at that IRQL with IF = 1, after EOI order of
 * trap.c. Returns the vector, 0 when none is free. PASSIVE. */
UCHAR HalConnectVector(KIRQL Irql, PHAL_INTERRUPT_ROUTINE Routine, PVOID Context);
VOID HalDisconnectVector(UCHAR Vector);
BOOLEAN HalRouteIsaInterrupt(ULONG Irq, UCHAR Vector, ULONG Processor); /* I/O APIC; Vector 0: mask the line again */
VOID HalGetMsiMessage(UCHAR Vector, ULONG Processor, ULONG64 *Address, ULONG *Data);

/* ---- Time ---- */
ULONG64 HalReadTsc(VOID);
VOID HalStall(ULONG MicroSeconds);
ULONG64 HalReadRealTimeClock(VOID); /* 100 ns units since 1601; boot CPU */
#define CLOCK_HZ 64
#define TIME_INCREMENT 156250 /* 100 ns units per tick */

/* ---- Console ---- */
VOID HalSerialPut(ULONG Port, PCSTR Text); /* port 1 or 2; polled; any IRQL; nothing when the UART does not answer */
BOOLEAN HalHasSerial(ULONG Port);
VOID HalSerialDrain(VOID); /* returns when all has been sent; any IRQL */
typedef struct _HAL_FRAMEBUFFER {
    volatile ULONG *Base; /* mapped; NULL: none */
    ULONG Width, Height, PitchBytes;
} HAL_FRAMEBUFFER;
extern HAL_FRAMEBUFFER HalFramebuffer;
VOID HalInitializeFramebuffer(VOID); /* maps the boot protocol's one, or sets a mode through the Bochs DISPI ports */

/* ---- Thread switch (switch.asm) ---- */
/* Saves the callee's registers on the old thread's stack, moves to the new thread's. Called with the dispatcher lock
 * held at DISPATCH_LEVEL; returns in the context of the new thread. */
VOID KiSwapContext(PKTHREAD Old, PKTHREAD New);
/* Lays out a new thread's stack so that the first switch to it enters KiThreadStartup. Returns the RSP. */
ULONG64 KiPrepareStack(ULONG64 StackBase, PKTHREAD Thread);
/* Runs Routine() on another stack and comes back: the DPC stack. */
VOID KiCallOnStack(ULONG64 StackTop, VOID (*Routine)(VOID));
NTSTATUS KiCallGuarded(VOID (*Routine)(PVOID), PVOID Context);
extern const UCHAR KiGuardLanding[]; /* where it goes on after an access violation */
/* The innermost KiCallGuarded of the current thread, which is inside one, returns Status. At the IRQL of that call. */
DECLSPEC_NORETURN VOID KiEndGuarded(NTSTATUS Status);

/* ---- The end ---- */
/* Into a KD_REGISTERS: all that a debugger needs to unwind from a function, its place and the registers that it keeps
 * for its caller. A macro, because a debugger would show an inlined function as a frame of its own. */
#define HAL_CAPTURE_REGISTERS(Now)                                                                               \
    __asm__ volatile("mov %%r15, %0\n\tmov %%r14, %1\n\tmov %%r13, %2\n\tmov %%r12, %3\n\t"                      \
                     "mov %%rbp, %4\n\tmov %%rbx, %5\n\tmov %%rsp, %6\n\t"                                       \
                     "lea 0f(%%rip), %%rax\n0:\tmov %%rax, %7\n\tpushfq\n\tpop %%rax\n\tmov %%rax, %8"           \
                     : "=m"(Now.R15), "=m"(Now.R14), "=m"(Now.R13), "=m"(Now.R12), "=m"(Now.Rbp), "=m"(Now.Rbx), \
                       "=m"(Now.Rsp), "=m"(Now.Rip), "=m"(Now.EFlags)                                            \
                     :                                                                                           \
                     : "rax")
DECLSPEC_NORETURN VOID HalHalt(VOID);
VOID HalLeaveEmulator(BOOLEAN IsExpected); /* QEMU's debug exit, Bochs' shutdown port; returns when neither is there */

/* ---- Paging primitives ---- */
static FORCEINLINE VOID HalInvalidatePage(ULONG64 Va) {
    __asm__ volatile("invlpg (%0)" : : "r"(Va) : "memory");
}
VOID HalFlushTlb(VOID); /* this CPU, global entries too */

/* ---- Ports and idle ---- */
static FORCEINLINE VOID HalOut8(USHORT Port, UCHAR Value) {
    __asm__ volatile("outb %0, %1" : : "a"(Value), "Nd"(Port));
}
static FORCEINLINE UCHAR HalIn8(USHORT Port) {
    UCHAR Value;
    __asm__ volatile("inb %1, %0" : "=a"(Value) : "Nd"(Port));
    return Value;
}
static FORCEINLINE VOID HalOut16(USHORT Port, USHORT Value) {
    __asm__ volatile("outw %0, %1" : : "a"(Value), "Nd"(Port));
}
static FORCEINLINE USHORT HalIn16(USHORT Port) {
    USHORT Value;
    __asm__ volatile("inw %1, %0" : "=a"(Value) : "Nd"(Port));
    return Value;
}
static FORCEINLINE VOID HalOut32(USHORT Port, ULONG Value) {
    __asm__ volatile("outl %0, %1" : : "a"(Value), "Nd"(Port));
}
static FORCEINLINE ULONG HalIn32(USHORT Port) {
    ULONG Value;
    __asm__ volatile("inl %1, %0" : "=a"(Value) : "Nd"(Port));
    return Value;
}
/* sti; hlt in one breath: an interrupt that comes between the test and the halt is not lost. Returns with IF = 1. */
static FORCEINLINE VOID HalIdle(VOID) {
    __asm__ volatile("sti; hlt" : : : "memory");
}
/* The first statement of a function without a caller: tells a debugger that the stack begins here. No code. */
static FORCEINLINE VOID HalMarkFirstFrame(VOID) {
    __asm__ volatile(".cfi_undefined rip");
}

#endif
