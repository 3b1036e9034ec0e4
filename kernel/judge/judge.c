/* judge.c: the judge: loads the drivers of the command line, watches them, reports how they ended.
 *
 *      completed   DriverEntry succeeded, every thread of the drivers has ended, none of their timers, DPCs, work items and
 *                  APCs is queued, no request is pending in one of them, and it stays so for SETTLE_MS: late findings
 *                  of the reaper (0x13C, 0x153) still come
 *      failed      DriverEntry, or the loader, returned an error
 *      deadlock    every thread of the drivers waits without limit, nothing is queued that could wake one, and nothing
 *                  has changed for STUCK_MS; or some have waited for each other in a circle for that long
 *      undecided   none of these before the limit (limit=SECONDS on the command line), or before the power button is
 *                  pressed: a thread that runs gets somewhere, however long that takes; or for STUCK_MS only requests
 *                  and APCs have been left, which nothing will ever move
 *
 * A bugcheck ends the run by itself. With "unload" the drivers are unloaded when they are done, or when only DriverUnload
 * can end them: their threads wait forever but not for each other; only requests and APCs are left; for SERVING_SECONDS
 * there were only threads that sleep and wake, and timers; or the limit has come. Then the limit begins anew. */
#include "judge.h"

#include <arch.h>
#include <io.h>
#include <kd.h>
#include <ps.h>
#include <rtl.h>

#define POLL_MS 10
#define SETTLE_MS 250
#define STUCK_MS 1000
#define LIMIT_SECONDS 600
#define SERVING_SECONDS 60
#define SERVING_SECONDS_UNSEEDED 10
#define FLUSH_MS 2000
#define UNITS_PER_MS 10000
#define SUMMARY_BYTES 1400

CHAR JudgeNames[JUDGE_MAXIMUM_DRIVERS][LDR_NAME_BYTES];
ULONG JudgeNameCount;

static PDRIVER_OBJECT Drivers[JUDGE_MAXIMUM_DRIVERS];
static volatile BOOLEAN IsStepDone; /* the loader thread's current job */
static NTSTATUS StepStatus;
static PCSTR StepName;

static volatile BOOLEAN IsLoading; /* the step runs StepName's DriverEntry */
/* Or its DriverUnload, named here: once the driver is gone, the name cannot be looked up. */
static CHAR UnloadName[JUDGE_FRAME_BYTES];

static PKLDR_DATA_TABLE_ENTRY FindStepModule(VOID) {
    for (PLIST_ENTRY Entry = PsLoadedModuleList.Flink; Entry != &PsLoadedModuleList; Entry = Entry->Flink) {
        PKLDR_DATA_TABLE_ENTRY Module = CONTAINING_RECORD(Entry, KLDR_DATA_TABLE_ENTRY, InLoadOrderLinks);
        if (strcmp(Module->Name, StepName) == 0) {
            return Module;
        }
    }
    return NULL;
}

/* The DriverEntry or DriverUnload of the driver that is being judged now, or its name; FALSE: none is. */
static BOOLEAN FormatRoutine(PCHAR Buffer, SIZE_T Bytes) {
    if (StepName == NULL) {
        return FALSE;
    }
    PKLDR_DATA_TABLE_ENTRY Module = IsLoading ? FindStepModule() : NULL;
    if (Module != NULL && Module->EntryPoint != NULL) {
        KdFormatAddress(Buffer, Bytes, (ULONG64)Module->EntryPoint);
    } else {
        RtlFormat(Buffer, Bytes, "%s", UnloadName[0] != 0 ? UnloadName : StepName);
    }
    return TRUE;
}

static const KD_JUDGED Judged = {JudgeIsDriverAddress, FormatRoutine};
KE_ATTACH(KdJudged, &Judged);

/* ---- Steps that may take forever, in a thread of their own ---- */

static VOID LoadAll(PVOID Context) {
    UNREFERENCED_PARAMETER(Context);
    for (ULONG i = 0; i < JudgeNameCount && NT_SUCCESS(StepStatus); i++) {
        StepName = JudgeNames[i];
        IsLoading = TRUE;
        StepStatus = LdrLoadDriver(StepName, &Drivers[i]);
        IsLoading = FALSE;
    }
    __atomic_store_n(&IsStepDone, TRUE, __ATOMIC_RELEASE); /* pairs with the judge's look: the status is there */
}

