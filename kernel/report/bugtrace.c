/* bugtrace.c: the guilty CPU's last events in words: the way to the end, read backwards.
 *
 * The kernel's own finished work at HIGH_LEVEL (it printed a line) is left out, and so is the bugcheck's own event: the
 * rest of the report is about that. */
#include <bugreport.h>

#include <arch.h>
#include <pagefault.h>
#include <rtl.h>
#include <trace.h>

#define MOST_LINES 8
#define LINE_BYTES 160
#define TIME_COLUMNS 14

static CHAR Line[LINE_BYTES];

static VOID Say(PCSTR Format, ...) {
    SIZE_T Used = strlen(Line);
    va_list Arguments;
    va_start(Arguments, Format);
    RtlFormatV(Line + Used, sizeof(Line) - Used, Format, Arguments);
    va_end(Arguments);
}

/* "secret!SecretStore+0x31", shorter than KdFormatAddress: the lines must not wrap. */
static VOID SayPlace(PCSTR Before, ULONG64 Address) {
    KD_SYMBOL Symbol;
    if (Address == 0) {
        return;
    }
    if (!KdLookupAddress(Address, &Symbol) || Symbol.Function == NULL) {
        Say("%s%016llX", Before, Address);
    } else if (Symbol.Offset == 0) {
        Say("%s%s!%s", Before, Symbol.Module, Symbol.Function);
    } else {
        Say("%s%s!%s+0x%llx", Before, Symbol.Module, Symbol.Function, Symbol.Offset);
    }
}

static VOID SayThread(PCSTR Before, ULONG64 Address) {
    const KTHREAD *Thread = (const KTHREAD *)Address;
    if (KiIsReadable(Thread, sizeof(*Thread)) && Thread->Header.Type == ThreadObject) {
        Say("%s'%.23s'", Before, Thread->Name);
    } else {
        Say("%sa thread that is gone", Before);
    }
}

static VOID SayLock(PCSTR Before, ULONG64 Lock) {
    const KLOCK_DECLARATION *Declaration = KeFindLockDeclaration((PKSPIN_LOCK)Lock);
    if (Declaration != NULL) {
        Say("%s%s", Before, Declaration->Name);
    } else {
        SayPlace(Before, Lock);
    }
}

static VOID SayPool(const KTRACE_EVENT *Event, PCSTR Verb) {
    CHAR Tag[5] = {0};
    for (ULONG i = 0; i < 4; i++) {
        CHAR Letter = (CHAR)(Event->Tag >> (8 * i) & 0x7F);
        Tag[i] = Letter > ' ' && Letter < 0x7F ? Letter : '.';
    }
    Say("%s %016llX, %u bytes, '%s'", Verb, Event->A, Event->Bytes, Tag);
}

static PCSTR AccessName(ULONG ErrorCode) {
    return ErrorCode & FAULT_FETCH ? "execute" : ErrorCode & FAULT_WRITE ? "write" : "read";
}

