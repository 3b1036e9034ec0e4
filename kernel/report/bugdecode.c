/* bugdecode.c: the meaning of a bugcheck's numbers: an address, an IRQL, a thread, a lock, in words.
 *
 * The numbers come from a machine that has just been found damaged: each pointer is checked before it is followed. */
#include <bugreport.h>

#include <ldr.h>
#include <mm.h>
#include <pagefault.h>
#include <rtl.h>

#define DETAIL_BYTES 256
#define MAXIMUM_TEXT 80

typedef VOID BUG_DECODER(ULONG64 Value, PCHAR Buffer, SIZE_T Bytes);

/* Adds to the text that Buffer holds. */
VOID KiAppend(PCHAR Buffer, SIZE_T Bytes, PCSTR Format, ...) {
    SIZE_T Length = strlen(Buffer);
    va_list Arguments;
    va_start(Arguments, Format);
    RtlFormatV(Buffer + Length, Bytes - Length, Format, Arguments);
    va_end(Arguments);
}

BOOLEAN KiIsReadable(const void *Address, SIZE_T Bytes) {
    ULONG64 Last = (ULONG64)Address + Bytes - 1;
    for (ULONG64 Page = (ULONG64)PAGE_ALIGN(Address); Page <= Last && Page >= PAGE_SIZE; Page += PAGE_SIZE) {
        if (!MmIsAddressValid((PVOID)Page)) {
            return FALSE;
        }
    }
    return Last >= PAGE_SIZE && Last >= (ULONG64)Address;
}

PCSTR KiIrqlName(ULONG64 Irql) {
    static const PCSTR Names[16] = {"PASSIVE_LEVEL", "APC_LEVEL",    "DISPATCH_LEVEL", "device level",
                                    "device level",  "device level", "device level",   "device level",
                                    "device level",  "device level", "device level",   "device level",
                                    "SYNCH_LEVEL",   "CLOCK_LEVEL",  "IPI_LEVEL",      "HIGH_LEVEL"};
    return Irql < RTL_NUMBER_OF(Names) ? Names[Irql] : "no IRQL";
}

static VOID DecodeLevel(ULONG64 Value, PCHAR Buffer, SIZE_T Bytes) {
    KiAppend(Buffer, Bytes, "%s", Value == 0xFF ? "interrupts are off (IF = 0)" : KiIrqlName(Value));
    if (Value == DISPATCH_LEVEL) {
        KiAppend(Buffer, Bytes, " (in a DPC, or a spin lock is held)");
    } else if (Value > DISPATCH_LEVEL && Value <= HIGH_LEVEL) {
        KiAppend(Buffer, Bytes, " (in an interrupt routine, or raised by hand)");
    }
}

static VOID DecodeAddress(ULONG64 Value, PCHAR Buffer, SIZE_T Bytes) {
    SIZE_T Length = strlen(Buffer);
    MmDescribeAddress(Value, Buffer + Length, Bytes - Length);
}

static VOID DecodeCode(ULONG64 Value, PCHAR Buffer, SIZE_T Bytes) {
    SIZE_T Length = strlen(Buffer);
    PKLDR_DATA_TABLE_ENTRY Module = LdrFindModule(Value);
    PCSTR Unloaded = LdrFindUnloadedModule(Value);
    KdFormatAddress(Buffer + Length, Bytes - Length, Value);
    if (Unloaded && !Module) {
        KiAppend(Buffer, Bytes, ", where %s was before it was unloaded", Unloaded);
    } else if (!Module) {
        KiAppend(Buffer, Bytes, ", where no module is");
    }
}

static VOID DecodeAccess(ULONG64 Value, PCHAR Buffer, SIZE_T Bytes) {
    KiAppend(Buffer, Bytes, "%s",
             Value == AccessRead      ? "read"
             : Value == AccessWrite   ? "write"
             : Value == AccessExecute ? "execute"
                                      : "?");
}

static VOID DecodeRawAccess(ULONG64 Value, PCHAR Buffer, SIZE_T Bytes) {
    PCSTR Name = Value & FAULT_FETCH ? "execute" : Value & FAULT_WRITE ? "write" : "read";
    KiAppend(Buffer, Bytes, "%s%s", Name, Value & FAULT_PRESENT ? ", forbidden by a page that is present" : "");
}

