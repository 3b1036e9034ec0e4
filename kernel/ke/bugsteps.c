/* bugsteps.c: the steps after the freeze; a step that faults is lost, alone or with those behind it. */
#include <bugcheck.h>

#include <arch.h>
#include <rtl.h>

static const BUG_STEP *KiStep = KiBugSteps; /* the running one */

/* See bugcheck.h. Does not return. */
VOID KiRunBugSteps(VOID) {
    for (; KiStep < KiBugStepsEnd; KiStep++) {
        KiStep->Run();
    }
    HalHalt();
}

/* Straight to the UART, through no code that could have caused the fault. Then only the end itself is left. */
static VOID ReportLess(ULONG Code, ULONG64 Rip, ULONG64 FaultAddress) {
    static CHAR Line[400];
    RtlFormat(
        Line, sizeof(Line),
        "\n*** STOP 0x%08X (0x%016llX, 0x%016llX, 0x%016llX, 0x%016llX)\n*** at 0x%016llX on CPU %u; while dying: "
        "0x%08X at 0x%016llX, address 0x%016llX\n",
        KiBug.Code, KiBug.Parameter[0], KiBug.Parameter[1], KiBug.Parameter[2], KiBug.Parameter[3], KiBug.Rip,
        KiBug.Processor, Code, Rip, FaultAddress);
    HalSerialPut(1, Line);
    KiBug.IsCut = TRUE;
    while (KiStep + 1 < KiBugStepsEnd) {
        KiStep++;
    }
}

/* See bugcheck.h. */
BOOLEAN KiLoseBugStep(ULONG Code, ULONG64 Rip, ULONG64 FaultAddress) {
    if (KiStep < KiBugStepsEnd && KiStep->Faulted != NULL) {
        KiStep->Faulted(Code, Rip, FaultAddress);
        KiStep++;
        return TRUE;
    }
    ReportLess(Code, Rip, FaultAddress);
    return FALSE;
}
