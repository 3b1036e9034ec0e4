/* testmodule.c: the tests inside the kernel, and its benchmark, run in place of a scenario. */
#include "story-private.h"
#include <kd.h>
#include <ldr.h>

/* The module ends the machine itself; it returns only when it could not be loaded. */
static VOID RunTestModule(VOID) {
    PDRIVER_OBJECT Object;
    NTSTATUS Status = LdrLoadDriver("ktest", &Object);
    KdPrintf("story: ktest.sys returned, status 0x%08X\n", Status);
    KeEndMachine("tests", FALSE);
}
STORY_MODE(test, RunTestModule);
STORY_MODE(bench, RunTestModule);
