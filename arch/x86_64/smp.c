/* smp.c: starting the other CPUs of the MADT: INIT to all, then one start-up IPI at a time.
 *
 * A CPU wakes in real mode, at a page below 1 MiB: ap.asm is copied there, goes to long mode, and takes its PCR out
 * of a mailbox with an xchg. Because it is taken only once, a CPU that was given up and wakes late finds nothing
 * and halts. Numbers are given without gaps: the PCR of a CPU that stays silent goes to the next one. */
#include "hal.h"
#include <bootinfo.h>
#include <kd.h>
#include <mm.h>
#include <trace.h>

#define PROCESSOR_TAG 'rcPK'
#define INIT_MICROSECONDS 10000     /* Intel: "MP Initialization Protocol Algorithm" */
#define RETRY_MICROSECONDS 1000     /* a second start-up IPI, for those that missed the first */
#define ANSWER_MICROSECONDS 2000000 /* an emulator on a busy host may take its time */
#define POLL_MICROSECONDS 10

/* ap.asm */
extern const UCHAR KiTrampoline[], KiTrampolineEnd[], KiTrampolineCr3[], KiTrampolineGdtBase[], KiTrampolineEntry[];

PKPCR volatile KiTrampolineMailbox; /* ap.asm takes it */

typedef struct _PROCESSOR {
    KPCR Pcr;
    DESCRIPTOR_TABLES Tables;
} PROCESSOR;

ULONG HalCountProcessors(VOID) {
    return HalpMachine.ProcessorCount != 0 ? HalpMachine.ProcessorCount : 1;
}

/* ---- The trampoline ---- */

static VOID PatchTrampoline(UCHAR *Copy, const UCHAR *Place, ULONG Addend) {
    ULONG Value;
    memcpy(&Value, Place, sizeof(Value));
    Value += Addend;
    memcpy(Copy + (Place - KiTrampoline), &Value, sizeof(Value));
}

/* The page is writable or executable, never both: its entry in the identity map is changed in between. */
static VOID PlaceTrampoline(ULONG64 Page) {
    UCHAR *Copy = (UCHAR *)Page;
    memcpy(Copy, KiTrampoline, (SIZE_T)(KiTrampolineEnd - KiTrampoline));
    PatchTrampoline(Copy, KiTrampolineCr3, (ULONG)__readcr3()); /* the tables lie in the kernel's image, below 4 GiB */
    PatchTrampoline(Copy, KiTrampolineGdtBase, (ULONG)Page);
    PatchTrampoline(Copy, KiTrampolineEntry, (ULONG)Page);
    *MiGetPteAddress(Page) = Page | PTE_VALID;
    KeFlushTb(Copy, 1);
}

static VOID RemoveTrampoline(ULONG64 Page) {
    *MiGetPteAddress(Page) = Page | PTE_VALID | PTE_WRITE | PTE_NX;
    KeFlushTb((PVOID)Page, 1);
}

/* ---- One CPU ---- */

static VOID DeleteProcessor(PROCESSOR *Processor) {
    PKPCR Pcr = &Processor->Pcr;
    for (ULONG i = 0; i < RTL_NUMBER_OF(Pcr->IstStack); i++) {
        if (Pcr->IstStack[i] != 0) {
            MmDeleteKernelStack(Pcr->IstStack[i], IST_STACK_SIZE);
        }
    }
    if (Pcr->Prcb.DpcStack != 0) {
        MmDeleteKernelStack(Pcr->Prcb.DpcStack, DPC_STACK_SIZE);
    }
    KdDeleteTraceRing(&Pcr->Prcb);
    ExFreePoolWithTag(Processor, PROCESSOR_TAG);
}

/* The CPU never ran: its control block is removed without a trace. */
static VOID ForgetProcessor(PROCESSOR *Processor, ULONG Number) {
    KiProcessorBlock[Number] = NULL;
    MmDeleteKernelStack(Processor->Pcr.Prcb.IdleThread->StackBase, KERNEL_STACK_SIZE);
    DeleteProcessor(Processor);
}

/* All that a CPU needs before its first instruction in the kernel; NULL: no memory. */
static PROCESSOR *CreateProcessor(ULONG Number) {
    PROCESSOR *Processor = ExAllocatePoolWithTag(NonPagedPoolNx, sizeof(PROCESSOR), PROCESSOR_TAG);
    if (Processor == NULL) {
        return NULL;
    }
    memset(Processor, 0, sizeof(*Processor));
    PKPCR Pcr = &Processor->Pcr;
    Pcr->GdtBase = Processor->Tables.Gdt;
    BOOLEAN HasMemory = (Pcr->Prcb.DpcStack = MmCreateKernelStack(DPC_STACK_SIZE)) != 0;
    for (ULONG i = 0; i < RTL_NUMBER_OF(Pcr->IstStack); i++) {
        HasMemory &= (Pcr->IstStack[i] = MmCreateKernelStack(IST_STACK_SIZE)) != 0;
    }
    ULONG64 IdleStack = HasMemory ? MmCreateKernelStack(KERNEL_STACK_SIZE) : 0;
    if (IdleStack == 0) {
        DeleteProcessor(Processor);
        return NULL;
    }
    KeInitializeProcessor(Pcr, Number);
    Pcr->Prcb.IdleThread->StackBase = IdleStack;
    Pcr->Prcb.IdleThread->StackLimit = IdleStack - KERNEL_STACK_SIZE;
    if (!KdCreateTraceRing(&Pcr->Prcb)) {
        ForgetProcessor(Processor, Number);
        return NULL;
    }
    return Processor;
}

