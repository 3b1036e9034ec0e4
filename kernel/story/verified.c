/* verified.c: the scenarios under the verifier, which makes the lucky case crash every time. */
#include "story-private.h"
#include <verifier.h>

NTSTATUS StoryUnderVerifier(const SCENARIO_ROW *Scenario) {
    StorySay("Forced IRQL checking is on for %s.sys: each time it acquires a spin lock or raises IRQL to "
             "DISPATCH_LEVEL, all "
             "pageable memory is trimmed first. The page need not be written out for that: a cleared present bit is "
             "enough, and the next touch faults.",
             Scenario->Driver);
    VfEnable(Scenario->Driver);
    return StoryStoreOnce(Scenario);
}

#define SCENARIO(...) /* a row of scenarios.c */
#define RING_SCENARIO(Name, Title, Driver, End, Code, WhatToSee, Run) {Name, Title, Driver, End, Code, WhatToSee, Run},
static const SCENARIO_ROW Scenarios[] KE_ROW(".scenario.1") = {
#include "scenarios.def"
};
