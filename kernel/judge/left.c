/* left.c: a driver's leftovers: requests never completed, APCs that their thread does not run.
 *
 * A timer acts by itself. A request or an APC does not: with no thread of the drivers, and nothing queued that runs
 * their code, it stays as it is forever. */
#include "judge.h"

#include <io.h>
#include <kd.h>
#include <ldr.h>
#include <ps.h>
#include <rtl.h>

#define MAXIMUM_TOLD 32
#define TEXT_BYTES 500

static PCSTR MajorName(UCHAR Major) {
    static const PCSTR Names[] = {"CREATE",
                                  "CREATE_NAMED_PIPE",
                                  "CLOSE",
                                  "READ",
                                  "WRITE",
                                  "QUERY_INFORMATION",
                                  "SET_INFORMATION",
                                  "QUERY_EA",
                                  "SET_EA",
                                  "FLUSH_BUFFERS",
                                  "QUERY_VOLUME_INFORMATION",
                                  "SET_VOLUME_INFORMATION",
                                  "DIRECTORY_CONTROL",
                                  "FILE_SYSTEM_CONTROL",
                                  "DEVICE_CONTROL",
                                  "INTERNAL_DEVICE_CONTROL",
                                  "SHUTDOWN",
                                  "LOCK_CONTROL",
                                  "CLEANUP"};
    return Major < RTL_NUMBER_OF(Names) ? Names[Major] : "PNP or POWER";
}

static ULONG IdOf(PKTHREAD Thread) {
    return (ULONG)(ULONG_PTR)CONTAINING_RECORD(Thread, ETHREAD, Tcb)->Cid.UniqueThread;
}

/* ---- Requests ---- */

/* In a driver of ours; or in a device that is gone, or of a thread that has ended: only judged drivers leave those. */
static BOOLEAN IsDriverIrp(const IO_PENDING_IRP *Pending, BOOLEAN HasEnded) {
    if (Pending->Device == NULL) {
        return HasEnded || Pending->IsSent;
    }
    return HasEnded || JudgeIsDriverAddress((ULONG64)Pending->Device->DriverObject->DriverStart);
}

/* The Index-th of the drivers' requests of one thread; with NULL, of threads that have ended and of none. */
static BOOLEAN FindDriverIrp(PKTHREAD Thread, ULONG *Index, PIO_PENDING_IRP Pending) {
    PETHREAD Requester = Thread != NULL ? CONTAINING_RECORD(Thread, ETHREAD, Tcb) : NULL;
    for (ULONG Any = 0; IoFindPendingIrp(Requester, Any, Pending); Any++) {
        if (IsDriverIrp(Pending, Thread == NULL && !Pending->IsNobodys) && (*Index)-- == 0) {
            return TRUE;
        }
    }
    return FALSE;
}

static VOID FormatIrp(PKTHREAD Thread, const IO_PENDING_IRP *Pending, PCHAR Buffer, SIZE_T Bytes) {
    CHAR Whose[64] = "a thread that has ended", Cancel[JUDGE_SENTENCE_BYTES] = "it has no cancel routine";
    CHAR Name[JUDGE_FUNCTION_BYTES];
    if (Pending->IsNobodys) {
        RtlFormat(Whose, sizeof(Whose), "no thread");
    } else if (Thread != NULL) {
        RtlFormat(Whose, sizeof(Whose), "thread 0x%X", IdOf(Thread));
    }
    if (Pending->CancelRoutine != 0) {
        JudgeFormatName(Pending->CancelRoutine, Name, sizeof(Name));
        RtlFormat(Cancel, sizeof(Cancel), "its cancel routine is %s", Name);
    } else if (Pending->IsCancelled) {
        RtlFormat(Cancel, sizeof(Cancel), "it was cancelled, and has no cancel routine");
    }
    if (Pending->Device == NULL) {
        RtlFormat(Buffer, Bytes, "request %p of %s %s", Pending->Irp, Whose,
                  Pending->IsSent ? "is pending in a device that was deleted" : "was built and never sent");
        return;
    }
    const KLDR_DATA_TABLE_ENTRY *Module = Pending->Device->DriverObject->DriverSection;
    RtlFormat(Buffer, Bytes, "request %p (IRP_MJ_%s) of %s is pending in %s.sys, and %s", Pending->Irp,
              MajorName(Pending->MajorFunction), Whose, Module->Name, Cancel);
}