static BOOLEAN MailboxIsTaken(ULONG Number) {
    UNREFERENCED_PARAMETER(Number);
    return __atomic_load_n(&KiTrampolineMailbox, __ATOMIC_ACQUIRE) == NULL;
}

static BOOLEAN IsActive(ULONG Number) {
    return __atomic_load_n(&KeNumberProcessors, __ATOMIC_ACQUIRE) > Number;
}

static BOOLEAN WaitFor(BOOLEAN (*IsTrue)(ULONG), ULONG Number, ULONG LimitMicroSeconds) {
    for (ULONG Waited = 0; Waited < LimitMicroSeconds; Waited += POLL_MICROSECONDS) {
        if (IsTrue(Number)) {
            return TRUE;
        }
        HalStall(POLL_MICROSECONDS);
    }
    return IsTrue(Number);
}

/* TRUE: the CPU has taken the mailbox. FALSE: it has not, and no longer can. */
static BOOLEAN WakeProcessor(PKPCR Pcr, ULONG ApicId, ULONG64 Page) {
    __atomic_store_n(&KiTrampolineMailbox, Pcr, __ATOMIC_SEQ_CST);
    HalpSendStartup(ApicId, Page);
    if (WaitFor(MailboxIsTaken, 0, RETRY_MICROSECONDS)) {
        return TRUE;
    }
    HalpSendStartup(ApicId, Page);
    if (WaitFor(MailboxIsTaken, 0, ANSWER_MICROSECONDS)) {
        return TRUE;
    }
    return __atomic_exchange_n(&KiTrampolineMailbox, NULL, __ATOMIC_SEQ_CST) == NULL;
}

/* FALSE: no memory, or a CPU is lost half-way; no more are started. */
static BOOLEAN StartProcessor(ULONG ApicId, ULONG64 Page) {
    ULONG Number = KeNumberProcessors;
    PROCESSOR *Processor = CreateProcessor(Number);
    if (Processor == NULL) {
        KdPrintf("smp: no memory for CPU %u\n", Number);
        return FALSE;
    }
    if (!WakeProcessor(&Processor->Pcr, ApicId, Page)) {
        KdPrintf("smp: the CPU with APIC id %u does not answer and is left out\n", ApicId);
        HalpSendInit(ApicId); /* back to sleep, should it have wanted to wake */
        ForgetProcessor(Processor, Number);
        return TRUE;
    }
    if (!WaitFor(IsActive, Number, ANSWER_MICROSECONDS)) {
        KdPrintf("smp: CPU %u (APIC id %u) woke and was not heard of again\n", Number, ApicId);
        return FALSE;
    }
    return TRUE;
}

static VOID SendInitToAll(ULONG OwnApicId) {
    for (ULONG i = 0; i < HalpMachine.ProcessorCount; i++) {
        if (HalpMachine.ApicId[i] != OwnApicId) {
            HalpSendInit(HalpMachine.ApicId[i]);
        }
    }
    HalStall(INIT_MICROSECONDS);
}

/* PASSIVE_LEVEL, boot CPU's first thread; each CPU is active when this returns. Maximum counts the boot CPU. */
VOID HalStartProcessors(ULONG Maximum) {
    ULONG OwnApicId = KiProcessorBlock[0]->ApicId;
    ULONG64 Page = KeBootInfo->Trampoline;
    if (Maximum <= 1 || HalpMachine.ProcessorCount <= 1) {
        return;
    }
    if (Page == 0) {
        KdPrintf("smp: no RAM below 1 MiB to start other CPUs from\n");
        return;
    }
    PlaceTrampoline(Page);
    SendInitToAll(OwnApicId);
    for (ULONG i = 0; i < HalpMachine.ProcessorCount && KeNumberProcessors < Maximum; i++) {
        ULONG ApicId = HalpMachine.ApicId[i];
        if (ApicId != OwnApicId && !StartProcessor(ApicId, Page)) {
            break;
        }
    }
    RemoveTrampoline(Page);
}

/* Every other CPU arrives here on its idle thread's stack, IF = 0, CR8 = 0, GS not yet loaded. */
DECLSPEC_NORETURN VOID KiProcessorStartup(PKPCR Pcr) {
    HalMarkFirstFrame();
    HalInitializeProcessor(Pcr);
    KeActivateProcessor();
    HalStartClock();
    KiIdleLoop();
}
