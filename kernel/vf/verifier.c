/* verifier.c: the verified drivers and the options, and the tables of thunks for their imports.
 *
 * Only calls through imports are seen, as on Windows: inline code of a header, and calls of one kernel function by
 * another, are not. The rules themselves are in verifier*.c and deadlock.c, one concept in each. */
#include "vf.h"
#include <ring.h>

#define NAMES_BYTES 256

ULONG VfOptions;
VF_STATISTICS VfStatistics;
static CHAR ScenarioDriver[LDR_NAME_BYTES], NamedDrivers[NAMES_BYTES];
static BOOLEAN IsEveryDriver;

/* The machine's own drivers are not under test, unless verify=NAME names one. */
static const PCSTR MachineDrivers[] = {"virtio-blk", "ivshmem", "fastfat"};

/* ---- Options ---- */

static const struct {
    PCSTR Name;
    ULONG Options;
} OptionNames[] = {
    {"special-pool", VF_SPECIAL_POOL},
    {"irql", VF_IRQL},
    {"lowres", VF_LOW_RESOURCES},
    {"tracking", VF_TRACKING},
    {"io", VF_IO},
    {"deadlock", VF_DEADLOCK},
    {"misc", VF_MISC},
    {"standard", VF_STANDARD},
    {"all", VF_STANDARD | VF_LOW_RESOURCES},
};

/* "0x29": Driver Verifier's mask; bits that are not built are named. FALSE: no number. */
static BOOLEAN ParseMask(PCSTR Text) {
    ULONG Mask = 0, Built = VF_STANDARD | VF_LOW_RESOURCES;
    if (Text[0] != '0' || (Text[1] | 32) != 'x' || !Text[2]) {
        return FALSE;
    }
    for (Text += 2; *Text; Text++) {
        UCHAR Digit = (UCHAR)(*Text - '0'), Letter = (UCHAR)((*Text | 32) - 'a');
        if (Digit > 9 && Letter > 5) {
            return FALSE;
        }
        Mask = Mask << 4 | (Digit <= 9 ? Digit : Letter + 10u);
    }
    if (Mask & ~Built) {
        KdPrintf("verifier: bits 0x%X are not built and check nothing\n", Mask & ~Built);
    }
    VfOptions |= Mask & Built;
    return TRUE;
}

static VOID ParseOption(PCSTR Name) {
    for (ULONG i = 0; i < RTL_NUMBER_OF(OptionNames); i++) {
        if (strcmp(OptionNames[i].Name, Name) == 0) {
            VfOptions |= OptionNames[i].Options;
            return;
        }
    }
    if (!ParseMask(Name)) {
        KdPrintf(
            "verifier: no such option: '%s'. Available options: special-pool irql tracking deadlock lowres io misc "
            "standard all, or a mask such as 0x9\n",
            Name);
    }
}

/* Calls Use for each name of a list that commas divide; the list is cut up. */
static VOID ForEachName(PCHAR List, VOID (*Use)(PCSTR Name)) {
    for (PCHAR Name = List; Name != NULL && *Name;) {
        PCHAR Comma = strchr(Name, ',');
        if (Comma != NULL) {
            *Comma++ = 0;
        }
        Use(Name);
        Name = Comma;
    }
}

/* Options for which there is no memory are turned off, with a message. */
static VOID StartOptions(VOID) {
    if (VfHas(VF_SPECIAL_POOL) && !MmEnableSpecialPool()) {
        KdPrintf("verifier: no memory for special pool\n");
        VfOptions &= ~VF_SPECIAL_POOL;
    }
    if (VfHas(VF_IO) && MmEnableSpecialPool()) {
        VfWatchIrps();
    }
    if (VfHas(VF_DEADLOCK) && !VfDeadlockEnable()) {
        KdPrintf("verifier: no memory for deadlock detection\n");
        VfOptions &= ~VF_DEADLOCK;
    }
}

static const KE_VERIFIER Hooks;

