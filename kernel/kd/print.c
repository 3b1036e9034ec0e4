/* print.c: text for people on COM1 and the screen, for programs on COM2. A call's text never mixes with another's.
 *
 * The caller may be an interrupt routine of any level, on top of a thread that prints. So the lock is held at
 * HIGH_LEVEL, where no interrupt comes that could want it, and only while finished text goes to the UART: formatting,
 * which may touch the caller's memory and fault, comes before. Nothing is locked while one CPU runs, nor when dying. */
#include <arch.h>
#include <kd.h>
#include <rtl.h>

#define LINE_BYTES 513     /* as much as a call of DbgPrint prints (dbgprint.c) */
#define CHANNEL_BYTES 1024 /* an object of a verdict, with names of drivers and their functions in it */

KE_DECLARE_LOCK(KdPrintLock, RANK_PRINT, "the order of whole texts on COM1 and COM2");

static volatile BOOLEAN KdIsDying;

static VOID PutText(ULONG Port, PCSTR Text) {
    KIRQL OldIrql = KfRaiseIrql(HIGH_LEVEL);
    BOOLEAN OwnsLock = KeNumberProcessors > 1 && !KdIsDying;
    if (OwnsLock) {
        KeAcquireSpinLockAtDpcLevel(&KdPrintLock);
    }
    HalSerialPut(Port, Text);
    if (Port == 1) {
        KdScreenPut(Text);
    }
    if (OwnsLock) {
        KeReleaseSpinLockFromDpcLevel(&KdPrintLock);
    }
    KeLowerIrql(OldIrql);
}

/* Any IRQL. Text is resident. */
VOID KdPutString(PCSTR Text) {
    PutText(1, Text);
}

/* Any IRQL. Text is resident. */
VOID KdPutChannel(PCSTR Text) {
    if (HalHasSerial(2)) {
        PutText(2, Text);
    }
}

/* Any IRQL. */
VOID KdPrintf(PCSTR Format, ...) {
    CHAR Line[LINE_BYTES];
    va_list Arguments;
    va_start(Arguments, Format);
    RtlFormatV(Line, sizeof(Line), Format, Arguments);
    va_end(Arguments);
    KdPutString(Line);
}

/* Any IRQL. */
VOID KdChannelf(PCSTR Format, ...) {
    CHAR Line[CHANNEL_BYTES];
    va_list Arguments;
    va_start(Arguments, Format);
    RtlFormatV(Line, sizeof(Line), Format, Arguments);
    va_end(Arguments);
    KdPutChannel(Line);
}

/* Text in the form of a JSON string, cut to Bytes. Control characters but \n and \t become blanks. Any IRQL. */
VOID KdEscapeText(PCHAR Buffer, SIZE_T Bytes, PCSTR Text) {
    SIZE_T Length = 0;
    for (; *Text != 0 && Length + 3 <= Bytes; Text++) {
        CHAR Letter = *Text == '\n' ? 'n' : *Text == '\t' ? 't' : *Text == '"' || *Text == '\\' ? *Text : 0;
        if (Letter != 0) {
            Buffer[Length++] = '\\';
        }
        Buffer[Length++] = Letter != 0 ? Letter : (UCHAR)*Text < ' ' ? ' ' : *Text;
    }
    Buffer[Length] = 0;
}

/* A driver's text: on COM1 like all text, and on COM2 as {"print": text} when a driver is judged, so that its words can
 * be told from the kernel's. Any IRQL. */
VOID KdPutDriverText(PCSTR Text) {
    enum { PIECE = 100 };
    KdPutString(Text);
    if (!KeGetBootOption("driver", NULL, 0)) {
        return;
    }
    for (SIZE_T Left = strlen(Text); Left > 0;) {
        CHAR Piece[PIECE + 1], Escaped[2 * PIECE + 3];
        SIZE_T Length = Left < PIECE ? Left : PIECE;
        RtlCopyMemory(Piece, Text, Length);
        Piece[Length] = 0;
        KdEscapeText(Escaped, sizeof(Escaped), Piece);
        KdChannelf("{\"print\":\"%s\"}\n", Escaped);
        Text += Length;
        Left -= Length;
    }
}

/* Any IRQL, one CPU left: the others may have been stopped while they held the lock. */
VOID KdEnterDying(VOID) {
    KdIsDying = TRUE;
}
