/* apc.c: the APC software interrupt, vector 0x1F: what a CPU takes when its IRQL falls from APC_LEVEL to PASSIVE_LEVEL.
 *
 * NT uses it to run a piece of code in a given thread, above all to complete I/O. Here a request completes by its event alone
 * (paging I/O does so on NT, too: that is why a page fault is legal at APC_LEVEL), so nothing is ever queued to a thread,
 * and what the interrupt leaves behind is that it came. The level itself, and its order behind DISPATCH, are real. */
#include <arch.h>
#include <ke.h>

volatile LONG64 KiApcInterrupts; /* on all CPUs */

/* At APC_LEVEL, IF = 1, on the interrupted thread's stack. */
VOID KiDeliverApc(VOID) {
    InterlockedIncrement64(&KiApcInterrupts);
}
