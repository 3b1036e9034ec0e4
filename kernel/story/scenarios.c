/* scenarios.c: the short scenarios, the choice among them, and whether one ended as expected. */
#include "story-private.h"
#include <bugcheck.h>
#include <kd.h>
#include <ldr.h>
#include <mm.h>

#define NUMBER_BEFORE 42
#define NUMBER_AFTER 43

#define SCENARIO(Name, Title, Driver, End, Code, WhatToSee, Run) {Name, Title, Driver, End, Code, WhatToSee, Run},
#define RING_SCENARIO(...) /* a row of another file's */
static const SCENARIO_ROW Scenarios[] KE_ROW(".scenario.0") = {
#include "scenarios.def"
};

/* The boot option that asks for something other than a scenario; NULL: none does. */
static const STORY_MODE_ROW *FindMode(VOID) {
    for (const STORY_MODE_ROW *Row = StoryModes; Row < StoryModesEnd; Row++) {
        if (KeGetBootOption(Row->Name, NULL, 0)) {
            return Row;
        }
    }
    return NULL;
}

/* Early, because the machine may end before the test or scenario that it was started for begins. */
static VOID NameMode(VOID) {
    const STORY_MODE_ROW *Mode = FindMode();
    KeExpectEnd(Mode != NULL ? Mode->Name : "start", 0);
}
KE_STARTUP_STEP(StartBeforeClock, NameMode);

/* Whether the page-table entry of what the driver touches is part of the lesson. */
static BOOLEAN IsPageable(PVOID Address) {
    MM_REGION_KIND Kind = MmFindRegion((ULONG64)Address)->Kind;
    return Kind == RegionPagedPool || Kind == RegionDriverImages;
}

NTSTATUS StoryStoreOnce(const SCENARIO_ROW *Scenario) {
    STORY_DRIVER Driver;
    ULONG64 Number = 0;
    NTSTATUS Status = StoryLoad(&Driver, Scenario->Driver);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    if (IsPageable(Driver.Report.Address)) {
        StoryShowPte("before the store:", Driver.Report.Address);
    }
    Status = StoryStore(&Driver, NUMBER_BEFORE);
    if (NT_SUCCESS(Status)) {
        Status = StoryRead(&Driver, &Number);
    }
    if (!NT_SUCCESS(Status) || Number != NUMBER_BEFORE) {
        return StoryFail("stored %u, read %I64u, status 0x%08X", NUMBER_BEFORE, Number, Status);
    }
    StorySay("The store worked: the number is %I64u.", Number);
    return STATUS_SUCCESS;
}

NTSTATUS StoryStorePagedOut(const SCENARIO_ROW *Scenario) {
    STORY_DRIVER Driver;
    ULONG64 Number = 0;
    MM_STATISTICS Before, After;
    NTSTATUS Status = StoryLoad(&Driver, Scenario->Driver);
    if (!NT_SUCCESS(Status) || !NT_SUCCESS(Status = StoryStore(&Driver, NUMBER_BEFORE)) ||
        !NT_SUCCESS(Status = StoryPushOut(&Driver))) {
        return Status;
    }
    MmQueryStatistics(&Before);
    Status = StoryStore(&Driver, NUMBER_AFTER);
    MmQueryStatistics(&After);
    if (After.PageFaults != Before.PageFaults) {
        StoryShowFault(Driver.Report.Address);
    }
    StoryShowPte("after the store:", Driver.Report.Address);
    if (NT_SUCCESS(Status)) {
        Status = StoryRead(&Driver, &Number);
    }
    if (!NT_SUCCESS(Status) || Number != NUMBER_AFTER) {
        return StoryFail("stored %u, read %I64u, status 0x%08X", NUMBER_AFTER, Number, Status);
    }
    StorySay("The store worked: the number is %I64u; pages read from the page file meanwhile: %I64u.", Number,
             After.PageReads - Before.PageReads);
    return STATUS_SUCCESS;
}

static const SCENARIO_ROW *ChooseScenario(VOID) {
    CHAR Name[32];
    if (!KeGetBootOption("scenario", Name, sizeof(Name))) {
        return &StoryScenarios[0];
    }
    for (const SCENARIO_ROW *Row = StoryScenarios; Row < StoryScenariosEnd; Row++) {
        if (strcmp(Row->Name, Name) == 0) {
            return Row;
        }
    }
    KdPrintf("story: no such scenario: '%s'. Available scenarios:\n", Name);
    for (const SCENARIO_ROW *Row = StoryScenarios; Row < StoryScenariosEnd; Row++) {
        KdPrintf("    %-15s %s\n", Row->Name, Row->Title);
    }
    return NULL;
}

DECLSPEC_NORETURN VOID StoryRun(VOID) {
    const STORY_MODE_ROW *Mode = FindMode();
    if (Mode != NULL) {
        Mode->Run();
    }
    const SCENARIO_ROW *Scenario = ChooseScenario();
    if (Scenario == NULL) {
        KeEndMachine("completed", FALSE);
    }
    KeExpectEnd(Scenario->Name, Scenario->End == END_BUGCHECK ? Scenario->BugCheckCode : 0);
    KdPrintf("\nScenario '%s': %s\n", Scenario->Name, Scenario->Title);
    KdPrintf("What to see: %s\n\n", Scenario->WhatToSee);
    NTSTATUS Status = Scenario->Run(Scenario);
    BOOLEAN IsExpected = NT_SUCCESS(Status) && Scenario->End == END_COMPLETED;
    KdPrintf("\nScenario '%s' has completed, %s.\n", Scenario->Name,
             IsExpected                      ? "as expected"
             : Scenario->End == END_BUGCHECK ? "but it should have stopped the machine"
                                             : "but it failed");
    KeEndMachine("completed", IsExpected);
}
