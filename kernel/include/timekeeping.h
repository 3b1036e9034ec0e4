/* timekeeping.h: the clock, and timers in memory that is about to go. */
#ifndef _TIMEKEEPING_H_
#define _TIMEKEEPING_H_

#include <prcb.h>

/* ---- Clock and watchdogs: 0x133 and 0x101 come out of KeUpdateSystemTime ---- */
extern volatile ULONG64 KiInterruptTime; /* 100 ns units since boot */
extern volatile ULONG64 KiTickCount;
/* The number of set timers that have themselves or their DPC in pages of one hash; 0: these pages have none. */
#define KI_TIMER_PAGES 1024
extern volatile USHORT KiTimerPages[KI_TIMER_PAGES];
static FORCEINLINE BOOLEAN KiMayHoldTimer(const void *Address) {
    return KiTimerPages[(ULONG64)Address / PAGE_SIZE % KI_TIMER_PAGES] != 0;
}
/* Memory of pool or of an image goes: 0xC7 if a set timer lies in it (0), its DPC (1), or the DPC's routine (2).
 * <= DISPATCH_LEVEL. */
extern VOID (*KeTimerCheckHook)(PVOID Start, SIZE_T Bytes);
static FORCEINLINE VOID KeCheckForTimer(PVOID Start, SIZE_T Bytes) {
    if (KeTimerCheckHook != NULL) {
        KeTimerCheckHook(Start, Bytes);
    }
}
extern volatile ULONG64 KiNextTimerDue; /* ke/timer.c: interrupt time of the earliest timer, ~0: none */
extern KDPC KiTimerExpireDpc;           /* ke/timer.c */
extern ULONG64 KiUptimeSeconds;         /* that had passed at the start: uptime= of the command line, else 0 */
extern ULONG64 KiBootTime;              /* system time at interrupt time 0 */
VOID KiInitializeClock(VOID);
extern VOID (*KiClockHook)(PKTRAP_FRAME Frame); /* each tick of each CPU, at CLOCK_LEVEL; NULL: no listener */
VOID KiDispatchThreadSwitch(VOID); /* ke/scheduler.c: quantum end and NextThread; at DISPATCH_LEVEL, IF = 1 */

#endif
