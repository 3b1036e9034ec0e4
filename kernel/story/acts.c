/* acts.c: the five acts: luck, pressure, control, the fixes, the crash. Each is told while it happens. */
#include "story-private.h"
#include <kd.h>
#include <mm.h>

#define NUMBER_LUCK 42
#define NUMBER_FIXED 43
#define NUMBER_DOOM 44

static NTSTATUS ActLuck(STORY_DRIVER *Driver) {
    StoryHeading("Act 1 of 5: luck");
    StorySay(
        "secret.sys is a small WDM driver. It allocates a structure from PagedPool and guards it with a spin lock. "
        "To hold a spin lock is to run at DISPATCH_LEVEL (CR8 = 2), where a page fault cannot be served. The page "
        "has just been written, so it is resident, and nothing faults:");
    NTSTATUS Status = StoryLoad(Driver, "secret");
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    CHAR Where[192];
    MmDescribeAddress((ULONG64)Driver->Report.Address, Where, sizeof(Where));
    StorySay("The structure: %p, %s.", Driver->Report.Address, Where);
    StoryShowPte("before the store:", Driver->Report.Address);
    Status = StoryStore(Driver, NUMBER_LUCK);
    StoryShowPte("after the store:", Driver->Report.Address);
    if (NT_SUCCESS(Status)) {
        StorySay("It works. The bug is in the driver all the same; most test machines would never show it.");
    }
    return Status;
}

static NTSTATUS ActPressure(STORY_DRIVER *Driver) {
    StoryHeading("Act 2 of 5: memory pressure");
    StorySay(
        "Memory is wanted elsewhere. The trimmer takes the page out of the working set (V becomes 0, the frame keeps "
        "the data: transition), the modified-page writer writes it to the page file, and the frame is given away. The "
        "PTE remembers where the page is:");
    return StoryPushOut(Driver);
}

static NTSTATUS ActControl(STORY_DRIVER *Driver) {
    MM_STATISTICS Before, After;
    ULONG64 Number = 0;
    StoryHeading("Act 3 of 5: control, the same touch at PASSIVE_LEVEL");
    StorySay("The driver now reads the structure without the lock, at IRQL 0. The same page fault comes; its handler "
             "may wait, "
             "so it reads the page file and the thread sleeps until the disk has answered:");
    MmQueryStatistics(&Before);
    NTSTATUS Status = StoryRead(Driver, &Number);
    MmQueryStatistics(&After);
    StoryShowFault(Driver->Report.Address);
    StoryShowPte("after the read:", Driver->Report.Address);
    if (!NT_SUCCESS(Status) || Number != NUMBER_LUCK) {
        return StoryFail("read %I64u, status 0x%08X", Number, Status);
    }
    StorySay(
        "The page is back and the value is right: %I64u. Page faults: %I64u, of them read from the page file: %I64u.",
        Number, After.PageFaults - Before.PageFaults, After.PageReads - Before.PageReads);
    return STATUS_SUCCESS;
}

static NTSTATUS TryFix(PCSTR Name, PCSTR Explanation) {
    STORY_DRIVER Driver;
    ULONG64 Number = 0;
    NTSTATUS Status;
    StorySay("%s.sys: %s", Name, Explanation);
    if (!NT_SUCCESS(Status = StoryLoad(&Driver, Name)) || !NT_SUCCESS(Status = StoryPushOut(&Driver)) ||
        !NT_SUCCESS(Status = StoryStore(&Driver, NUMBER_FIXED)) || !NT_SUCCESS(Status = StoryRead(&Driver, &Number))) {
        return Status;
    }
    StoryShowFault(Driver.Report.Address);
    StoryShowPte("after the store:", Driver.Report.Address);
    if (Number != NUMBER_FIXED) {
        return StoryFail("%s: stored %u, read %I64u", Name, NUMBER_FIXED, Number);
    }
    StorySay("Works: the number is %I64u.", Number);
    return STATUS_SUCCESS;
}

static NTSTATUS ActFixes(VOID) {
    StoryHeading("Act 4 of 5: the fixes, with the page out");
    NTSTATUS Status = TryFix("nonpaged", "the structure lies in NonPagedPoolNx. The trimmer may not take its page:");
    if (NT_SUCCESS(Status)) {
        Status =
            TryFix("mutex", "a FAST_MUTEX in place of the spin lock. It raises only to APC_LEVEL (CR8 = 1), where the "
                            "fault handler may wait for the disk:");
    }
    return Status;
}

static NTSTATUS ActCrash(STORY_DRIVER *Driver) {
    StoryHeading("Act 5 of 5: the same driver again, unfixed");
    NTSTATUS Status = StoryPushOut(Driver);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    StorySay("Now: CR8 goes from 0 to 2, xchg takes the lock, the store to %p raises #PF, and the first thing that the "
             "handler asks is the IRQL. It is 2, so nothing may wait, so nothing can be read:",
             Driver->Report.Address);
    return StoryStore(Driver, NUMBER_DOOM);
}

NTSTATUS StoryFiveActs(const SCENARIO_ROW *Scenario) {
    STORY_DRIVER Driver;
    NTSTATUS Status;
    UNREFERENCED_PARAMETER(Scenario);
    if (!NT_SUCCESS(Status = ActLuck(&Driver)) || !NT_SUCCESS(Status = ActPressure(&Driver)) ||
        !NT_SUCCESS(Status = ActControl(&Driver)) || !NT_SUCCESS(Status = ActFixes())) {
        return Status;
    }
    return ActCrash(&Driver);
}
