/* random.c: rand and srand, with the one state of all drivers that the C run-time library gives them. */
#include <ntddk.h>

static volatile LONG State = 1;

/* Any IRQL. 0 .. RAND_MAX; the numbers repeat for the same seed as long as no other caller asks in between. */
int rand(void) {
    LONG Old, New;
    do {
        Old = State;
        New = (LONG)((ULONG)Old * 214013 + 2531011);
    } while (InterlockedCompareExchange(&State, New, Old) != Old);
    return (int)((ULONG)New >> 16 & RAND_MAX);
}

/* Any IRQL. */
void srand(unsigned int Seed) {
    InterlockedExchange(&State, (LONG)Seed);
}
