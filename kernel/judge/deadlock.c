/* deadlock.c: why the drivers' threads make no progress: who waits for what, since when, held by whom.
 *
 * Each thread is looked up under the dispatcher lock and printed after it is released: a blocked thread stays as it is,
 * and printing takes longer than a spin lock may be held. */
#include "judge.h"

#include <io.h>
#include <kd.h>
#include <ldr.h>
#include <mm.h>
#include <rtl.h>

#define MAXIMUM_FRAMES 48
#define MAXIMUM_TOLD 32 /* threads; the others are counted */
/* Since the machine's start, not counting the uptime it began with. */
static ULONG64 TicksToMs(ULONG64 Ticks) {
    return Ticks * 15625 / 1000 - KiUptimeSeconds * 1000;
}

#define SAID_BYTES 500 /* little less than KdPrintf takes */
#define ESCAPED_BYTES (SAID_BYTES + 100)

typedef struct _TOLD_THREAD {
    PKTHREAD Thread;
    ULONG Id;
    ULONG64 Start;
    UCHAR State, Reason;
    SCHAR Priority;
    BOOLEAN IsBlocked, OwnerHasEnded;
    ULONG64 WaitTime, RunTicks, Requests;
    PVOID Object;
    PCSTR Kind;
    PKTHREAD Owner;
    ULONG OwnerId;
    ULONG64 OwnerStart;
    ULONG FrameCount;
    KD_FRAME Frames[MAXIMUM_FRAMES];
} TOLD_THREAD;

static TOLD_THREAD Told;

/* Where each CPU was when JudgeSampleProcessors asked. */
typedef struct _TOLD_PROCESSOR {
    PKTHREAD Thread;
    ULONG FrameCount;
    KD_FRAME Frames[MAXIMUM_FRAMES];
} TOLD_PROCESSOR;

static TOLD_PROCESSOR *Sampled[MAXIMUM_PROCESSORS];

/* ---- Saying ---- */

VOID JudgeSay(PCSTR Format, ...) {
    CHAR Text[SAID_BYTES], Escaped[ESCAPED_BYTES];
    va_list Arguments;
    va_start(Arguments, Format);
    RtlFormatV(Text, sizeof(Text), Format, Arguments);
    va_end(Arguments);
    KdPrintf("judge: %s\n", Text);
    KdEscapeText(Escaped, sizeof(Escaped), Text);
    KdChannelf("{\"say\":\"%s\"}\n", Escaped);
}

static PCSTR ReasonName(ULONG Reason) {
    static const PCSTR Names[] = {
        "Executive",        "FreePage",         "PageIn",       "PoolAllocation",   "DelayExecution",
        "Suspended",        "UserRequest",      "WrExecutive",  "WrFreePage",       "WrPageIn",
        "WrPoolAllocation", "WrDelayExecution", "WrSuspended",  "WrUserRequest",    "WrEventPair",
        "WrQueue",          "WrLpcReceive",     "WrLpcReply",   "WrVirtualMemory",  "WrPageOut",
        "WrRendezvous",     "WrKeyedEvent",     "WrTerminated", "WrProcessInSwap",  "WrCpuRateControl",
        "WrCalloutStack",   "WrKernel",         "WrResource",   "WrPushLock",       "WrMutex",
        "WrQuantumEnd",     "WrDispatchInt",    "WrPreempted",  "WrYieldExecution", "WrFastMutex",
        "WrGuardedMutex",   "WrRundown"};
    return Reason < RTL_NUMBER_OF(Names) ? Names[Reason] : "?";
}

static PCSTR StateName(ULONG State) {
    static const PCSTR Names[] = {"initialized", "ready",   "running",      "standby",
                                  "terminated",  "waiting", "in transition"};
    return State < RTL_NUMBER_OF(Names) ? Names[State] : "?";
}

/* "secret!Work" without offset and line; the address where there is no name. */
VOID JudgeFormatName(ULONG64 Address, PCHAR Buffer, SIZE_T Bytes) {
    KD_SYMBOL Symbol;
    if (!KdLookupAddress(Address, &Symbol) || Symbol.Function == NULL) {
        KdFormatAddress(Buffer, Bytes, Address);
    } else if (Symbol.Offset == 0) {
        RtlFormat(Buffer, Bytes, "%s!%s", Symbol.Module, Symbol.Function);
    } else {
        RtlFormat(Buffer, Bytes, "%s!%s+0x%I64x", Symbol.Module, Symbol.Function, Symbol.Offset);
    }
}