/* Options are chosen: from now on the core calls the hooks. */
static VOID Begin(VOID) {
    StartOptions();
    KeVerifier = &Hooks;
}

static VOID ParseCommandLine(VOID) {
    CHAR Text[NAMES_BYTES];
    if (!KeGetBootOption("verifier", Text, sizeof(Text))) {
        return;
    }
    KeGetBootOption("verify", NamedDrivers, sizeof(NamedDrivers));
    IsEveryDriver = NamedDrivers[0] == 0;
    if (Text[0] == 0) {
        VfOptions |= VF_STANDARD;
    }
    ForEachName(Text, ParseOption);
    if (VfOptions != 0) {
        Begin();
    }
}
KE_STARTUP_STEP(StartFirstThread, ParseCommandLine);

/* ---- Drivers ---- */

VOID VfEnable(PCSTR Driver) {
    if (VfOptions == 0) {
        VfOptions = VF_STANDARD;
        Begin();
    }
    if (Driver == NULL) {
        IsEveryDriver = TRUE;
        return;
    }
    RtlFormat(ScenarioDriver, sizeof(ScenarioDriver), "%s", Driver);
}

static BOOLEAN IsNamed(PCSTR Driver) {
    SIZE_T Length = strlen(Driver);
    for (PCSTR Name = NamedDrivers; Name != NULL && *Name; Name = strchr(Name, ',')) {
        Name += *Name == ',';
        if (strncmp(Name, Driver, Length) == 0 && (Name[Length] == 0 || Name[Length] == ',')) {
            return TRUE;
        }
    }
    return FALSE;
}

BOOLEAN VfIsVerified(PCSTR Driver) {
    if (VfOptions == 0) {
        return FALSE;
    }
    for (ULONG i = 0; IsEveryDriver && i < RTL_NUMBER_OF(MachineDrivers); i++) {
        if (strcmp(MachineDrivers[i], Driver) == 0) {
            return FALSE;
        }
    }
    return IsEveryDriver || IsNamed(Driver) || strcmp(ScenarioDriver, Driver) == 0;
}

/* ---- Thunks ---- */

static const VF_THUNK *const Tables[] = {VfIrqlThunks,     VfSpinLockThunks, VfWaitThunks,   VfMutexThunks,
                                         VfResourceThunks, VfPoolThunks,     VfObjectThunks, VfIoThunks,
                                         VfSendThunks,     VfDeviceThunks,   VfServiceThunks};

static const void *BindImport(PCSTR Driver, PCSTR Import) {
    for (ULONG i = 0; i < RTL_NUMBER_OF(Tables) && VfIsVerified(Driver); i++) {
        for (const VF_THUNK *Row = Tables[i]; Row->Import != NULL; Row++) {
            if (strcmp(Row->Import, Import) == 0) {
                return Row->Thunk;
            }
        }
    }
    return NULL;
}

static const KE_VERIFIER Hooks = {BindImport, VfDriverUnloaded, VfCallDispatch, VfNotifyFree};

/* ---- Shared by several rules ---- */

VOID VfCaptureStack(PVOID *Frames, ULONG Maximum) {
    KD_FRAME Walked[24];
    KD_FRAME Calling = KD_CALLING_FRAME();
    ULONG Count = KdWalkStack(&Calling, Walked, RTL_NUMBER_OF(Walked));
    ULONG First = 0, Kept = 0;
    while (First < Count && LdrIsKernelAddress(Walked[First].Rip)) {
        First++;
    }
    BOOLEAN IsDriver = TRUE;
    while (Kept < Maximum && First + Kept < Count && IsDriver) {
        ULONG64 Rip = Walked[First + Kept].Rip;
        Frames[Kept++] = (PVOID)Rip;
        IsDriver = !LdrIsKernelAddress(Rip);
    }
    while (Kept < Maximum) {
        Frames[Kept++] = NULL;
    }
}
KE_ATTACH(MmCaptureStack, VfCaptureStack);