static VOID UnloadAll(PVOID Context) {
    UNREFERENCED_PARAMETER(Context);
    for (ULONG i = JudgeNameCount; i-- > 0;) {
        StepName = JudgeNames[i];
        if (Drivers[i]->DriverUnload != NULL) {
            KdFormatAddress(UnloadName, sizeof(UnloadName), (ULONG64)Drivers[i]->DriverUnload);
        }
        NTSTATUS Status = LdrUnloadDriver(Drivers[i]);
        UnloadName[0] = 0;
        if (!NT_SUCCESS(Status)) {
            JudgeSay("%s.sys stays loaded: %s", JudgeNames[i],
                     Status == STATUS_INVALID_DEVICE_REQUEST ? "it has no DriverUnload" : "its unload failed");
        } else {
            JudgeSay("%s.sys is unloaded", JudgeNames[i]);
        }
    }
    __atomic_store_n(&IsStepDone, TRUE, __ATOMIC_RELEASE);
}

/* An orderly end of the machine: drivers that asked for a notice get it, and are watched as at any other time. */
static VOID ShutDownAll(PVOID Context) {
    UNREFERENCED_PARAMETER(Context);
    IoShutdownSystem();
    __atomic_store_n(&IsStepDone, TRUE, __ATOMIC_RELEASE);
}

static VOID StartStep(PKSTART_ROUTINE Routine) {
    IsStepDone = FALSE;
    NTSTATUS Status = PsCreateNamedThread(NULL, "judge's loader", 8, Routine, NULL);
    if (!NT_SUCCESS(Status)) {
        KeBugCheckEx(PHASE1_INITIALIZATION_FAILED, (ULONG_PTR)Status, 0, 0, 0);
    }
}

/* ---- Watching ---- */

typedef struct _JUDGE_STATE {
    JUDGE_VIEW View;
    ULONG64 ChangedMs, CycleMs; /* when the signature, and the circle, last changed */
    ULONG64 WorkMs;             /* when a thread began, ended, ran for long, or began or ended a wait without limit */
    ULONG64 NowMs;
} JUDGE_STATE;

/* Since the machine's start, not counting the uptime it began with. */
static ULONG64 NowMs(VOID) {
    return KiInterruptTime / UNITS_PER_MS - KiUptimeSeconds * 1000;
}

static VOID Look(JUDGE_STATE *State) {
    LARGE_INTEGER Poll = {.QuadPart = -POLL_MS * UNITS_PER_MS};
    JUDGE_VIEW Last = State->View;
    KeDelayExecutionThread(KernelMode, FALSE, &Poll);
    JudgeLook(&State->View);
    State->NowMs = NowMs();
    if (State->View.Signature != Last.Signature) {
        State->ChangedMs = State->NowMs;
    }
    if (State->View.Busy > 0 || State->View.Threads != Last.Threads || State->View.Blocked != Last.Blocked) {
        State->WorkMs = State->NowMs;
    }
    if (State->View.Cycle == 0 || State->View.Cycle != Last.Cycle) {
        State->CycleMs = State->NowMs;
    }
}

static BOOLEAN IsQuietFor(const JUDGE_STATE *State, ULONG64 Ms) {
    return State->NowMs - State->ChangedMs >= Ms;
}

static BOOLEAN AreAllStuck(const JUDGE_STATE *State) {
    return State->View.Threads > 0 && State->View.Blocked == State->View.Threads && State->View.Pending == 0 &&
           IsQuietFor(State, STUCK_MS);
}

static BOOLEAN IsNothingButLeftovers(const JUDGE_STATE *State) {
    return State->View.Threads == 0 && State->View.Pending == 0 && State->View.Left > 0 && IsQuietFor(State, STUCK_MS);
}