static VOID DecodeStatus(ULONG64 Value, PCHAR Buffer, SIZE_T Bytes) {
    static const struct {
        NTSTATUS Status;
        PCSTR Name;
    } Names[] = {
        {STATUS_ACCESS_VIOLATION, "STATUS_ACCESS_VIOLATION: a bad pointer"},
        {STATUS_ILLEGAL_INSTRUCTION, "STATUS_ILLEGAL_INSTRUCTION"},
        {STATUS_INTEGER_DIVIDE_BY_ZERO, "STATUS_INTEGER_DIVIDE_BY_ZERO"},
        {STATUS_PRIVILEGED_INSTRUCTION, "STATUS_PRIVILEGED_INSTRUCTION"},
        {STATUS_BREAKPOINT, "STATUS_BREAKPOINT: a breakpoint, and no debugger took it"},
        {STATUS_IN_PAGE_ERROR, "STATUS_IN_PAGE_ERROR"},
        {STATUS_IO_DEVICE_ERROR, "STATUS_IO_DEVICE_ERROR: the disk reported an error"},
        {STATUS_IO_TIMEOUT, "STATUS_IO_TIMEOUT: the disk did not answer"},
        {STATUS_NO_SUCH_DEVICE, "STATUS_NO_SUCH_DEVICE"},
        {STATUS_INSUFFICIENT_RESOURCES, "STATUS_INSUFFICIENT_RESOURCES: out of memory"},
        {STATUS_MUTANT_NOT_OWNED, "STATUS_MUTANT_NOT_OWNED: a mutex released by a thread that does not own it"},
        {STATUS_MUTANT_LIMIT_EXCEEDED, "STATUS_MUTANT_LIMIT_EXCEEDED: a mutex acquired too often"},
        {STATUS_SEMAPHORE_LIMIT_EXCEEDED, "STATUS_SEMAPHORE_LIMIT_EXCEEDED: a semaphore released above its limit"},
    };
    for (ULONG i = 0; i < RTL_NUMBER_OF(Names); i++) {
        if (Names[i].Status == (NTSTATUS)Value) {
            KiAppend(Buffer, Bytes, "%s", Names[i].Name);
            return;
        }
    }
    KiAppend(Buffer, Bytes, "status 0x%08X", (ULONG)Value);
}

static VOID DecodeThread(ULONG64 Value, PCHAR Buffer, SIZE_T Bytes) {
    static const PCSTR States[] = {"initialized", "ready", "running", "standby", "ended", "waiting", "in transition"};
    const KTHREAD *Thread = (const KTHREAD *)Value;
    if (!KiIsReadable(Thread, sizeof(*Thread)) || Thread->Header.Type != ThreadObject) {
        KiAppend(Buffer, Bytes, "no thread: ");
        DecodeAddress(Value, Buffer, Bytes);
        return;
    }
    PCSTR State = Thread->State < RTL_NUMBER_OF(States) ? States[Thread->State] : "?";
    KiAppend(Buffer, Bytes, "'%.23s', priority %d, %s, CPU %u", Thread->Name, Thread->Priority, State,
             Thread->Processor);
}

/* "KiDispatcherLock, guards thread states", "secret!SecretLock", or the kind of memory that it lies in. */
VOID KiDescribeLock(PKSPIN_LOCK Lock, PCHAR Buffer, SIZE_T Bytes) {
    for (const KLOCK_DECLARATION *Row = KiLockDeclarations; Row < KiLockDeclarationsEnd; Row++) {
        if (Row->Lock == Lock) {
            KiAppend(Buffer, Bytes, "%s, guards %s", Row->Name, Row->Guards);
            return;
        }
    }
    KD_SYMBOL Symbol;
    if (KdLookupAddress((ULONG64)Lock, &Symbol) && Symbol.Function) {
        KiAppend(Buffer, Bytes, Symbol.Offset ? "%s!%s+0x%llx" : "%s!%s", Symbol.Module, Symbol.Function,
                 Symbol.Offset);
        return;
    }
    KiAppend(Buffer, Bytes, "at %016llX, ", (ULONG64)Lock);
    DecodeAddress((ULONG64)Lock, Buffer, Bytes);
}