/* A judged driver's device extension that an address lies in. */
static BOOLEAN FormatExtension(ULONG64 Address, PCHAR Buffer, SIZE_T Bytes) {
    for (PLIST_ENTRY Entry = PsLoadedModuleList.Flink; Entry != &PsLoadedModuleList; Entry = Entry->Flink) {
        PKLDR_DATA_TABLE_ENTRY Module = CONTAINING_RECORD(Entry, KLDR_DATA_TABLE_ENTRY, InLoadOrderLinks);
        PDEVICE_OBJECT Device = Module->DriverObject != NULL ? Module->DriverObject->DeviceObject : NULL;
        for (; Device != NULL; Device = Device->NextDevice) {
            ULONG64 Offset = Address - (ULONG64)Device->DeviceExtension;
            if (Device->DeviceExtension != NULL && Offset < PAGE_SIZE && Address >= (ULONG64)Device->DeviceExtension) {
                RtlFormat(Buffer, Bytes, "device extension of %s + 0x%I64x", Module->Name, Offset);
                return TRUE;
            }
        }
    }
    return FALSE;
}

/* Where a lock or object lies, as its driver's author knows it. */
static VOID FormatPlace(ULONG64 Address, PCHAR Buffer, SIZE_T Bytes) {
    if (LdrFindModule(Address) != NULL) {
        JudgeFormatName(Address, Buffer, Bytes);
    } else if (!FormatExtension(Address, Buffer, Bytes)) {
        MmDescribeAddress(Address, Buffer, Bytes);
    }
}

/* ---- Collecting ---- */

/* On each CPU, at IPI_LEVEL: keeps the interrupted code's stack. */
static ULONG_PTR SampleHere(ULONG_PTR Context) {
    PKPRCB Prcb = KeGetCurrentPrcb();
    TOLD_PROCESSOR *Sample = Sampled[Prcb->Number];
    UNREFERENCED_PARAMETER(Context);
    if (Sample != NULL && Prcb->InterruptFrame != NULL) {
        Sample->Thread = Prcb->CurrentThread;
        Sample->FrameCount = KdWalkTrap(Prcb->InterruptFrame, Sample->Frames, MAXIMUM_FRAMES);
    }
    return 0;
}

/* PASSIVE. Keeps the stacks of all threads that run: they cannot be walked from outside. */
static VOID SampleProcessors(VOID) {
    for (ULONG i = 0; i < KeNumberProcessors; i++) {
        Sampled[i] = ExAllocatePoolWithTag(NonPagedPoolNx, sizeof(TOLD_PROCESSOR), 'gduJ');
        if (Sampled[i] != NULL) {
            Sampled[i]->Thread = NULL;
            Sampled[i]->FrameCount = 0;
        }
    }
    KeIpiGenericCall(SampleHere, 0);
}

static VOID TakeSample(PKTHREAD Thread) {
    for (ULONG i = 0; i < KeNumberProcessors; i++) {
        if (Sampled[i] != NULL && Sampled[i]->Thread == Thread) {
            Told.FrameCount = Sampled[i]->FrameCount;
            RtlCopyMemory(Told.Frames, Sampled[i]->Frames, sizeof(Told.Frames));
        }
    }
}

static ULONG IdOf(PKTHREAD Thread) {
    return (ULONG)(ULONG_PTR)CONTAINING_RECORD(Thread, ETHREAD, Tcb)->Cid.UniqueThread;
}

static VOID Collect(PKTHREAD Thread) {
    Told.Thread = Thread;
    Told.Id = IdOf(Thread);
    Told.Start = (ULONG64)Thread->StartRoutine;
    Told.State = Thread->State;
    Told.Reason = Thread->WaitReason;
    Told.Priority = Thread->Priority;
    Told.WaitTime = Thread->BlockingLock != NULL ? Thread->BlockingTime : Thread->WaitTime;
    Told.IsBlocked = JudgeIsBlocked(Thread);
    Told.RunTicks = Thread->KernelTime;
    Told.Requests = CONTAINING_RECORD(Thread, ETHREAD, Tcb)->RequestCount;
    Told.Object = JudgeFindObject(Thread, &Told.Kind);
    Told.Owner = JudgeFindOwner(Thread, &Told.OwnerHasEnded);
    BOOLEAN IsOwnerThere = Told.Owner != NULL && !Told.OwnerHasEnded;
    Told.OwnerId = IsOwnerThere ? IdOf(Told.Owner) : 0;
    Told.OwnerStart = IsOwnerThere ? (ULONG64)Told.Owner->StartRoutine : 0;
    Told.FrameCount = Thread->State == Running ? 0 : JudgeWalkThread(Thread, Told.Frames, MAXIMUM_FRAMES);
    if (Thread->State == Running) {
        TakeSample(Thread);
    }
}

