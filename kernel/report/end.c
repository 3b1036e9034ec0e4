/* end.c: the kernel's last words, on COM2: how it ended. Then it leaves the emulator, if there is one. */
#include <bugreport.h>

#include <arch.h>
#include <rtl.h>

PCSTR KiEndName = "start";
static ULONG ExpectedCode;

VOID KeExpectEnd(PCSTR Name, ULONG Code) {
    KiEndName = Name;
    ExpectedCode = Code;
}

/* The fields that only a bugcheck has. */
static VOID AppendBugCheck(PCHAR Line, SIZE_T Bytes) {
    CHAR Where[240], Caller[240];
    KiFormatGuiltyFrame(Where, sizeof(Where));
    KiAppend(Line, Bytes,
             ",\"code\":\"0x%08X\",\"p\":[\"0x%016llX\",\"0x%016llX\",\"0x%016llX\",\"0x%016llX\"],\"name\":\"%s\"",
             KiBug.Code, KiBug.Parameter[0], KiBug.Parameter[1], KiBug.Parameter[2], KiBug.Parameter[3],
             KiFindBugCode(KiBug.Code)->Name);
    KiFormatCallingFrame(Caller, sizeof(Caller));
    KiAppend(Line, Bytes, ",\"where\":\"%s\",\"irql\":%u,\"caller\":\"%s\"", Where, KiBug.Irql, Caller);
}

/* Any IRQL; while dying, or in a thread at PASSIVE_LEVEL. End is "completed", "bugcheck" or "tests". With "hold" on the
 * command line, or outside an emulator, the machine stays as it is and only this CPU halts. */
DECLSPEC_NORETURN VOID KeEndMachine(PCSTR End, BOOLEAN IsExpected) {
    static CHAR Line[1200];
    ULONG Processor = KiIsDying() ? KiBug.Processor : KeGetCurrentProcessorNumber();
    RtlFormat(Line, sizeof(Line), "%s{\"end\":\"%s\",\"scenario\":\"%s\",\"expected\":%s", KiIsDying() ? "\n" : "", End,
              KiEndName, IsExpected ? "true" : "false");
    if (KiIsDying()) {
        KdEnterDying(); /* the report may not have got that far */
        AppendBugCheck(Line, sizeof(Line));
    }
    KiAppend(Line, sizeof(Line), ",\"seed\":%llu,\"cpu\":%u}\n", KeSeed, Processor);
    KdPutChannel(Line);
    if (!KeGetBootOption("hold", NULL, 0)) {
        HalLeaveEmulator(IsExpected);
    }
    HalHalt();
}

static VOID EndBugCheck(VOID) {
    KeEndMachine("bugcheck", ExpectedCode != 0 && KiBug.Code == ExpectedCode && !KiBug.IsCut);
}
KE_BUG_STEP(99, EndBugCheck, NULL);