/* ---- APCs ---- */

static BOOLEAN IsDriverApc(const KAPC *Apc) {
    return JudgeIsDriverAddress((ULONG64)Apc->KernelRoutine) || JudgeIsDriverAddress((ULONG64)Apc->NormalRoutine);
}

static const KAPC *FindDriverApc(const LIST_ENTRY *Head, ULONG *Index) {
    for (const LIST_ENTRY *Entry = Head->Flink; Entry != Head; Entry = Entry->Flink) {
        const KAPC *Apc = CONTAINING_RECORD(Entry, KAPC, ApcListEntry);
        if (IsDriverApc(Apc) && (*Index)-- == 0) {
            return Apc;
        }
    }
    return NULL;
}

static VOID FormatApc(PKTHREAD Thread, const KAPC *Apc, PCHAR Buffer, SIZE_T Bytes) {
    CHAR Name[JUDGE_FUNCTION_BYTES];
    JudgeFormatName((ULONG64)(Apc->NormalRoutine ? (PVOID)Apc->NormalRoutine : (PVOID)Apc->KernelRoutine), Name,
                    sizeof(Name));
    RtlFormat(Buffer, Bytes, "an APC (%s) is queued to thread 0x%X (%s), which does not run it%s", Name, IdOf(Thread),
              Thread->Name, Apc->ApcMode == UserMode ? ": it is for user mode" : "");
}

/* ---- Both ---- */

/* The Index-th leftover of one thread, in words. Dispatcher lock held. */
static BOOLEAN FormatLeftWith(PKTHREAD Thread, ULONG *Index, PCHAR Buffer, SIZE_T Bytes) {
    IO_PENDING_IRP Pending;
    if (FindDriverIrp(Thread, Index, &Pending)) {
        FormatIrp(Thread, &Pending, Buffer, Bytes);
        return TRUE;
    }
    const KAPC *Apc = Thread != NULL ? FindDriverApc(&Thread->ApcListHead, Index) : NULL;
    if (Apc == NULL && Thread != NULL) {
        Apc = FindDriverApc(&Thread->UserApcListHead, Index);
    }
    if (Apc != NULL) {
        FormatApc(Thread, Apc, Buffer, Bytes);
    }
    return Apc != NULL;
}

/* The names of functions are looked up under the lock: at any other moment a leftover may go. */
static BOOLEAN FormatLeft(ULONG Index, PCHAR Buffer, SIZE_T Bytes) {
    KIRQL OldIrql;
    KeAcquireSpinLock(&KiDispatcherLock, &OldIrql);
    BOOLEAN IsFound = FormatLeftWith(NULL, &Index, Buffer, Bytes);
    for (PKTHREAD Thread = KeNextThreadObject(NULL); Thread != NULL && !IsFound; Thread = KeNextThreadObject(Thread)) {
        IsFound = Thread->State != Terminated && FormatLeftWith(Thread, &Index, Buffer, Bytes);
    }
    KeReleaseSpinLock(&KiDispatcherLock, OldIrql);
    return IsFound;
}

ULONG JudgeCountLeft(PKTHREAD Thread) {
    IO_PENDING_IRP Pending;
    ULONG Skipped = MAXULONG;
    FindDriverIrp(Thread, &Skipped, &Pending);
    if (Thread != NULL) {
        FindDriverApc(&Thread->ApcListHead, &Skipped);
        FindDriverApc(&Thread->UserApcListHead, &Skipped);
    }
    return MAXULONG - Skipped;
}

VOID JudgeSummarizeLeft(PCHAR Buffer, SIZE_T Bytes) {
    if (!FormatLeft(0, Buffer, Bytes)) {
        Buffer[0] = 0;
    }
}

VOID JudgeExplainLeft(VOID) {
    CHAR Text[TEXT_BYTES];
    for (ULONG Index = 0; Index < MAXIMUM_TOLD && FormatLeft(Index, Text, sizeof(Text)); Index++) {
        JudgeSay("  %s", Text);
    }
}