/* Fills Told with the Index-th thread of the drivers. FALSE: there are fewer. */
static BOOLEAN CollectThread(ULONG Index) {
    KIRQL OldIrql;
    BOOLEAN IsFound = FALSE;
    KeAcquireSpinLock(&KiDispatcherLock, &OldIrql);
    for (PKTHREAD Thread = KeNextThreadObject(NULL); Thread != NULL && !IsFound; Thread = KeNextThreadObject(Thread)) {
        if (Thread->State != Terminated && Thread != KeGetCurrentThread() && JudgeIsDriverThread(Thread) &&
            Index-- == 0) {
            Collect(Thread);
            IsFound = TRUE;
        }
    }
    KeReleaseSpinLock(&KiDispatcherLock, OldIrql);
    return IsFound;
}

static BOOLEAN CollectThisThread(PKTHREAD Thread) {
    KIRQL OldIrql;
    BOOLEAN IsFound = FALSE;
    KeAcquireSpinLock(&KiDispatcherLock, &OldIrql);
    for (PKTHREAD Next = KeNextThreadObject(NULL); Next != NULL && !IsFound; Next = KeNextThreadObject(Next)) {
        if (Next == Thread) {
            Collect(Thread);
            IsFound = TRUE;
        }
    }
    KeReleaseSpinLock(&KiDispatcherLock, OldIrql);
    return IsFound;
}

/* ---- Telling ---- */

/* "thread 0x4C (mydriver!Second)"; a system thread that runs the driver's code is named by that code. */
static VOID FormatToldThread(PCHAR Buffer, SIZE_T Bytes) {
    CHAR Name[JUDGE_FUNCTION_BYTES];
    ULONG64 Start = Told.Start;
    for (ULONG i = Told.FrameCount; i-- > 0 && !JudgeIsDriverAddress(Start);) {
        if (JudgeIsDriverAddress(Told.Frames[i].Rip)) {
            KD_SYMBOL Symbol;
            Start = Told.Frames[i].Rip - 1;
            Start -= KdLookupAddress(Start, &Symbol) ? Symbol.Offset : 0;
        }
    }
    JudgeFormatName(Start, Name, sizeof(Name));
    RtlFormat(Buffer, Bytes, "thread 0x%X (%s)", Told.Id, Name);
}

/* "KMUTEX FFFF... (mydriver!Lock)" */
static VOID FormatToldObject(PCHAR Buffer, SIZE_T Bytes) {
    CHAR Place[JUDGE_FUNCTION_BYTES];
    if (Told.Object == NULL) {
        RtlFormat(Buffer, Bytes, "%s", Told.Kind);
        return;
    }
    FormatPlace((ULONG64)Told.Object, Place, sizeof(Place));
    RtlFormat(Buffer, Bytes, "%s %p (%s)", Told.Kind, Told.Object, Place);
}

static VOID TellStack(VOID) {
    CHAR Text[JUDGE_FRAME_BYTES];
    for (ULONG i = 0; i < Told.FrameCount; i++) {
        KdFormatFrame(Text, sizeof(Text), &Told.Frames[i]);
        JudgeSay("      %2u %s", i, Text);
    }
}

static VOID TellWait(VOID) {
    CHAR Who[JUDGE_SENTENCE_BYTES], What[JUDGE_SENTENCE_BYTES], Owner[JUDGE_SENTENCE_BYTES] = "";
    FormatToldThread(Who, sizeof(Who));
    if (Told.State != Waiting) {
        JudgeSay("  %s is %s, priority %d", Who, StateName(Told.State), Told.Priority);
        return;
    }
    FormatToldObject(What, sizeof(What));
    if (Told.Owner != NULL && Told.OwnerHasEnded) {
        RtlFormat(Owner, sizeof(Owner), ", owned by a thread that has ended (%p)", Told.Owner);
    } else if (Told.Owner != NULL && Told.Owner == Told.Thread) {
        RtlFormat(Owner, sizeof(Owner), ", which it owns itself");
    } else if (Told.Owner != NULL && (PVOID)Told.Owner != Told.Object) {
        CHAR Name[JUDGE_FUNCTION_BYTES];
        JudgeFormatName(Told.OwnerStart, Name, sizeof(Name));
        RtlFormat(Owner, sizeof(Owner), ", owned by thread 0x%X (%s)", Told.OwnerId, Name);
    }
    ULONG64 SinceMs = TicksToMs(Told.WaitTime);
    JudgeSay("  %s waits%s for %s%s", Who, Told.IsBlocked ? "" : " with a time-out", What, Owner);
    JudgeSay("      since %I64u.%03I64u s after the start, reason %s, priority %d", SinceMs / 1000, SinceMs % 1000,
             ReasonName(Told.Reason), Told.Priority);
}

