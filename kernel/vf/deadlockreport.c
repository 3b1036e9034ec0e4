/* deadlockreport.c: a violation of lock order in words: the circle, and where each edge's locks were taken.
 *
 * Runs on a dying machine: it allocates nothing, takes no lock, and asks for one line after the other. */
#include "deadlock.h"

#define NAME_BYTES 240

/* Counts lines down to the wanted one; only that one is written. */
typedef struct _LINE_CURSOR {
    ULONG Left;
    BOOLEAN IsFound;
    PCHAR Buffer;
    SIZE_T Bytes;
} LINE_CURSOR;

PCSTR VfLockKindName(VF_LOCK_KIND Kind) {
    static const PCSTR Names[] = {
        "spin lock", "reader/writer spin lock", "mutex", "fast mutex", "guarded mutex", "ERESOURCE", "push lock"};
    return Kind < RTL_NUMBER_OF(Names) ? Names[Kind] : "lock";
}

static BOOLEAN IsWanted(LINE_CURSOR *Cursor) {
    if (Cursor->IsFound || Cursor->Left-- != 0) {
        return FALSE;
    }
    Cursor->IsFound = TRUE;
    return TRUE;
}

/* "spin lock orders!LockA", or the kind of memory that it lies in. */
static VOID NameLock(const VF_NODE *Node, PCHAR Buffer, SIZE_T Bytes) {
    KD_SYMBOL Symbol;
    int Length = RtlFormat(Buffer, Bytes, "%s ", VfLockKindName(Node->Kind));
    if (KdLookupAddress((ULONG64)Node->Lock, &Symbol) && Symbol.Function != NULL) {
        RtlFormat(Buffer + Length, Bytes - Length, Symbol.Offset ? "%s!%s+0x%llx" : "%s!%s", Symbol.Module,
                  Symbol.Function, Symbol.Offset);
        return;
    }
    Length += RtlFormat(Buffer + Length, Bytes - Length, "%016llX, ", (ULONG64)Node->Lock);
    MmDescribeAddress((ULONG64)Node->Lock, Buffer + Length, Bytes - Length);
}

static VOID TellStack(LINE_CURSOR *Cursor, const PVOID *Stack) {
    for (ULONG i = 0; i < VF_FRAMES && Stack[i] != NULL; i++) {
        if (IsWanted(Cursor)) {
            CHAR Name[NAME_BYTES];
            KD_FRAME Frame = {.Rip = (ULONG64)Stack[i]};
            KdFormatFrame(Name, sizeof(Name), &Frame);
            RtlFormat(Cursor->Buffer, Cursor->Bytes, "      %s", Name);
        }
    }
}

static VOID TellOwner(ULONG_PTR Owner, PCHAR Buffer, SIZE_T Bytes) {
    if (Owner & 1) {
        RtlFormat(Buffer, Bytes, "a DPC on CPU %u", ((PKPRCB)(Owner & ~1ULL))->Number);
    } else {
        RtlFormat(Buffer, Bytes, "thread '%.23s'", ((PKTHREAD)Owner)->Name);
    }
}

/* The owner of an edge may have ended since, so only its number is printed. */
static VOID TellEdge(LINE_CURSOR *Cursor, const VF_EDGE *Edge, BOOLEAN IsNew) {
    CHAR Name[NAME_BYTES];
    if (IsWanted(Cursor)) {
        NameLock(Edge->From, Name, sizeof(Name));
        RtlFormat(Cursor->Buffer, Cursor->Bytes, "  %s, %s%016llX took %s", IsNew ? "now" : "before",
                  Edge->Owner & 1 ? "a DPC of CPU block " : "thread ", (ULONG64)(Edge->Owner & ~1ULL), Name);
    }
    TellStack(Cursor, Edge->FromStack);
    if (IsWanted(Cursor)) {
        NameLock(Edge->To, Name, sizeof(Name));
        RtlFormat(Cursor->Buffer, Cursor->Bytes, "    and while it held that %s %s", IsNew ? "wants" : "took", Name);
    }
    TellStack(Cursor, Edge->ToStack);
}

static VOID TellHold(LINE_CURSOR *Cursor, const VF_HOLD *Hold) {
    if (IsWanted(Cursor)) {
        CHAR Name[NAME_BYTES], Who[64];
        NameLock(Hold->Node, Name, sizeof(Name));
        TellOwner(Hold->Owner, Who, sizeof(Who));
        RtlFormat(Cursor->Buffer, Cursor->Bytes, "  %s: owned by %s%s, which took it at", Name, Who,
                  Hold->Mode == VfShared ? " (shared)" : "");
    }
    TellStack(Cursor, Hold->Stack);
}

/* FALSE: there is no such line. */
BOOLEAN VfDescribeDeadlock(ULONG Line, PCHAR Buffer, SIZE_T Bytes) {
    LINE_CURSOR Cursor = {.Left = Line, .Buffer = Buffer, .Bytes = Bytes};
    if (VfDeadlock.Rule == 0x1001) {
        if (IsWanted(&Cursor)) {
            RtlFormat(Buffer, Bytes,
                      "  %u locks in a circle; no thread waits yet, but at the right moment all that take "
                      "part would stop:",
                      VfDeadlock.PathLength);
        }
        for (ULONG i = 0; i < VfDeadlock.PathLength; i++) {
            TellEdge(&Cursor, VfDeadlock.Path[i], i == 0);
        }
    } else if (VfDeadlock.Rule != 0 && VfDeadlock.Hold != NULL) {
        TellHold(&Cursor, VfDeadlock.Hold);
    } else if (VfDeadlock.Rule != 0 && IsWanted(&Cursor)) {
        CHAR Name[NAME_BYTES];
        NameLock(VfDeadlock.Node, Name, sizeof(Name));
        RtlFormat(Buffer, Bytes, "  %s: not owned", Name);
    }
    return Cursor.IsFound;
}
