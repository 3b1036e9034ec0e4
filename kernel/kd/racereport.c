/* racereport.c: data races in words: both accesses in one line, then both stacks (BUILD=race).
 *
 * A race may be found while the print lock is held, and in an interrupt. So it is only kept, once for each pair of
 * instructions, and told by the next access below DISPATCH_LEVEL, where no spin lock is held; at the latest by the dying
 * machine. Each line begins with "race:", and the tests fail on it. In front of each race is an empty line, which ends
 * one that another CPU may have begun. */
#include "race.h"

#include <bugcheck.h>
#include <mm.h>
#include <rtl.h>

#define MAXIMUM_RACES 64
#define LINE_BYTES 400

typedef struct _RACE {
    volatile BOOLEAN IsWhole;
    BOOLEAN IsSeen; /* Other is there */
    RACE_ACCESS Watched, Other;
    ULONG64 Before, After;
} RACE;

volatile LONG KdpRacesUntold;
static RACE Races[MAXIMUM_RACES];
static volatile LONG Kept, Lost; /* Lost: beyond MAXIMUM_RACES */
static LONG Told;
static volatile LONG IsTelling;
static volatile LONG KeepLock; /* interrupts are off where it is held */

/* ---- Keeping ---- */

/* The same two instructions, whichever of the two was watched; of a race without the other one: any with this one. */
static BOOLEAN IsKnown(const RACE_ACCESS *Watched, const RACE_ACCESS *Other) {
    ULONG64 A = Watched->Frame[0].Rip, B = Other ? Other->Frame[0].Rip : 0;
    for (LONG i = 0; i < Kept; i++) {
        ULONG64 X = Races[i].Watched.Frame[0].Rip, Y = Races[i].IsSeen ? Races[i].Other.Frame[0].Rip : 0;
        if (Other == NULL ? A == X || A == Y : (A == X && B == Y) || (A == Y && B == X)) {
            return TRUE;
        }
    }
    return FALSE;
}

/* See race.h. Interrupts are off, and another holder's are too. */
VOID KdpKeepRace(const RACE_ACCESS *Watched, const RACE_ACCESS *Other, ULONG64 Before, ULONG64 After) {
    while (InterlockedExchange(&KeepLock, 1) != 0) {
        YieldProcessor();
    }
    if (!IsKnown(Watched, Other)) {
        if (Kept == MAXIMUM_RACES) {
            Lost++;
        } else {
            RACE *New = &Races[Kept];
            New->Watched = *Watched;
            New->IsSeen = Other != NULL;
            if (Other != NULL) {
                New->Other = *Other;
            }
            New->Before = Before;
            New->After = After;
            WriteRelease(&Kept, Kept + 1); /* pairs with the acquire in KdpTellRaces */
            InterlockedIncrement(&KdpRacesUntold);
        }
    }
    WriteRelease(&KeepLock, 0);
}

/* ---- Telling ---- */

static VOID Tell(PCSTR Format, ...) {
    static CHAR Line[LINE_BYTES]; /* IsTelling guards it */
    va_list Arguments;
    va_start(Arguments, Format);
    RtlFormatV(Line, sizeof(Line), Format, Arguments);
    va_end(Arguments);
    KdPrintf("race: %s\n", Line);
}

static PCSTR VerbOf(const RACE_ACCESS *Access) {
    return Access->Flags & RACE_WRITE ? "writes" : "reads";
}

/* "secret!SecretStore (secret.c:42)". */
static VOID FormatPlace(PCHAR Buffer, SIZE_T Bytes, const RACE_ACCESS *Access) {
    KD_SYMBOL Symbol;
    if (KdLookupAddress(Access->Frame[0].Rip - 1, &Symbol) && Symbol.File != NULL && Symbol.Function != NULL) {
        RtlFormat(Buffer, Bytes, "%s!%s (%s:%u)", Symbol.Module, Symbol.Function, Symbol.File, Symbol.Line);
    } else {
        KdFormatFrame(Buffer, Bytes, &Access->Frame[0]);
    }
}

static VOID TellAccess(const RACE_ACCESS *Access) {
    CHAR Place[200];
    Tell("    CPU %u at IRQL %u, %s%s%s, %s %llu byte%s at 0x%llx%s:", Access->Processor, Access->Irql,
         Access->IsDpc ? "in a DPC on top of '" : "thread '", Access->Thread, "'", VerbOf(Access), Access->Bytes,
         Access->Bytes == 1 ? "" : "s", Access->Address, Access->Flags & RACE_MARKED ? ", marked" : "");
    for (ULONG i = 0; i < Access->FrameCount; i++) {
        KdFormatFrame(Place, sizeof(Place), &Access->Frame[i]);
        Tell("        %s", Place);
    }
}

static VOID TellRace(const RACE *Race) {
    CHAR Here[160], There[160];
    KdPrintf("\n");
    FormatPlace(Here, sizeof(Here), &Race->Watched);
    if (Race->IsSeen) {
        FormatPlace(There, sizeof(There), &Race->Other);
        Tell("%s %s while %s %s", Here, VerbOf(&Race->Watched), There, VerbOf(&Race->Other));
    } else {
        Tell("%s %s while the value changes: the other access was not seen", Here, VerbOf(&Race->Watched));
    }
    MmDescribeAddress(Race->Watched.Address, There, sizeof(There));
    Tell("    0x%llx: %s; the value was 0x%llx, then 0x%llx", Race->Watched.Address, There, Race->Before, Race->After);
    TellAccess(&Race->Watched);
    if (Race->IsSeen) {
        TellAccess(&Race->Other);
    }
}

/* See race.h. */
VOID KdpTellRaces(VOID) {
    if (InterlockedExchange(&IsTelling, 1) != 0) {
        return;
    }
    while (Told < ReadAcquire(&Kept)) {
        TellRace(&Races[Told++]);
        InterlockedDecrement(&KdpRacesUntold);
    }
    WriteRelease(&IsTelling, 0);
}

/* The dying machine's last chance; the CPU that was at it may be frozen. */
static VOID TellTheRest(VOID) {
    IsTelling = KeepLock = 0;
    KdpEndRaceWatches();
    KdEnterDying();
    KdpTellRaces();
    if (Lost != 0) {
        Tell("and more, that are not kept: %d", Lost);
    }
}
KE_BUG_STEP(05, TellTheRest, NULL);