/* The same as data: one line for each thread. */
static VOID TellData(VOID) {
    CHAR Who[JUDGE_SENTENCE_BYTES], What[JUDGE_SENTENCE_BYTES], Name[JUDGE_FRAME_BYTES],
        Escaped[JUDGE_FRAME_BYTES + 100];
    JudgeFormatName(Told.Start, Name, sizeof(Name));
    FormatToldThread(Who, sizeof(Who));
    FormatToldObject(What, sizeof(What));
    KdEscapeText(Escaped, sizeof(Escaped), What);
    KdChannelf("{\"wait\":{\"thread\":%u,\"name\":\"%s\",\"start\":\"%s\",\"state\":\"%s\",\"reason\":\"%s\","
               "\"kind\":\"%s\",\"object\":\"0x%016I64X\",\"what\":\"%s\"}}\n",
               Told.Id, Who, Name, StateName(Told.State), Told.State == Waiting ? ReasonName(Told.Reason) : "",
               Told.State == Waiting ? Told.Kind : "", (ULONG64)Told.Object, Escaped);
    KdChannelf("{\"wait+\":{\"owner\":%u,\"ownerEnded\":%s,\"sinceMs\":%I64u,\"unlimited\":%s}}\n", Told.OwnerId,
               Told.OwnerHasEnded ? "true" : "false", TicksToMs(Told.WaitTime), Told.IsBlocked ? "true" : "false");
    for (ULONG i = 0; i < Told.FrameCount; i++) {
        KdFormatFrame(Name, sizeof(Name), &Told.Frames[i]);
        KdEscapeText(Escaped, sizeof(Escaped), Name);
        KdChannelf("{\"frame\":\"%s\"}\n", Escaped);
    }
}

VOID JudgeExplainThreads(VOID) {
    ULONG Index = 0;
    SampleProcessors();
    for (; Index < MAXIMUM_TOLD && CollectThread(Index); Index++) {
        TellWait();
        TellStack();
        TellData();
    }
    if (Index == MAXIMUM_TOLD) {
        JudgeSay("  (and more threads: only %u are shown)", MAXIMUM_TOLD);
    }
}

VOID JudgeExplainPending(VOID) {
    KIRQL OldIrql;
    for (ULONG Wanted = 0; Wanted < MAXIMUM_TOLD; Wanted++) {
        ULONG Index = Wanted;
        KTIMER Copy;
        PKTIMER Found = NULL;
        ULONG64 Routine = 0;
        KeAcquireSpinLock(&KiDispatcherLock, &OldIrql);
        for (PKTIMER Timer = KeNextTimer(NULL); Timer != NULL; Timer = KeNextTimer(Timer)) {
            if (JudgeIsDriverTimer(Timer) && Index-- == 0) {
                Found = Timer;
                Copy = *Timer;
                Routine = Timer->Dpc != NULL ? (ULONG64)Timer->Dpc->DeferredRoutine : 0;
                break;
            }
        }
        KeReleaseSpinLock(&KiDispatcherLock, OldIrql);
        if (Found == NULL) {
            break;
        }
        CHAR Place[JUDGE_FUNCTION_BYTES], Name[JUDGE_FUNCTION_BYTES] = "no DPC";
        FormatPlace((ULONG64)Found, Place, sizeof(Place));
        if (Routine != 0) {
            JudgeFormatName(Routine, Name, sizeof(Name));
        }
        JudgeSay("  timer %p (%s) is set%s, period %u ms, DPC routine: %s", Found, Place,
                 Copy.Period != 0 ? " periodically" : "", Copy.Period, Name);
    }
}

/* ---- In one line ---- */

