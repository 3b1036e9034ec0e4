/* dbgprint.c: DbgPrint and its relatives: their limit, their filters, their code page.
 *
 * A call prints at most 512 bytes. Narrow text may be printed at any IRQL at which it is resident. Wide text (%S %ws
 * %wZ %C) goes through the code page, whose table is pageable, as on Windows: at DISPATCH_LEVEL or above that is luck
 * while the table is in memory, and the end of the machine (0x0A) when it is not. */
#include <arch.h>
#include <kd.h>
#include <mm.h>
#include <rtl.h>

#define LINE_BYTES 513
#define PREFIX_BYTES 65
#define COMPONENTS 160
#define TABLE_CHARACTERS 0x2200 /* the code page has nothing above */
#define TABLE_TAG 0x20736C4EU   /* 'Nls ' */

/* For each component the levels that are not shown. None, until one is set. */
static volatile LONG HiddenLevels[COMPONENTS];

/* Paged; NULL before the pools are there. */
static PUCHAR CodePage;

/* PASSIVE_LEVEL, once the pools are there. */
VOID KdInitializeCodePage(VOID) {
    PUCHAR Table = ExAllocatePoolWithTag(PagedPool, TABLE_CHARACTERS, TABLE_TAG);
    for (ULONG i = 0; Table != NULL && i < TABLE_CHARACTERS; i++) {
        Table[i] = (UCHAR)RtlUnicodeToAnsiChar((WCHAR)i);
    }
    __atomic_store_n(&CodePage, Table, __ATOMIC_RELEASE);
}

static CHAR ConvertCharacter(WCHAR Character) {
    const UCHAR *Table = __atomic_load_n(&CodePage, __ATOMIC_ACQUIRE);
    ULONG Code = (USHORT)Character;
    if (Table == NULL) {
        return RtlUnicodeToAnsiChar(Character);
    }
    return Code < TABLE_CHARACTERS ? (CHAR)Table[Code] : '?';
}

/* Levels 0..31 are numbers of bits; a greater one is a mask, with or without DPFLTR_MASK. */
static ULONG LevelMask(ULONG Level) {
    return Level > 31 ? Level & ~(ULONG)DPFLTR_MASK : 1U << Level;
}

/* TRUE: shown. STATUS_INVALID_PARAMETER_1: no such component. Any IRQL. */
NTSTATUS DbgQueryDebugFilterState(ULONG ComponentId, ULONG Level) {
    if (ComponentId >= COMPONENTS) {
        return ComponentId == MAXULONG ? TRUE : STATUS_INVALID_PARAMETER_1;
    }
    return (LevelMask(Level) & ~(ULONG)HiddenLevels[ComponentId]) != 0;
}

/* Any IRQL. STATUS_INVALID_PARAMETER_1. */
NTSTATUS DbgSetDebugFilterState(ULONG ComponentId, ULONG Level, BOOLEAN State) {
    if (ComponentId >= COMPONENTS) {
        return STATUS_INVALID_PARAMETER_1;
    }
    if (State) {
        InterlockedAnd(&HiddenLevels[ComponentId], ~LevelMask(Level));
    } else {
        InterlockedOr(&HiddenLevels[ComponentId], LevelMask(Level));
    }
    return STATUS_SUCCESS;
}

typedef struct _PRINT_CALL {
    PCHAR Buffer;
    SIZE_T Bytes, Whole;
    PCSTR Format;
    va_list Arguments;
} PRINT_CALL;

static VOID FormatGuarded(PVOID Context) {
    PRINT_CALL *Call = Context;
    Call->Whole = RtlFormatConvertedV(Call->Buffer, Call->Bytes, ConvertCharacter, Call->Format, Call->Arguments);
}

/* Arguments are touched at the caller's IRQL, before any lock is taken. STATUS_ACCESS_VIOLATION, and nothing printed:
 * an argument points to where no memory can be. */
static ULONG Print(PCSTR Prefix, ULONG ComponentId, ULONG Level, PCSTR Format, va_list Arguments) {
    CHAR Line[LINE_BYTES];
    if (DbgQueryDebugFilterState(ComponentId, Level) != TRUE) {
        return STATUS_SUCCESS;
    }
    SIZE_T Length = strnlen(Prefix, PREFIX_BYTES - 1);
    RtlCopyMemory(Line, Prefix, Length);
    PRINT_CALL Call = {.Buffer = Line + Length, .Bytes = LINE_BYTES - 1 - Length, .Format = Format};
    va_copy(Call.Arguments, Arguments);
    NTSTATUS Status = KiCallGuarded(FormatGuarded, &Call);
    va_end(Call.Arguments);
    if (!NT_SUCCESS(Status)) {
        return (ULONG)Status;
    }
    SIZE_T Whole = Call.Whole;
    Length += Whole < LINE_BYTES - 1 - Length ? Whole : LINE_BYTES - 1 - Length;
    Line[Length] = 0;
    KdPutDriverText(Line);
    return STATUS_SUCCESS;
}

/* <= DIRQL; wide formats at PASSIVE_LEVEL, as documented. STATUS_SUCCESS. */
ULONG DbgPrint(PCSTR Format, ...) {
    va_list Arguments;
    va_start(Arguments, Format);
    ULONG Status = Print("", DPFLTR_DEFAULT_ID, DPFLTR_INFO_LEVEL, Format, Arguments);
    va_end(Arguments);
    return Status;
}

/* The same, when the filter lets the component's level through. */
ULONG DbgPrintEx(ULONG ComponentId, ULONG Level, PCSTR Format, ...) {
    va_list Arguments;
    va_start(Arguments, Format);
    ULONG Status = Print("", ComponentId, Level, Format, Arguments);
    va_end(Arguments);
    return Status;
}

/* The same. */
ULONG vDbgPrintEx(ULONG ComponentId, ULONG Level, PCCH Format, va_list Arguments) {
    return Print("", ComponentId, Level, Format, Arguments);
}

/* The same; Prefix: at most 64 bytes, printed as it is. */
ULONG vDbgPrintExWithPrefix(PCCH Prefix, ULONG ComponentId, ULONG Level, PCCH Format, va_list Arguments) {
    return Print(Prefix, ComponentId, Level, Format, Arguments);
}
