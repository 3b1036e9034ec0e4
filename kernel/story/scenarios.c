/* scenarios.c: the short scenarios, the choice among them, and whether one ended as expected. */
#include "judge.h"
#include "story-private.h"
#include <kd.h>
#include <ldr.h>
#include <mm.h>
#include <verifier.h>

#define NUMBER_BEFORE 42
#define NUMBER_AFTER 43

#define SCENARIO(Name, Title, Driver, End, Code, WhatToSee, Run) {Name, Title, Driver, End, Code, WhatToSee, Run},
static const SCENARIO_ROW Scenarios[] = {
#include "scenarios.def"
};
#undef SCENARIO

static const SCENARIO_ROW *Chosen;

PCSTR StoryName(VOID) {
    if (KeGetBootOption("test", NULL, 0)) {
        return "test";
    }
    if (KeGetBootOption("bench", NULL, 0)) {
        return "bench";
    }
    if (KeGetBootOption("driver", NULL, 0)) {
        return "driver";
    }
    if (KeGetBootOption("step", NULL, 0)) {
        return "step";
    }
    return Chosen ? Chosen->Name : "start";
}

BOOLEAN KiIsExpectedBugCheck(ULONG Code) {
    return Chosen && Chosen->End == END_BUGCHECK && Chosen->BugCheckCode == Code;
}

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

NTSTATUS StoryUnderVerifier(const SCENARIO_ROW *Scenario) {
    StorySay("Forced IRQL checking is on for %s.sys: each time it acquires a spin lock or raises IRQL to "
             "DISPATCH_LEVEL, all "
             "pageable memory is trimmed first. The page need not be written out for that: a cleared present bit is "
             "enough, and the next touch faults.",
             Scenario->Driver);
    VfEnable(Scenario->Driver);
    return StoryStoreOnce(Scenario);
}

static const SCENARIO_ROW *ChooseScenario(VOID) {
    CHAR Name[32];
    if (!KeGetBootOption("scenario", Name, sizeof(Name))) {
        return &Scenarios[0];
    }
    for (ULONG i = 0; i < RTL_NUMBER_OF(Scenarios); i++) {
        if (strcmp(Scenarios[i].Name, Name) == 0) {
            return &Scenarios[i];
        }
    }
    KdPrintf("story: no such scenario: '%s'. Available scenarios:\n", Name);
    for (ULONG i = 0; i < RTL_NUMBER_OF(Scenarios); i++) {
        KdPrintf("    %-15s %s\n", Scenarios[i].Name, Scenarios[i].Title);
    }
    return NULL;
}

/* The module ends the machine itself; it returns only when it could not be loaded. */
static DECLSPEC_NORETURN VOID RunTestModule(VOID) {
    PDRIVER_OBJECT Object;
    NTSTATUS Status = LdrLoadDriver("ktest", &Object);
    KdPrintf("story: ktest.sys returned, status 0x%08X\n", Status);
    KeEndMachine("tests", FALSE);
}

DECLSPEC_NORETURN VOID StoryRun(VOID) {
    if (KeGetBootOption("test", NULL, 0) || KeGetBootOption("bench", NULL, 0)) {
        RunTestModule();
    }
    if (KeGetBootOption("driver", NULL, 0)) {
        JudgeRun();
    }
    if (KeGetBootOption("step", NULL, 0)) {
        StepRun();
    }
    const SCENARIO_ROW *Scenario = ChooseScenario();
    if (Scenario == NULL) {
        KeEndMachine("completed", FALSE);
    }
    Chosen = Scenario;
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