static VOID Append(PCHAR Buffer, SIZE_T Bytes, PCSTR Format, PCSTR Text) {
    SIZE_T Length = strlen(Buffer);
    RtlFormat(Buffer + Length, Bytes - Length, Format, Text);
}

/* "thread A waits for X, owned by thread B, which waits for Y, owned by thread A": from First along the owners. */
static VOID AppendChain(PKTHREAD First, PCHAR Buffer, SIZE_T Bytes) {
    CHAR Text[JUDGE_SENTENCE_BYTES];
    PKTHREAD Thread = First;
    BOOLEAN IsJoin = FALSE;
    for (ULONG Steps = 0; Steps < MAXIMUM_TOLD && CollectThisThread(Thread); Steps++) {
        FormatToldThread(Text, sizeof(Text));
        if (!IsJoin) {
            Append(Buffer, Bytes, Steps == 0 ? "%s" : ", owned by %s", Text);
        }
        if (!Told.IsBlocked || (Steps > 0 && Thread == First)) {
            return;
        }
        FormatToldObject(Text, sizeof(Text));
        Append(Buffer, Bytes, Steps == 0 ? " waits for %s" : ", which waits for %s", Text);
        if (Told.OwnerHasEnded) {
            Append(Buffer, Bytes, "%s", ", owned by a thread that has ended");
        }
        if (Told.Owner == NULL || Told.OwnerHasEnded) {
            return;
        }
        IsJoin = (PVOID)Told.Owner == Told.Object; /* it waits for that thread's end: named already */
        Thread = Told.Owner;
    }
}

/* Whether the chain of owners leads from Told's thread back to it. */
static BOOLEAN IsInCycle(VOID) {
    KIRQL OldIrql;
    KeAcquireSpinLock(&KiDispatcherLock, &OldIrql);
    BOOLEAN IsCycle = JudgeFindCycle(Told.Thread) != 0;
    KeReleaseSpinLock(&KiDispatcherLock, OldIrql);
    return IsCycle;
}

/* Where in the driver Told's thread is. */
static VOID AppendDriverFrame(PCHAR Buffer, SIZE_T Bytes) {
    for (ULONG i = 0; i < Told.FrameCount; i++) {
        if (JudgeIsDriverAddress(Told.Frames[i].Rip)) {
            CHAR Text[JUDGE_FRAME_BYTES];
            KdFormatFrame(Text, sizeof(Text), &Told.Frames[i]);
            Append(Buffer, Bytes, " in %s", Text);
            return;
        }
    }
}

/* How far Told's thread has got. */
static VOID AppendProgress(PCHAR Buffer, SIZE_T Bytes) {
    SIZE_T Length = strlen(Buffer);
    ULONG64 Ms = Told.RunTicks * 15625 / 1000;
    RtlFormat(Buffer + Length, Bytes - Length, ", after %I64u.%03I64u s on a CPU and %I64u requests to drivers",
              Ms / 1000, Ms % 1000, Told.Requests);
}

VOID JudgeSummarize(BOOLEAN IsDeadlock, PCHAR Buffer, SIZE_T Bytes) {
    PKTHREAD Chosen = NULL;
    ULONG Waiters = 0;
    Buffer[0] = 0;
    for (ULONG Index = 0; CollectThread(Index); Index++) {
        BOOLEAN IsBetter = IsDeadlock ? Told.IsBlocked && IsInCycle() : !Told.IsBlocked;
        if (IsBetter) {
            Chosen = Told.Thread;
            break;
        }
        Chosen = Chosen == NULL ? Told.Thread : Chosen;
    }
    if (Chosen == NULL || !CollectThisThread(Chosen)) {
        return;
    }
    if (!Told.IsBlocked) {
        CHAR Who[JUDGE_SENTENCE_BYTES];
        FormatToldThread(Who, sizeof(Who));
        RtlFormat(Buffer, Bytes, Told.State == Waiting ? "%s waits with a time-out, again and again" : "%s is %s", Who,
                  StateName(Told.State));
        AppendDriverFrame(Buffer, Bytes);
        AppendProgress(Buffer, Bytes);
        return;
    }
    AppendChain(Chosen, Buffer, Bytes);
    for (ULONG Index = 0; CollectThread(Index); Index++) {
        Waiters += Told.IsBlocked;
    }
    if (Waiters > 1) {
        SIZE_T Length = strlen(Buffer);
        RtlFormat(Buffer + Length, Bytes - Length, "; threads that wait forever: %u", Waiters);
    }
}