/* Whether the drivers look, from outside, like ones that serve until they are stopped. */
static BOOLEAN IsServing(const JUDGE_STATE *State) {
    return (State->View.Threads > State->View.Blocked || State->View.Pending > 0) &&
           State->NowMs - State->WorkMs >= (KeSeed != 0 ? SERVING_SECONDS : SERVING_SECONDS_UNSEEDED) * 1000;
}

typedef enum _JUDGE_END { EndDone, EndStuck, EndCircle, EndLeft, EndServing, EndLimit, EndAsked } JUDGE_END;

static ULONG64 LimitMs(VOID) {
    return KeGetBootOptionNumber("limit", LIMIT_SECONDS) * 1000;
}

/* Until the step is done and nothing of the drivers is left, or nothing can go on, or the limit in guest time is over,
 * or the power button was pressed; with MayServe, also until the drivers only serve. */
static JUDGE_END WatchStep(BOOLEAN MayServe) {
    ULONG64 StartMs = NowMs(), Limit = LimitMs();
    JUDGE_STATE State = {.ChangedMs = StartMs, .CycleMs = StartMs, .WorkMs = StartMs};
    BOOLEAN WasDone = FALSE;
    for (;;) {
        Look(&State);
        BOOLEAN IsDone = __atomic_load_n(&IsStepDone, __ATOMIC_ACQUIRE);
        if (IsDone != WasDone) {
            State.ChangedMs = State.NowMs;
            WasDone = IsDone;
        }
        BOOLEAN IsOver = State.View.Threads == 0 && State.View.Pending == 0 && State.View.Left == 0;
        if (IsDone && IsOver && IsQuietFor(&State, SETTLE_MS)) {
            if (State.View.Ended > 0) {
                JudgeSay("note: the objects of %u ended threads are still there: a handle or reference was left",
                         State.View.Ended);
            }
            return EndDone;
        }
        if (State.NowMs - State.CycleMs >= STUCK_MS) {
            return EndCircle;
        }
        if (AreAllStuck(&State)) {
            return EndStuck;
        }
        if (IsDone && IsNothingButLeftovers(&State)) {
            return EndLeft;
        }
        if (MayServe && IsDone && IsServing(&State)) {
            return EndServing;
        }
        if (HalIsPowerButtonPressed()) {
            return EndAsked;
        }
        if (State.NowMs - StartMs >= Limit) {
            return EndLimit;
        }
    }
}

/* ---- The verdict ---- */

/* Fields of the verdict line that only a judged run has. */
static VOID PutVerdict(PCSTR Text, NTSTATUS Status) {
    static CHAR Escaped[SUMMARY_BYTES + 100];
    KdEscapeText(Escaped, sizeof(Escaped), Text);
    KdPutChannel("{\"text\":\"");
    KdPutChannel(Escaped);
    KdChannelf("\",\"status\":\"0x%08X\",\"driver\":\"%s\",\"guestMs\":%I64u}\n", Status, StepName, NowMs());
}

static DECLSPEC_NORETURN VOID EndFailed(VOID) {
    CHAR Text[LDR_NAME_BYTES + 80];
    RtlFormat(Text, sizeof(Text), "%s.sys: DriverEntry or the loader returned 0x%08X", StepName, StepStatus);
    PutVerdict(Text, StepStatus);
    KeEndMachine("failed", FALSE);
}

static DECLSPEC_NORETURN VOID EndStuckRun(VOID) {
    static CHAR Text[SUMMARY_BYTES];
    JudgeSay("deadlock:");
    JudgeExplainThreads();
    JudgeExplainLeft();
    JudgeSummarize(TRUE, Text, sizeof(Text));
    JudgeSay("%s", Text);
    PutVerdict(Text, STATUS_POSSIBLE_DEADLOCK);
    KeEndMachine("deadlock", FALSE);
}

