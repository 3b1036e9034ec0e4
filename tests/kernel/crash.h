/* crash.h: the line of a test that must stop the machine, with code and parameters: "# expect CODE P1 P2 P3 P4". */
#ifndef _CRASH_H_
#define _CRASH_H_

#include "ktest.h"
#include <rtl.h>

#define TAG 'tseT' /* "Test" */
#define ANY 0xA11A11A11A11A11AULL
#define UNMAPPED 0xFFFFFAE000000000ULL /* in the nonpaged pool's region, where nothing was ever mapped */
#define NOT_CANONICAL 0x0123456789ABCDEFULL
#define SIGN_EXTENDED(Status) ((ULONG64)(LONG64)(Status))

static inline VOID AppendParameter(PCHAR Line, SIZE_T Bytes, ULONG64 Value) {
    SIZE_T Length = strlen(Line);
    RtlFormat(Line + Length, Bytes - Length, Value == ANY ? " any" : " %llx", Value);
}

static inline VOID Expect(ULONG Code, ULONG64 P1, ULONG64 P2, ULONG64 P3, ULONG64 P4) {
    CHAR Line[128];
    RtlFormat(Line, sizeof(Line), "# expect %x", Code);
    AppendParameter(Line, sizeof(Line), P1);
    AppendParameter(Line, sizeof(Line), P2);
    AppendParameter(Line, sizeof(Line), P3);
    AppendParameter(Line, sizeof(Line), P4);
    KdChannelf("%s\n", Line);
}

static inline VOID Raise(KIRQL Level) {
    KIRQL OldIrql;
    KeRaiseIrql(Level, &OldIrql);
}

#endif
