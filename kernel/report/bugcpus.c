/* bugcpus.c: each CPU's work when the machine died: IRQL, thread, instruction, locks held. */
#include <bugreport.h>

#include <rtl.h>

#define LINE_BYTES 320
#define ACTIVITY_COLUMNS 16 /* the place follows it */

static CHAR Line[LINE_BYTES];

/* The boot CPU may die before it counts as active. */
ULONG KiProcessorCount(VOID) {
    return KeNumberProcessors == 0 && KiBug.Prcb ? 1 : KeNumberProcessors;
}

static VOID AppendActivity(PKPRCB Prcb) {
    PKTHREAD Thread = Prcb->CurrentThread;
    if (!KiIsReadable(Thread, sizeof(*Thread))) {
        KiAppend(Line, sizeof(Line), "no thread");
        return;
    }
    if (Prcb->DpcRoutineActive) {
        KiAppend(Line, sizeof(Line), "a DPC, on top of '%.23s'", Thread->Name);
    } else if (Thread == Prcb->IdleThread) {
        KiAppend(Line, sizeof(Line), "idle");
    } else {
        KiAppend(Line, sizeof(Line), "'%.23s'", Thread->Name);
    }
}

static VOID ReportLocks(BUG_WINDOW *Window, PKPRCB Prcb) {
    for (ULONG i = 0; i < Prcb->HeldLockCount && i < MAXIMUM_HELD_LOCKS; i++) {
        CHAR Caller[240];
        KdFormatAddress(Caller, sizeof(Caller), (ULONG64)Prcb->HeldLock[i].Caller - 1);
        Line[0] = 0;
        KiDescribeLock(Prcb->HeldLock[i].Lock, Line, sizeof(Line));
        KiBugPrint(Window, 10, INK_DIM "        holds the spin lock " INK_TEXT "%s" INK_DIM ", taken by " INK_TEXT "%s",
                   Line, Caller);
    }
}

/* Where this CPU was: the instruction that the freeze interrupted. */
static VOID AppendPlace(PKPRCB Prcb, BOOLEAN IsGuilty) {
    ULONG64 Rip = IsGuilty ? KiBug.Rip - (KiBug.Frame ? 0 : 1) : Prcb->FreezeFrame ? Prcb->FreezeFrame->Rip : 0;
    ULONG OtherCode = KiOtherBugCheck(Prcb->Number);
    if (!IsGuilty && !Prcb->IsFrozen) {
        KiAppend(Line, sizeof(Line), INK_MARK "did not answer the freeze" INK_TEXT);
    } else if (Rip) {
        KdFormatAddress(Line + strlen(Line), sizeof(Line) - strlen(Line), Rip);
    }
    if (OtherCode) {
        KiAppend(Line, sizeof(Line), INK_MARK ", also wanted to stop: 0x%X %s" INK_TEXT, OtherCode,
                 KiFindBugCode(OtherCode)->Name);
    }
}

static VOID ReportProcessor(BUG_WINDOW *Window, ULONG Number) {
    PKPRCB Prcb = KiProcessorBlock[Number];
    BOOLEAN IsGuilty = Number == KiBug.Processor;
    ULONG Irql = IsGuilty ? KiBug.Irql : Prcb->DebuggerSavedIRQL;
    Line[0] = 0;
    AppendActivity(Prcb);
    KiAppend(Line, sizeof(Line), "%*s", strlen(Line) < ACTIVITY_COLUMNS ? (int)(ACTIVITY_COLUMNS - strlen(Line)) : 2,
             "");
    AppendPlace(Prcb, IsGuilty);
    KiBugPrint(Window, 46,
               "%s"
               "%3u  " INK_DIM "IRQL " INK_TEXT "%2u %-15s"
               "%s",
               IsGuilty ? INK_MARK ">" INK_TEXT : " ", Number, Irql, KiIrqlName(Irql), Line);
    ReportLocks(Window, Prcb);
}

static VOID PrintProcessors(BUG_WINDOW *Window) {
    ULONG Count = KiProcessorCount();
    KiBugHeading(Window);
    for (ULONG Number = 0; Number < Count; Number++) {
        ULONG Left = Count - Number;
        if (Window->Row + 1 >= Window->Rows && Left > 1) {
            KiBugPrint(Window, 0, INK_DIM "     and %u more: see COM1", Left);
            return;
        }
        ReportProcessor(Window, Number);
    }
}

KE_REPORT_PART(90, AreaProcessors, "What each CPU was doing", PrintProcessors);