static DECLSPEC_NORETURN VOID EndUndecided(BOOLEAN IsDone) {
    static CHAR Text[SUMMARY_BYTES];
    JUDGE_VIEW View;
    JudgeLook(&View);
    JudgeSay("undecided after %I64u s of the guest's time: threads that have not ended: %u, queued: %u, left with "
             "others: %u",
             NowMs() / 1000, View.Threads, View.Pending, View.Left);
    JudgeExplainThreads();
    JudgeExplainPending();
    JudgeExplainLeft();
    JudgeSummarize(FALSE, Text, sizeof(Text));
    if (Text[0] == 0 && View.Pending == 0) {
        JudgeSummarizeLeft(Text, sizeof(Text));
    }
    if (Text[0] == 0) {
        RtlFormat(Text, sizeof(Text), IsDone ? "timers, DPCs or work items still queued: %u" : "the load goes on",
                  View.Pending);
    }
    PutVerdict(Text, STATUS_TIMEOUT);
    KeEndMachine("undecided", FALSE);
}

static volatile BOOLEAN IsFlushed;

static VOID FlushAll(PVOID Context) {
    UNICODE_STRING Name = RTL_CONSTANT_STRING(L"\\??\\C:");
    OBJECT_ATTRIBUTES Attributes;
    IO_STATUS_BLOCK Io;
    HANDLE Volume;
    UNREFERENCED_PARAMETER(Context);
    InitializeObjectAttributes(&Attributes, &Name, OBJ_CASE_INSENSITIVE | OBJ_KERNEL_HANDLE, NULL, NULL);
    if (NT_SUCCESS(ZwOpenFile(&Volume, FILE_WRITE_DATA, &Attributes, &Io, FILE_SHARE_VALID_FLAGS, 0))) {
        ZwFlushBuffersFile(Volume, &Io);
        ZwClose(Volume);
    }
    IsFlushed = TRUE;
}

/* Writes the drivers' data in files that are still open to C:, unless the machine is too stuck for that. */
static VOID FlushVolume(VOID) {
    LARGE_INTEGER Poll = {.QuadPart = -POLL_MS * UNITS_PER_MS};
    ULONG64 Start = NowMs();
    if (!NT_SUCCESS(PsCreateNamedThread(NULL, "judge's flusher", HIGH_PRIORITY, FlushAll, NULL))) {
        return;
    }
    while (!IsFlushed && NowMs() - Start < FLUSH_MS) {
        KeDelayExecutionThread(KernelMode, FALSE, &Poll);
    }
}

static VOID ReadNames(VOID) {
    CHAR List[JUDGE_MAXIMUM_DRIVERS * LDR_NAME_BYTES];
    KeGetBootOption("driver", List, sizeof(List));
    for (PCHAR Name = List; Name != NULL && *Name != 0 && JudgeNameCount < JUDGE_MAXIMUM_DRIVERS;) {
        PCHAR Comma = strchr(Name, ',');
        if (Comma != NULL) {
            *Comma++ = 0;
        }
        RtlFormat(JudgeNames[JudgeNameCount++], LDR_NAME_BYTES, "%s", Name);
        Name = Comma;
    }
}

static VOID RunJudge(VOID) {
    BOOLEAN MustUnload = KeGetBootOption("unload", NULL, 0);
    ReadNames();
    JudgeRememberTimers();
    IoNoteSentIrps();
    HalEnablePowerButton();
    KeSetPriorityThread(KeGetCurrentThread(), HIGH_PRIORITY); /* so that it sees drivers whose threads never rest */
    StartStep(LoadAll);
    JUDGE_END End = WatchStep(MustUnload);
    if ((End == EndDone || End == EndLeft) && !NT_SUCCESS(StepStatus)) {
        FlushVolume();
        EndFailed();
    }
    if (MustUnload && End != EndCircle && End != EndAsked && IsStepDone && NT_SUCCESS(StepStatus)) {
        StartStep(UnloadAll);
        End = WatchStep(FALSE);
    }
    if (End == EndDone && IoHasShutdownNotification()) {
        StartStep(ShutDownAll);
        End = WatchStep(FALSE);
    }
    FlushVolume();
    if (End == EndDone) {
        PutVerdict("", STATUS_SUCCESS);
        KeEndMachine("completed", TRUE);
    }
    if (End == EndLimit || End == EndLeft || End == EndAsked) {
        EndUndecided(IsStepDone);
    }
    EndStuckRun();
}
STORY_MODE(driver, RunJudge);
