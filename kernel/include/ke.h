/* ke.h: the kernel proper (ke/) for other components: CPUs, threads, DPCs, traps, dying. Each concept has a header. */
#ifndef _KE_H_
#define _KE_H_

#include <ntifs.h>

#include <exception.h>
#include <prcb.h>
#include <sleeplock.h>
#include <spinlock.h>
#include <thread.h>
#include <timekeeping.h>
#include <trapframe.h>

/* ---- Start-up (init/startup.c) ---- */
DECLSPEC_NORETURN VOID KiSystemStartup(ULONG Magic,
                                       ULONG64 Info); /* entry.asm jumps here on the boot CPU, IF = 0, CR8 = 0 */
VOID KeInitializeProcessor(PKPCR Pcr, ULONG Number);  /* PRCB, queues, idle thread = the caller */
VOID KeActivateProcessor(VOID);                       /* the CPU can take interrupts and threads now */
DECLSPEC_NORETURN VOID KiIdleLoop(VOID);

/* The boot loader's report (bootinfo.h). */
struct _BOOT_INFO;
extern struct _BOOT_INFO *KeBootInfo;
/* Command-line options ("name=value" or "name"). Any IRQL. */
BOOLEAN KeGetBootOption(PCSTR Name, PCHAR Value, SIZE_T ValueBytes);
ULONG64 KeGetBootOptionNumber(PCSTR Name, ULONG64 Default);
extern ULONG64 KeSeed; /* seed= of the command line: 0 is not seeded */

/* ---- Asynchronous procedure calls: exported, and declared in no header for drivers, as in the WDK: a driver that uses
 * them brings declarations of its own, with an enumeration of this name. ---- */
typedef enum _KAPC_ENVIRONMENT {
    OriginalApcEnvironment,
    AttachedApcEnvironment,
    CurrentApcEnvironment
} KAPC_ENVIRONMENT;

VOID KeInitializeApc(PRKAPC Apc, PKTHREAD Thread, KAPC_ENVIRONMENT Environment, PKKERNEL_ROUTINE KernelRoutine,
                     PKRUNDOWN_ROUTINE RundownRoutine, PKNORMAL_ROUTINE NormalRoutine, KPROCESSOR_MODE Mode,
                     PVOID Context);
BOOLEAN KeInsertQueueApc(PRKAPC Apc, PVOID SystemArgument1, PVOID SystemArgument2, KPRIORITY Increment);
BOOLEAN KeRemoveQueueApc(PRKAPC Apc);

/* ---- Traps (arch calls these) ---- */
VOID KiDispatchInterrupt(VOID); /* vector 0x2F: drain DPCs, then switch threads. At DISPATCH_LEVEL, IF = 1. */
VOID KiDeliverApc(VOID);        /* vector 0x1F. At APC_LEVEL, IF = 1. */
VOID KeUpdateSystemTime(PKTRAP_FRAME Frame); /* clock, each CPU, at CLOCK_LEVEL */
VOID KiIpiInterrupt(PKTRAP_FRAME Frame);     /* vector 0xE1, at IPI_LEVEL */
VOID KiTrap(PKTRAP_FRAME Frame);             /* exceptions 0..31, from trap.asm: arch/x86_64/trap.c */
BOOLEAN KiFixUpFault(PKTRAP_FRAME Frame);    /* arch/x86_64/trap.c */
VOID KiFreezeInterrupt(PKTRAP_FRAME Frame);  /* NMI: returns only if it was no freeze request */

/* ---- TLB and IPIs ---- */
/* Invalidates Count pages from Va on all CPUs and returns when none can use the old translation. <= IPI_LEVEL - 1, IF = 1. */
VOID KeFlushTb(PVOID Va, ULONG Count);

#endif
