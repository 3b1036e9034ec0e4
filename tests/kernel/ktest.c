/* ktest.c: the module ktest.sys: runs the tests that the command line names, one after the other, and ends the
 * machine. */
#include <ldr.h>
#include "explore.h"
#include "race.h"

#define RUNNER_PRIORITY 27 /* above every thread of a test, to see a hung one */
#define TEST_PRIORITY 8
#define LIMIT_SECONDS 180       /* of guest time; a loaded host is slow */
#define SEEDED_LIMIT_SECONDS 20 /* guest time is instructions then: the load of the host does not count */
#define REPORTED_FAILURES 10

static volatile LONG Failures; /* of the test that runs */
static PCSTR SkipReason;
static volatile LONG ReportTurn;

/* ---- Calls of a test ---- */

VOID KtFail(PCSTR File, ULONG Line, PCSTR Expression) {
    if (InterlockedIncrement(&Failures) <= REPORTED_FAILURES) {
        KdChannelf("# %s:%u: %s\n", File, Line, Expression);
    }
}

VOID KtExpectEqual(PCSTR File, ULONG Line, PCSTR Expression, ULONG64 A, ULONG64 B) {
    if (A != B && InterlockedIncrement(&Failures) <= REPORTED_FAILURES) {
        KdChannelf("# %s:%u: %s: 0x%llX and 0x%llX\n", File, Line, Expression, A, B);
    }
}

VOID KtSkip(PCSTR Reason) {
    SkipReason = Reason;
}

VOID KtSleep(ULONG Milliseconds) {
    LARGE_INTEGER Interval = {.QuadPart = -(LONGLONG)Milliseconds * 10000};
    KeDelayExecutionThread(KernelMode, FALSE, &Interval);
}

/* ---- The report of a hang ---- */

static VOID PrintFrames(const KD_FRAME *First) {
    KD_FRAME Frames[24];
    ULONG Count = KdWalkStack(First, Frames, RTL_NUMBER_OF(Frames));
    for (ULONG Index = 0; Index < Count; Index++) {
        CHAR Text[128];
        KdFormatFrame(Text, sizeof(Text), &Frames[Index]);
        KdChannelf("#     %s\n", Text);
    }
}

/* Each CPU in turn reports its place: the stack walk crosses the interrupt into the interrupted code. At IPI_LEVEL. */
static ULONG_PTR ReportProcessor(ULONG_PTR Context) {
    PKPRCB Prcb = KeGetCurrentPrcb();
    UNREFERENCED_PARAMETER(Context);
    while (ReportTurn != (LONG)Prcb->Number) {
        YieldProcessor();
    }
    KdChannelf("# CPU %u runs thread %p \"%s\", %s\n", Prcb->Number, Prcb->CurrentThread, Prcb->CurrentThread->Name,
               Prcb->DpcRoutineActive ? "in a DPC" : "in no DPC");
    KD_FRAME Calling = KD_CALLING_FRAME();
    PrintFrames(&Calling);
    InterlockedIncrement(&ReportTurn);
    return 0;
}

/* The waiting threads, with their places. The list is read without its lock: nothing is expected to move. */
static VOID ReportWaitingThreads(VOID) {
    for (PLIST_ENTRY Entry = KiThreadList.Flink; Entry != &KiThreadList; Entry = Entry->Flink) {
        PKTHREAD Thread = CONTAINING_RECORD(Entry, KTHREAD, ThreadListEntry);
        if (Thread->State != Waiting && Thread->State != Ready) {
            continue;
        }
        KdChannelf("# thread %p \"%s\", priority %d, %s\n", Thread, Thread->Name, Thread->Priority,
                   Thread->State == Ready ? "ready" : "waiting");
        const ULONG64 *Saved =
            (const ULONG64 *)Thread->KernelStack; /* switch.asm: rbp at +28h, return address at +30h */
        KD_FRAME First = {.Rip = Saved[6], .Rsp = (ULONG64)(Saved + 7), .Rbp = Saved[5]};
        PrintFrames(&First);
    }
}

static VOID ReportHang(VOID) {
    ReportTurn = 0;
    KeIpiGenericCall(ReportProcessor, 0);
    ReportWaitingThreads();
}

/* ---- Running ---- */

static VOID TestThread(PVOID Context) {
    const KTEST_CASE *Case = Context;
    Case->Run();
    KT_EXPECT_EQ(KeGetCurrentIrql(), PASSIVE_LEVEL);
    PsTerminateSystemThread(STATUS_SUCCESS);
}

/* FALSE: the limit is over and the thread still runs. */
static BOOLEAN RunCase(const KTEST_CASE *Case) {
    ULONG Seconds = (ULONG)KeGetBootOptionNumber("limit", KtIsSeeded() ? SEEDED_LIMIT_SECONDS : LIMIT_SECONDS);
    LARGE_INTEGER Limit = {.QuadPart = -(LONGLONG)Seconds * 10000000};
    PETHREAD Thread;

    Failures = 0;
    SkipReason = NULL;
    NTSTATUS Status = PsCreateNamedThread(&Thread, "test", TEST_PRIORITY, TestThread, (PVOID)Case);
    if (!NT_SUCCESS(Status)) {
        KtFail(__FILE__, __LINE__, "no thread for the test");
        return TRUE;
    }
    Status = KeWaitForSingleObject(Thread, Executive, KernelMode, FALSE, &Limit);
    if (Status == STATUS_TIMEOUT) {
        KdChannelf("# %s: not done after %u s of guest time\n", Case->Name, Seconds);
        ReportHang();
        return FALSE;
    }
    ObDereferenceObject(Thread);
    return TRUE;
}

