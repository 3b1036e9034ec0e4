/* race.c: data races, found by delaying an access and watching its address meanwhile (BUILD=race).
 *
 * A data race is two accesses to the same bytes by two CPUs at one time, of which one writes and not both are marked as
 * meant. The compiler calls a routine in front of each access (racecalls.c). Most calls only look whether the bytes are
 * watched by another CPU. Some become a watch themselves: of each call in the code the first, and then fewer and fewer,
 * down to one in a few hundred, so that code that seldom runs is watched as well as a loop:
 *
 *      CPU 0: about to write Count                     CPU 1
 *          arms its watchpoint: 8 bytes at Count
 *          waits                                       about to read Count: meets the watchpoint,
 *          waits                                       leaves its own stack in it, and goes on
 *          finds the other's stack: a race
 *          goes on to write
 *
 * No order of locks is followed and nothing is deduced: two accesses that were caught side by side cannot be ordered by
 * a lock, so a report is never a false one. The wait is at HIGH_LEVEL and with interrupts off: the watching CPU can be
 * disturbed by an NMI alone, so one watchpoint for each CPU is enough. So a race of two threads, or of a thread and an
 * interrupt, is only seen when they run on two CPUs.
 *
 * The value is read before and after the wait. When it has changed and no access was seen, code without the compiler's
 * calls has written it: assembly, or a driver that was not built for this. That is a race as well.
 *
 * The code that is called from here is instrumented too: Inside keeps its calls out. */
#include "race.h"

#include <arch.h>
#include <bugcheck.h>

#define EVERY 400       /* the fewest: one watch in so many calls, at the least; raceevery= */
#define PAUSES 100      /* how long one watch is; racepauses= */
#define SEEDED_PAUSES 2 /* with a seed: each gives every other CPU a turn, which may be as long as a tick */
#define LAST_PAUSES 8   /* after a hit, for the other access to be made */
#define PATIENCE 1000000

/* The lowest bits of a state; above them is the number of the watch: the look at a watchpoint and its taking are two
 * steps, and the next watch may have begun in between. */
enum { WatchFree, WatchArmed, WatchTaken, WatchHit, WatchKinds };
typedef struct _RACE_WATCH {
    volatile LONG64 State;
    RACE_ACCESS Mine, Other; /* Other is whole in WatchHit */
    KD_FRAME First;          /* of Mine, whose stack is walked when it has been hit */
    ULONG64 Before;          /* the value */
} __attribute__((aligned(64))) RACE_WATCH;

/* A call in the code, or some that share a place in the table. Two CPUs may count at one time: a count more or less. */
typedef struct _RACE_PLACE {
    USHORT Left; /* calls until the next watch */
    USHORT Step; /* between the last two */
} RACE_PLACE;
#define PLACE_BITS 16

volatile BOOLEAN KdpRaceIsOn;
volatile LONG KdpRaceWatches;
static RACE_WATCH Watch[MAXIMUM_PROCESSORS];
static RACE_PLACE Place[1 << PLACE_BITS];
static volatile BOOLEAN Inside[MAXIMUM_PROCESSORS];
static ULONG64 Random;
static ULONG Every = EVERY, Pauses = PAUSES;

/* ---- The value ---- */

extern const UCHAR KdpWatchedRead[], KdpWatchedReadEnd[];

/* The page is not there: as if nothing could be watched. */
static BOOLEAN GiveUpRead(PKTRAP_FRAME Frame) {
    Frame->Rcx = FALSE;
    return TRUE;
}
KE_FIX_UP(KdpWatchedRead, KdpWatchedReadEnd, GiveUpRead);

/* At HIGH_LEVEL, where a page fault brings no page in. FALSE: it would be one. */
static DECLSPEC_NOINLINE BOOLEAN ReadWord(ULONG64 Address, ULONG64 *Word) {
    ULONG64 IsThere;
    __asm__ volatile("mov $1, %%ecx\nKdpWatchedRead:\n\tmov (%2), %%rax\nKdpWatchedReadEnd:"
                     : "=&a"(*Word), "=&c"(IsThere)
                     : "r"(Address)
                     : "memory");
    return (BOOLEAN)IsThere;
}