static VOID DecodeLock(ULONG64 Value, PCHAR Buffer, SIZE_T Bytes) {
    KiDescribeLock((PKSPIN_LOCK)Value, Buffer, Bytes);
    for (ULONG i = 0; i < KeNumberProcessors; i++) {
        PKPRCB Prcb = KiProcessorBlock[i];
        for (ULONG j = 0; j < Prcb->HeldLockCount && j < MAXIMUM_HELD_LOCKS; j++) {
            if (Prcb->HeldLock[j].Lock == (PKSPIN_LOCK)Value) {
                KiAppend(Buffer, Bytes, "; held by CPU %u since ", i);
                DecodeCode((ULONG64)Prcb->HeldLock[j].Caller, Buffer, Bytes);
            }
        }
    }
}

static PCSTR ObjectTypeName(UCHAR Type) {
    switch (Type) {
    case EventNotificationObject:
        return "notification event";
    case EventSynchronizationObject:
        return "synchronization event";
    case MutantObject:
        return "mutex";
    case SemaphoreObject:
        return "semaphore";
    case ThreadObject:
        return "thread";
    case TimerNotificationObject:
    case TimerSynchronizationObject:
        return "timer";
    default:
        return "object of unknown type";
    }
}

static VOID DecodeObject(ULONG64 Value, PCHAR Buffer, SIZE_T Bytes) {
    const KMUTANT *Object = (const KMUTANT *)Value;
    if (KiIsReadable(Object, sizeof(*Object))) {
        KiAppend(Buffer, Bytes, "%s, ", ObjectTypeName(Object->Header.Type));
        if (Object->Header.Type == MutantObject && Object->OwnerThread) {
            KiAppend(Buffer, Bytes, "owned by ");
            DecodeThread((ULONG64)Object->OwnerThread, Buffer, Bytes);
            return;
        }
    }
    DecodeAddress(Value, Buffer, Bytes);
}

static VOID DecodePte(ULONG64 Value, PCHAR Buffer, SIZE_T Bytes) {
    SIZE_T Length = strlen(Buffer);
    MmDescribePte(Value, Buffer + Length, Bytes - Length);
}

static VOID DecodePrcb(ULONG64 Value, PCHAR Buffer, SIZE_T Bytes) {
    for (ULONG i = 0; i < KeNumberProcessors; i++) {
        if ((ULONG64)KiProcessorBlock[i] == Value) {
            KiAppend(Buffer, Bytes, "CPU %u", i);
        }
    }
}

static VOID DecodeTag(ULONG64 Value, PCHAR Buffer, SIZE_T Bytes) {
    KiAppend(Buffer, Bytes, "'");
    for (ULONG i = 0; i < 4; i++) {
        UCHAR Character = (UCHAR)(Value >> 8 * i);
        KiAppend(Buffer, Bytes, "%c", Character >= ' ' && Character < 0x7F ? Character : '.');
    }
    KiAppend(Buffer, Bytes, "'");
}

static VOID DecodeFrame(ULONG64 Value, PCHAR Buffer, SIZE_T Bytes) {
    const KTRAP_FRAME *Frame = (const KTRAP_FRAME *)Value;
    if (!KiIsReadable(Frame, sizeof(*Frame))) {
        DecodeAddress(Value, Buffer, Bytes);
        return;
    }
    KiAppend(Buffer, Bytes, "trap 0x%x at ", (ULONG)Frame->Vector);
    DecodeCode(Frame->Rip, Buffer, Bytes);
}

/* "STATUS_ACCESS_VIOLATION at secret!Touch+0x5 (secret.c:9), write to a NULL pointer + 0x8" */
static VOID DecodeRecord(ULONG64 Value, PCHAR Buffer, SIZE_T Bytes) {
    const EXCEPTION_RECORD *Record = (const EXCEPTION_RECORD *)Value;
    if (!KiIsReadable(Record, sizeof(*Record))) {
        DecodeAddress(Value, Buffer, Bytes);
        return;
    }
    DecodeStatus((ULONG64)(LONG64)Record->ExceptionCode, Buffer, Bytes);
    KiAppend(Buffer, Bytes, " at ");
    DecodeCode((ULONG64)Record->ExceptionAddress, Buffer, Bytes);
    if (Record->ExceptionCode == STATUS_ACCESS_VIOLATION && Record->NumberParameters == 2) {
        KiAppend(Buffer, Bytes, ", ");
        DecodeAccess(Record->ExceptionInformation[0], Buffer, Bytes);
        KiAppend(Buffer, Bytes, " of ");
        DecodeAddress(Record->ExceptionInformation[1], Buffer, Bytes);
    }
}