static BOOLEAN IsChosen(const KTEST_CASE *Case, PCSTR Pattern) {
    if (Case->Kind == KtCrash || Case->Kind == KtNamed) {
        return strcmp(Case->Name, Pattern) == 0;
    }
    if (strcmp(Pattern, "concurrent") == 0) {
        return Case->Kind == KtConcurrent;
    }
    return strcmp(Pattern, "all") == 0 || strncmp(Case->Name, Pattern, strlen(Pattern)) == 0;
}

static ULONG CountChosen(const KTEST_CASE *Cases, ULONG Count, PCSTR Pattern) {
    ULONG Chosen = 0;
    for (ULONG Index = 0; Index < Count; Index++) {
        Chosen += IsChosen(&Cases[Index], Pattern);
    }
    return Chosen;
}

static VOID ReportCase(const KTEST_CASE *Case, ULONG Number, ULONG64 TscTicks) {
    KdChannelf("%sok %u - %s%s%s\n", Failures ? "not " : "", Number, Case->Name, SkipReason ? " # SKIP " : "",
               SkipReason ? SkipReason : "");
    KdPrintf("ktest: %-8s%5u ms %s\n",
             Failures     ? "FAILED"
             : SkipReason ? "skipped"
                          : "ok",
             (ULONG)(TscTicks * 1000 / HalFeatures.TscHz), Case->Name);
}

/* Ends the machine. */
static VOID RunTests(const KTEST_CASE *Cases, ULONG Count, PCSTR Pattern) {
    ULONG Number = 0;
    ULONG Chosen = CountChosen(Cases, Count, Pattern);
    BOOLEAN HasFailed = Chosen == 0;

    KdChannelf("KTAP version 1\n1..%u\n", Chosen);
    for (ULONG Index = 0; Index < Count; Index++) {
        if (!IsChosen(&Cases[Index], Pattern)) {
            continue;
        }
        ULONG64 Start = HalReadTsc();
        BOOLEAN IsDone = RunCase(&Cases[Index]);
        if (Cases[Index].Kind == KtCrash) {
            KtFail(Cases[Index].File, 0, "it must have stopped the machine");
        }
        Failures += !IsDone;
        HasFailed |= Failures != 0;
        ReportCase(&Cases[Index], ++Number, HalReadTsc() - Start);
        if (!IsDone) {
            KdChannelf("Bail out! %s does not end\n", Cases[Index].Name);
            break;
        }
    }
    KeEndMachine("tests", !HasFailed);
}

/* The array of cases that the linker has gathered in a section of this module. */
static const void *FindCases(PCSTR SectionName, SIZE_T CaseBytes, ULONG *Count) {
    PKLDR_DATA_TABLE_ENTRY Module = LdrFindModule((ULONG64)FindCases);
    for (ULONG Index = 0; Index < Module->SectionCount; Index++) {
        const LDR_SECTION *Section = &Module->Section[Index];
        if (Section->Start != 0 && strcmp(Section->Name, SectionName) == 0) {
            *Count = (ULONG)(Section->Bytes / CaseBytes);
            return (const void *)Section->Start;
        }
    }
    *Count = 0;
    return NULL;
}

/* For tools/bugcheck explore: where the sections of this module are. */
static VOID TellSections(VOID) {
    PKLDR_DATA_TABLE_ENTRY Module = LdrFindModule((ULONG64)TellSections);
    for (ULONG Index = 0; Index < Module->SectionCount; Index++) {
        const LDR_SECTION *Section = &Module->Section[Index];
        if (Section->Start != 0) {
            KdChannelf("# section %u %llx %llx\n", Section->ElfIndex, Section->Start, (ULONG64)Section->Bytes);
        }
    }
}

static VOID ListTests(const KTEST_CASE *Cases, ULONG Count) {
    for (ULONG Index = 0; Index < Count; Index++) {
        KdChannelf("# test %s\n", Cases[Index].Name);
    }
    ULONG Explorations;
    const KT_EXPLORATION *Rows = FindCases("kexplore", sizeof(KT_EXPLORATION), &Explorations);
    for (ULONG Index = 0; Index < Explorations; Index++) {
        KdChannelf("# explore %s %s\n", Rows[Index].Name, Rows[Index].Rule);
    }
    const KT_RACE *Races = FindCases("kraces", sizeof(KT_RACE), &Explorations);
    for (ULONG Index = 0; Index < Explorations; Index++) {
        KdChannelf("# race %s %s\n", Races[Index].Name, Races[Index].Rule);
    }
    TellSections();
    KeEndMachine("tests", TRUE);
}

NTSTATUS DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath) {
    CHAR Pattern[64];
    ULONG Count;

    UNREFERENCED_PARAMETER(DriverObject);
    UNREFERENCED_PARAMETER(RegistryPath);
    KeSetPriorityThread(KeGetCurrentThread(), RUNNER_PRIORITY);
    if (KeGetBootOption("bench", NULL, 0)) {
        const KBENCH_CASE *Benches = FindCases("kbenches", sizeof(KBENCH_CASE), &Count);
        KtRunBenches(Benches, Count);
        KeEndMachine("tests", TRUE);
    }
    const KTEST_CASE *Cases = FindCases("ktests", sizeof(KTEST_CASE), &Count);
    if (!KeGetBootOption("test", Pattern, sizeof(Pattern)) || strcmp(Pattern, "list") == 0) {
        ListTests(Cases, Count);
    }
    RunTests(Cases, Count, Pattern);
    return STATUS_SUCCESS;
}
