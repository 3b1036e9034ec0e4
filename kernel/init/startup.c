/* startup.c: the order of initialisation, from the first C statement to the first thread and the story.
 *
 * The boot CPU runs KiSystemStartup with interrupts off, becomes its own idle thread, and makes one system thread. That
 * does all that must wait: the other CPUs, the disk, the page file, the drivers. */
#include <arch.h>
#include <bootinfo.h>
#include <ex.h>
#include <io.h>
#include <kd.h>
#include <ke.h>
#include <ldr.h>
#include <mm.h>
#include <ps.h>
#include <ring.h>
#include <story.h>
#include <trace.h>

/* entry.asm: the boot CPU's stacks, in the kernel's image, with unmapped pages between them. */
extern UCHAR KiBootStackLimit[], KiBootStackTop[], KiBootDpcStack[], KiBootDoubleFaultStack[], KiBootNmiStack[],
    KiBootMachineCheckStack[];

static KPCR KiBootPcr = {
    .IstStack = {(ULONG64)KiBootDoubleFaultStack, (ULONG64)KiBootNmiStack, (ULONG64)KiBootMachineCheckStack},
    .Prcb.DpcStack = (ULONG64)KiBootDpcStack};

static VOID PrintBanner(VOID) {
    PCSTR Build = DBG ? "checked" : "free";
    KdPrintf("Bugcheck, %s build, started by %s: %s\n", Build, KeBootInfo->Protocol, HalFeatures.Brand);
    KdPrintf("%u MiB of RAM, command line: %s\n", (ULONG)(KeBootInfo->TotalRam >> 20), KeBootInfo->CommandLine);
}

/* Sets the ring's hooks: pointers of the core, NULL without the ring. */
static VOID AttachRing(VOID) {
    for (const KE_ATTACHMENT *Row = KiAttachments; Row < KiAttachmentsEnd; Row++) {
        *Row->Hook = Row->Value;
    }
}

/* Runs the ring's steps for this moment. */
static VOID RunSteps(KE_START When) {
    for (const KE_STARTUP_ROW *Row = KiStartupRows; Row < KiStartupRowsEnd; Row++) {
        if (Row->When == When) {
            Row->Run();
        }
    }
}

/* The rest of the start, in a thread, because it waits: PASSIVE_LEVEL. */
static VOID Phase1(PVOID Context) {
    UNREFERENCED_PARAMETER(Context);
    KdPrintf("ke: first thread after %u us\n", (ULONG)(HalReadTsc() * 1000000 / HalFeatures.TscHz));
    RunSteps(StartFirstThread);
    PsInitializeSystem();
    KdInitializeCodePage();
    ExInitializeWorkers();
    IoScanPci();
    HalStartProcessors((ULONG)KeGetBootOptionNumber("cpus", MAXIMUM_PROCESSORS));
    KdPrintf("ke: %u %s\n", KeNumberProcessors, KeNumberProcessors == 1 ? "CPU runs" : "CPUs run");
    RunSteps(StartBeforeDisks);
    IoInitializeSystem();
    RunSteps(StartAfterDisks);
    NTSTATUS Status = MmInitializePaging();
    if (!NT_SUCCESS(Status)) {
        KdPrintf("mm: no page file (status 0x%08X): paged pool stays resident\n", Status);
    }
    MmReleaseBootMemory();
    RunSteps(StartAfterPaging);
    RunSteps(StartLast);
    StoryRun();
}

DECLSPEC_NORETURN VOID KiSystemStartup(ULONG Magic, ULONG64 Info) {
    HalMarkFirstFrame();
    HalInitializeSerial();
    KiInitializeStackCookie();
    AttachRing();
    KeInitializeProcessor(&KiBootPcr, 0);
    KiBootPcr.Prcb.IdleThread->StackBase = (ULONG64)KiBootStackTop;
    KiBootPcr.Prcb.IdleThread->StackLimit = (ULONG64)KiBootStackLimit;
    HalInitializeBootProcessor(&KiBootPcr);
    BootReadInformation(Magic, Info, KeBootInfo);
    KeSeed = KeGetBootOptionNumber("seed", 0);
    MmInitializeSystem(KeBootInfo);
    LdrInitialize();
    RunSteps(StartBeforeScreen);
    HalInitializeFramebuffer();
    PrintBanner();
    HalInitializeAcpi(KeBootInfo->Rsdp);
    KdInitializeTrace(HalCountProcessors());
    HalInitializeInterrupts();
    KiInitializeClock();
    RunSteps(StartBeforeClock);
    KeActivateProcessor();
    KeRaiseIrqlToDpcLevel(); /* no switch before the idle loop, which lowers again and turns interrupts on */
    NTSTATUS Status = PsCreateNamedThread(NULL, "phase 1", 13, Phase1, NULL);
    if (!NT_SUCCESS(Status)) {
        KeBugCheckEx(PHASE1_INITIALIZATION_FAILED, (ULONG_PTR)Status, 0, 0, 0);
    }
    HalStartClock();
    KiIdleLoop();
}