/* Those of the first bytes that lie in one aligned word: no read of it crosses a page. */
static BOOLEAN ReadValue(ULONG64 Address, ULONG64 Bytes, ULONG64 *Value) {
    ULONG64 Skipped = Address & 7, Word;
    if (!ReadWord(Address - Skipped, &Word)) {
        return FALSE;
    }
    Word >>= 8 * Skipped;
    *Value = Bytes < 8 ? Word & ((1ULL << 8 * Bytes) - 1) : Word;
    return TRUE;
}

/* ---- One access ---- */

static VOID Begin(RACE_ACCESS *Access, ULONG64 Address, ULONG64 Bytes, ULONG Flags, KIRQL Irql) {
    Access->Address = Address;
    Access->Bytes = Bytes;
    Access->Flags = Flags;
    Access->Irql = Irql;
}

/* The rest, which takes longer; Prcb is that of its CPU. */
static VOID Describe(RACE_ACCESS *Access, PKPRCB Prcb, const KD_FRAME *First) {
    PCSTR Name = Prcb->CurrentThread == Prcb->IdleThread ? "idle" : Prcb->CurrentThread->Name;
    Access->Processor = Prcb->Number;
    Access->IsDpc = Prcb->DpcRoutineActive;
    ULONG Length = 0;
    for (; Length + 1 < sizeof(Access->Thread) && Name[Length] != 0; Length++) {
        Access->Thread[Length] = Name[Length];
    }
    Access->Thread[Length] = 0;
    Access->FrameCount = KdWalkStack(First, Access->Frame, RACE_FRAMES);
}

/* ---- The watched access ---- */

static ULONG64 Draw(VOID) {
    Random ^= Random << 13;
    Random ^= Random >> 7;
    Random ^= Random << 17;
    return Random;
}

/* See race.h. */
BOOLEAN KdpIsRaceWatchDue(ULONG64 Rip) {
    RACE_PLACE *This = &Place[Rip * 0x9E3779B97F4A7C15ULL >> (64 - PLACE_BITS)];
    ULONG Left = This->Left, Step = This->Step + 1;
    if (Left != 0) {
        This->Left = (USHORT)(Left - 1);
        return FALSE;
    }
    Step = Step < Every ? Step : Every;
    This->Step = (USHORT)Step;
    This->Left = (USHORT)(Step / 2 + Draw() % Step);
    return TRUE;
}

/* A CPU that takes the watchpoint runs with interrupts off until it has left its stack, unless an NMI freezes it. */
static BOOLEAN WasHit(RACE_WATCH *This, LONG64 Number) {
    if (InterlockedCompareExchange64(&This->State, Number + WatchFree, Number + WatchArmed) == Number + WatchArmed) {
        return FALSE;
    }
    for (ULONG Round = 0; ReadAcquire64(&This->State) != Number + WatchHit && Round < PATIENCE; Round++) {
        YieldProcessor();
    }
    return ReadAcquire64(&This->State) == Number + WatchHit;
}

static VOID Wait(RACE_WATCH *This, LONG64 Number) {
    ULONG Left = Pauses;
    BOOLEAN IsHit = FALSE;
    while (Left-- != 0) {
        YieldProcessor();
        if (!IsHit && This->State == Number + WatchHit) {
            IsHit = TRUE;
            Left = Left < LAST_PAUSES ? Left : LAST_PAUSES;
        }
    }
}

/* The watch is over. At HIGH_LEVEL, interrupts off. */
static VOID Judge(RACE_WATCH *This, PKPRCB Prcb, BOOLEAN IsHit) {
    ULONG64 After;
    if (!ReadValue(This->Mine.Address, This->Mine.Bytes, &After)) {
        After = This->Before;
    }
    if (IsHit || After != This->Before) {
        Describe(&This->Mine, Prcb, &This->First);
        KdpKeepRace(&This->Mine, IsHit ? &This->Other : NULL, This->Before, After);
    }
}

/* At HIGH_LEVEL, interrupts off; Irql is the access's own. */
static VOID WatchAccess(RACE_WATCH *This, ULONG64 Address, ULONG64 Bytes, ULONG Flags, KIRQL Irql,
                        const KD_FRAME *First) {
    if (!ReadValue(Address, Bytes, &This->Before)) {
        return;
    }
    Begin(&This->Mine, Address, Bytes, Flags, Irql);
    This->First = *First;
    LONG64 Number = This->State / WatchKinds * WatchKinds + WatchKinds;
    WriteRelease64(&This->State, Number + WatchArmed); /* pairs with the acquire in Compare */
    InterlockedIncrement(&KdpRaceWatches);
    Wait(This, Number);
    InterlockedDecrement(&KdpRaceWatches);
    Judge(This, KeGetCurrentPrcb(), WasHit(This, Number));
    WriteRelease64(&This->State, Number + WatchFree);
}