static VOID DecodeContext(ULONG64 Value, PCHAR Buffer, SIZE_T Bytes) {
    const CONTEXT *Context = (const CONTEXT *)Value;
    if (!KiIsReadable(Context, sizeof(*Context))) {
        DecodeAddress(Value, Buffer, Bytes);
        return;
    }
    KiAppend(Buffer, Bytes, "rax %llX rcx %llX rdx %llX rsi %llX rdi %llX rsp %llX", Context->Rax, Context->Rcx,
             Context->Rdx, Context->Rsi, Context->Rdi, Context->Rsp);
}

static VOID DecodeText(ULONG64 Value, PCHAR Buffer, SIZE_T Bytes) {
    if (KiIsReadable((PCSTR)Value, MAXIMUM_TEXT)) {
        KiAppend(Buffer, Bytes, "%.80s", (PCSTR)Value);
    }
}

static VOID DecodeNumber(ULONG64 Value, PCHAR Buffer, SIZE_T Bytes) {
    KiAppend(Buffer, Bytes, "%lld", (LONG64)Value);
}

static VOID DecodePlain(ULONG64 Value, PCHAR Buffer, SIZE_T Bytes) {
    UNREFERENCED_PARAMETER(Value);
    UNREFERENCED_PARAMETER(Buffer);
    UNREFERENCED_PARAMETER(Bytes);
}

static BUG_DECODER *const Decoders[KindCount] = {
    [KindUNUSED] = DecodePlain,
    [KindPLAIN] = DecodePlain,
    [KindNUMBER] = DecodeNumber,
    [KindADDRESS] = DecodeAddress,
    [KindLEVEL] = DecodeLevel,
    [KindACCESS] = DecodeAccess,
    [KindRAWACCESS] = DecodeRawAccess,
    [KindCODE] = DecodeCode,
    [KindSTATUS] = DecodeStatus,
    [KindTHREAD] = DecodeThread,
    [KindOBJECT] = DecodeObject,
    [KindLOCK] = DecodeLock,
    [KindPTE] = DecodePte,
    [KindPRCB] = DecodePrcb,
    [KindTAG] = DecodeTag,
    [KindFRAME] = DecodeFrame,
    [KindRECORD] = DecodeRecord,
    [KindCONTEXT] = DecodeContext,
    [KindTEXT] = DecodeText,
};

/* The verb before the address that was touched, if another parameter tells it: "write to ". */
static PCSTR AccessVerb(VOID) {
    for (ULONG i = 1; i < 4; i++) {
        PCSTR Meaning;
        BUG_KIND Kind = KiParameterKind(i, &Meaning);
        ULONG64 Value = KiBug.Parameter[i];
        if (Kind == KindACCESS) {
            return Value == AccessExecute ? "execution of " : Value == AccessWrite ? "write to " : "read of ";
        }
        if (Kind == KindRAWACCESS) {
            return Value & FAULT_FETCH ? "execution of " : Value & FAULT_WRITE ? "write to " : "read of ";
        }
    }
    return "";
}

VOID KiDecodeParameter(ULONG Index, PCHAR Buffer, SIZE_T Bytes) {
    PCSTR Meaning, ValueName = KiParameterValueName(Index);
    BUG_KIND Kind = KiParameterKind(Index, &Meaning);
    Buffer[0] = 0;
    if (ValueName) {
        KiAppend(Buffer, Bytes, "%s", ValueName);
        return;
    }
    if (Index == 0 && Kind == KindADDRESS) {
        KiAppend(Buffer, Bytes, "%s", AccessVerb());
    }
    Decoders[Kind](KiBug.Parameter[Index], Buffer, Bytes);
}

/* "write, page not present, by the kernel" */
VOID KiDecodeErrorCode(ULONG64 ErrorCode, PCHAR Buffer, SIZE_T Bytes) {
    Buffer[0] = 0;
    KiAppend(Buffer, Bytes, "%s, %s, %s%s",
             ErrorCode & FAULT_FETCH   ? "fetch"
             : ErrorCode & FAULT_WRITE ? "write"
                                       : "read",
             ErrorCode & FAULT_PRESENT ? "page present" : "page not present",
             ErrorCode & FAULT_USER ? "user" : "kernel", ErrorCode & FAULT_RESERVED ? ", reserved bit set" : "");
}