/* Fills Line. Never faults. */
static VOID DescribeEvent(const KTRACE_EVENT *Event) {
    ULONG64 Caller = Event->Caller != 0 ? Event->Caller | ~(ULONG64)MAXULONG : 0;
    switch (Event->Kind) {
    case TraceWait:
        SayThread("", Event->B);
        SayPlace(" waits for ", Event->A);
        break;
    case TraceWake:
        SayThread("", Event->A);
        SayPlace(" wakes: ", Event->B);
        break;
    case TraceSwitch:
        SayThread("from ", Event->A);
        SayThread(" to ", Event->B);
        break;
    case TraceInterrupt:
        Say("interrupt 0x%02llX, IRQL %u -> %llu", Event->A, Event->Detail, Event->A >> 4);
        SayPlace(", at ", Event->B);
        break;
    case TraceInterruptEnd:
        Say("end of interrupt 0x%02llX, IRQL %llu -> %u", Event->A, Event->A >> 4, Event->Detail);
        break;
    case TraceDpc:
        SayPlace("DPC ", Event->B);
        break;
    case TraceDpcEnd:
        SayPlace("end of DPC ", Event->B);
        break;
    case TraceIpi:
        Say("interrupt 0x%02llX sent to CPU %llu", Event->A, Event->B);
        break;
    case TracePageFault:
        Say("page fault: %s of %016llX", AccessName(Event->Detail), Event->A);
        SayPlace(", ", Event->B);
        break;
    case TraceTrim:
        Say("page %016llX trimmed", Event->A);
        break;
    case TracePageIn:
        Say("page %016llX %s slot %llu", Event->A, Event->Detail ? "has been read from" : "is read from", Event->B);
        break;
    case TracePoolAllocate:
        SayPool(Event, "allocated");
        break;
    case TracePoolFree:
        SayPool(Event, "freed");
        break;
    case TraceRaise:
    case TraceLower:
        Say("IRQL %u -> %u", Event->Detail & 0xFF, Event->Detail >> 8);
        break;
    case TraceAcquire:
        SayLock("lock taken: ", Event->A);
        break;
    case TraceContend:
        SayLock("lock busy: ", Event->A);
        break;
    case TraceRelease:
        SayLock("lock released: ", Event->A);
        break;
    default:
        Say("event of kind %u", Event->Kind);
        break;
    }
    SayPlace(", ", Caller != 0 ? Caller - 1 : 0); /* the call, not what comes after it */
}

static BOOLEAN ReachesHigh(const KTRACE_EVENT *Event, KTRACE_KIND Kind) {
    ULONG Level = Kind == TraceRaise ? Event->Detail >> 8 : Event->Detail & 0xFF;
    return Event->Kind == Kind && Level == HIGH_LEVEL;
}

/* The newest events that are worth a line, newest first. Returns how many. */
static ULONG ChooseEvents(const KTRACE_EVENT **Chosen, ULONG Most) {
    ULONG Count = 0;
    BOOLEAN IsHigh = FALSE;
    const KTRACE_EVENT *Event;
    for (ULONG64 Index = KiBug.Prcb->TraceCount; Index-- > 0 && Count < Most;) {
        Event = KdFindTraceEvent(KiBug.Prcb, Index);
        if (Event == NULL) {
            break;
        }
        if (IsHigh || ReachesHigh(Event, TraceLower)) {
            IsHigh = !ReachesHigh(Event, TraceRaise);
        } else if (Event->Kind != TraceBugCheck) {
            Chosen[Count++] = Event;
        }
    }
    return Count;
}

/* As many of the last events as the window has rows for; each line is cut to its width. */
static VOID PrintTrace(BUG_WINDOW *Window) {
    const KTRACE_EVENT *Chosen[MOST_LINES];
    ULONG Rows = Window->Rows < MOST_LINES + 1 ? Window->Rows : MOST_LINES + 1;
    ULONG Count = KiBug.Prcb != NULL && Rows > 1 ? ChooseEvents(Chosen, Rows - 1) : 0;
    if (Count == 0) {
        return;
    }
    const KTRACE_EVENT *Last = KdFindTraceEvent(KiBug.Prcb, KiBug.Prcb->TraceCount - 1); /* the bugcheck's */
    ULONG64 End = Last != NULL ? Last->Tsc : HalReadTsc();
    ULONG64 PerMicroSecond = HalFeatures.TscHz >= 1000000 ? HalFeatures.TscHz / 1000000 : 1;
    ULONG Room = Window->Columns - TIME_COLUMNS < LINE_BYTES ? Window->Columns - TIME_COLUMNS : LINE_BYTES - 1;
    while (Count-- > 0) {
        ULONG64 Tenths = (End - Chosen[Count]->Tsc) * 10 / PerMicroSecond;
        Line[0] = 0;
        DescribeEvent(Chosen[Count]);
        Line[Room] = 0;
        KiBugPrint(Window, 0, INK_DIM "%7llu.%llu us  " INK_TEXT "%s", Tenths / 10, Tenths % 10, Line);
    }
}

KE_REPORT_PART(80, AreaSpare, "What this CPU did last, and how long before", PrintTrace);