/* See race.h. */
VOID KdpEndRaceWatches(VOID) {
    KdpRaceIsOn = FALSE;
    for (ULONG Number = 0; Number < KeNumberProcessors; Number++) {
        if (Watch[Number].State % WatchKinds == WatchHit) {
            Judge(&Watch[Number], KiProcessorBlock[Number], TRUE);
        }
    }
}

/* ---- The access that comes in ---- */

/* One instruction stores an aligned word: a marked look at it sees the old one or the new one. */
static BOOLEAN IsWord(const RACE_ACCESS *Access) {
    return Access->Bytes <= 8 && (Access->Bytes & (Access->Bytes - 1)) == 0 &&
           (Access->Address & (Access->Bytes - 1)) == 0;
}

static BOOLEAN Conflicts(const RACE_ACCESS *Watched, ULONG64 Address, ULONG64 Bytes, ULONG Flags) {
    if (Flags == RACE_MARKED && IsWord(Watched)) {
        return FALSE;
    }
    return ((Watched->Flags | Flags) & RACE_WRITE) != 0 && Address < Watched->Address + Watched->Bytes &&
           Watched->Address < Address + Bytes;
}

/* Interrupts are off. */
static VOID Compare(ULONG Self, ULONG64 Address, ULONG64 Bytes, ULONG Flags, const KD_FRAME *First) {
    for (ULONG Number = 0; Number < KeNumberProcessors; Number++) {
        RACE_WATCH *This = &Watch[Number];
        LONG64 Seen = ReadAcquire64(&This->State);
        if (Number != Self && Seen % WatchKinds == WatchArmed && Conflicts(&This->Mine, Address, Bytes, Flags) &&
            InterlockedCompareExchange64(&This->State, Seen - WatchArmed + WatchTaken, Seen) == Seen) {
            Begin(&This->Other, Address, Bytes, Flags, KiCurrentIrql());
            Describe(&This->Other, KeGetCurrentPrcb(), First);
            WriteRelease64(&This->State, Seen - WatchArmed + WatchHit); /* pairs with the acquire in WasHit */
        }
    }
}

/* See race.h. */
VOID KdpRaceAccess(ULONG64 Address, ULONG64 Bytes, ULONG Flags, BOOLEAN IsDue, const KD_FRAME *First) {
    BOOLEAN IsOpen = (__readeflags() & EFLAGS_IF) != 0;
    _disable();
    ULONG Self = KeGetCurrentPrcb()->Number;
    KIRQL Irql = KiCurrentIrql();
    if (!Inside[Self]) {
        Inside[Self] = TRUE;
        BOOLEAN IsDying = KiIsDying(); /* what it does to a frozen CPU's memory is no race */
        if (KdpRaceWatches != 0 && !IsDying) {
            Compare(Self, Address, Bytes, Flags, First);
        }
        if (IsDue && !IsDying) {
            KiSetIrql(HIGH_LEVEL);
            WatchAccess(&Watch[Self], Address, Bytes, Flags, Irql, First);
            KiSetIrql(Irql);
        }
        Inside[Self] = FALSE;
    }
    if (IsOpen) {
        _enable();
        if (KdpRacesUntold != 0 && Irql < DISPATCH_LEVEL) {
            KdpTellRaces();
        }
    }
}

/* ---- The start and the end ---- */

static VOID StartWatching(VOID) {
    Every = (ULONG)KeGetBootOptionNumber("raceevery", EVERY);
    Pauses = (ULONG)KeGetBootOptionNumber("racepauses", KeSeed != 0 ? SEEDED_PAUSES : PAUSES);
    Every = Every == 0 ? 1 : Every < MAXSHORT ? Every : MAXSHORT;
    Random = KeSeed + 0x9E3779B97F4A7C15ULL;
    KdpRaceIsOn = TRUE;
}
KE_STARTUP_STEP(StartBeforeDisks, StartWatching);
