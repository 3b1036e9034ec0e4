/* pressure.c: memory pressure: a hungry thread eats paged pool until the driver's page is taken.
 *
 * The driver stores now and then, as drivers do; between two stores the thread touches ever more of its own pages. The
 * trimmer prefers pages that were not accessed lately, so sooner or later the store finds its page gone. */
#include "story-private.h"
#include <kd.h>
#include <mm.h>

#define HUNGRY_TAG 'rgnH'
#define CHUNKS 128 /* as many make up all of the RAM and the page file */
#define MAXIMUM_ROUNDS 10000
#define STORE_EVERY 256 /* rounds: more than the trimmer needs to look at every page twice */

typedef struct _HUNGRY_CHUNK {
    struct _HUNGRY_CHUNK *Next;
    ULONG64 Number;
} HUNGRY_CHUNK;

static ULONG64 ChunkPages;

/* One page more in the working set for each page of the chunk; the first holds the link. */
static HUNGRY_CHUNK *EatChunk(HUNGRY_CHUNK *Eaten, ULONG64 Number) {
    HUNGRY_CHUNK *Chunk = ExAllocatePoolWithTag(PagedPool, ChunkPages * PAGE_SIZE, HUNGRY_TAG);
    if (Chunk == NULL) {
        return Eaten;
    }
    for (ULONG64 Page = 0; Page < ChunkPages; Page++) {
        *(volatile ULONG64 *)((PUCHAR)Chunk + Page * PAGE_SIZE + sizeof(HUNGRY_CHUNK)) = Number + Page;
    }
    Chunk->Next = Eaten;
    Chunk->Number = Number;
    return Chunk;
}

/* Touches what was eaten, chunk by chunk, as long as the driver's page stays: with all of RAM and the page file in use,
 * a whole turn takes minutes. */
static VOID TouchEaten(HUNGRY_CHUNK *Eaten, PVOID DriversPage) {
    for (; Eaten && MmGetPageState((ULONG64)DriversPage, NULL) == PageValid; Eaten = Eaten->Next) {
        for (ULONG64 Page = 0; Page < ChunkPages; Page++) {
            ++*(volatile ULONG64 *)((PUCHAR)Eaten + Page * PAGE_SIZE + sizeof(HUNGRY_CHUNK));
        }
    }
}

NTSTATUS StoryUnderPressure(const SCENARIO_ROW *Scenario) {
    STORY_DRIVER Driver;
    HUNGRY_CHUNK *Eaten = NULL;
    MM_STATISTICS Memory;
    MmQueryStatistics(&Memory);
    ChunkPages = (Memory.TotalPages + Memory.PageFileSlots) / CHUNKS;
    NTSTATUS Status = StoryLoad(&Driver, Scenario->Driver);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    StorySay("No trimming by hand now. A hungry thread takes paged pool, and the driver stores a number now and then.");
    Status = StoryStore(&Driver, 0);
    for (ULONG64 Round = 1; Round <= MAXIMUM_ROUNDS && NT_SUCCESS(Status); Round++) {
        HUNGRY_CHUNK *Before = Eaten;
        Eaten = EatChunk(Eaten, Round);
        MmQueryStatistics(&Memory);
        if (Eaten == Before) {
            TouchEaten(Eaten, Driver.Report.Address);
        }
        if (Round % STORE_EVERY == 0 || MmGetPageState((ULONG64)Driver.Report.Address, NULL) != PageValid) {
            KdPrintf("  round %4I64u: %6I64u pages available, %6I64u trimmed, %6I64u written to the page file\n", Round,
                     Memory.AvailablePages, Memory.Trims, Memory.PageWrites);
            StoryShowPte("the driver's page:", Driver.Report.Address);
            Status = StoryStore(&Driver, Round);
        }
    }
    return NT_SUCCESS(Status) ? StoryFail("%u rounds and the driver still lives", MAXIMUM_ROUNDS) : Status;
}
