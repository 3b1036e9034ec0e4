/* test_machine.c: the promises of arch/x86_64: levels, registers across interrupts, guard pages, protections, lines. */
#include "ktest.h"

#define TEST_LEVEL 9 /* no driver asks for it */

/* ---- Interrupts ---- */

typedef struct _NOTE {
    volatile LONG Runs;
    volatile ULONG Processor, Order;
    volatile KIRQL Irql;
    volatile BOOLEAN IsOpen; /* IF = 1 */
} NOTE;

static volatile LONG OrderOfRuns;

static VOID TakeNote(PVOID Context) {
    NOTE *Note = Context;
    ULONG64 Flags;
    __asm__ volatile("pushfq; popq %0" : "=r"(Flags));
    Note->Irql = KeGetCurrentIrql();
    Note->IsOpen = (Flags & 0x200) != 0;
    Note->Processor = KeGetCurrentProcessorNumber();
    Note->Order = (ULONG)InterlockedIncrement(&OrderOfRuns);
    InterlockedIncrement(&Note->Runs);
}

KTEST(machine_interrupt_runs_on_its_cpu_at_its_level_with_interrupts_open) {
    for (KIRQL Level = 3; Level <= 11; Level++) {
        NOTE Note = {0};
        UCHAR Vector = HalConnectVector(Level, TakeNote, &Note);
        KT_REQUIRE(Vector != 0);
        KT_EXPECT_EQ(Vector >> 4, Level);
        ULONG Target = Level % KeNumberProcessors;
        HalRequestIpi(Target, Vector);
        KT_WAIT_UNTIL(Note.Runs == 1);
        KT_EXPECT_EQ(Note.Irql, Level);
        KT_EXPECT_EQ(Note.Processor, Target);
        KT_EXPECT(Note.IsOpen);
        HalDisconnectVector(Vector);
    }
}

typedef struct _NESTING {
    UCHAR Lower, Equal, Higher;
    NOTE LowerNote, EqualNote, HigherNote;
    volatile LONG HigherBefore, OthersBefore; /* when the routine ended */
    volatile LONG IsDone;
} NESTING;

static VOID AskForThree(PVOID Context) {
    NESTING *Nesting = Context;
    ULONG Self = KeGetCurrentProcessorNumber();
    HalRequestIpi(Self, Nesting->Lower);
    HalRequestIpi(Self, Nesting->Equal);
    HalRequestIpi(Self, Nesting->Higher);
    while (Nesting->HigherNote.Runs == 0) {
        YieldProcessor();
    }
    Nesting->HigherBefore = Nesting->HigherNote.Runs;
    Nesting->OthersBefore = Nesting->LowerNote.Runs + Nesting->EqualNote.Runs;
    Nesting->IsDone = TRUE;
}

KTEST(machine_only_a_higher_level_interrupts_an_interrupt) {
    NESTING Nesting = {0};
    UCHAR Start = HalConnectVector(TEST_LEVEL, AskForThree, &Nesting);
    Nesting.Lower = HalConnectVector(TEST_LEVEL - 1, TakeNote, &Nesting.LowerNote);
    Nesting.Equal = HalConnectVector(TEST_LEVEL, TakeNote, &Nesting.EqualNote);
    Nesting.Higher = HalConnectVector(TEST_LEVEL + 1, TakeNote, &Nesting.HigherNote);
    KT_REQUIRE(Start != 0 && Nesting.Lower != 0 && Nesting.Equal != 0 && Nesting.Higher != 0);
    HalRequestIpi(KeNumberProcessors - 1, Start);
    KT_WAIT_UNTIL(Nesting.IsDone && Nesting.LowerNote.Runs == 1 && Nesting.EqualNote.Runs == 1);
    KT_EXPECT_EQ(Nesting.HigherBefore, 1);
    KT_EXPECT_EQ(Nesting.OthersBefore, 0);
    KT_EXPECT(Nesting.EqualNote.Order < Nesting.LowerNote.Order);
    HalDisconnectVector(Start);
    HalDisconnectVector(Nesting.Lower);
    HalDisconnectVector(Nesting.Equal);
    HalDisconnectVector(Nesting.Higher);
}

KTEST(machine_level_has_sixteen_vectors_and_then_none) {
    UCHAR Vectors[16];
    for (ULONG i = 0; i < 16; i++) {
        Vectors[i] = HalConnectVector(TEST_LEVEL, TakeNote, NULL);
        KT_EXPECT(Vectors[i] >> 4 == TEST_LEVEL);
    }
    KT_EXPECT_EQ(HalConnectVector(TEST_LEVEL, TakeNote, NULL), 0);
    for (ULONG i = 0; i < 16; i++) {
        HalDisconnectVector(Vectors[i]);
    }
    KT_EXPECT_EQ(HalConnectVector(DISPATCH_LEVEL, TakeNote, NULL), 0);
    KT_EXPECT_EQ(HalConnectVector(SYNCH_LEVEL, TakeNote, NULL), 0);
}

KTEST(machine_disconnected_routine_does_not_run) {
    NOTE Old = {0}, New = {0};
    UCHAR Vector = HalConnectVector(TEST_LEVEL, TakeNote, &Old), Other = HalConnectVector(TEST_LEVEL, TakeNote, &New);
    KT_REQUIRE(Vector != 0 && Other != 0);
    HalDisconnectVector(Vector);
    HalRequestIpi(0, Vector); /* without a routine: counted and forgotten */
    HalRequestIpi(0, Other);
    KT_WAIT_UNTIL(New.Runs == 1);
    KT_EXPECT_EQ(Old.Runs, 0);
    HalDisconnectVector(Other);
}

/* ---- The I/O APIC: the 8254's channel 0 is ISA interrupt 0, about a thousand times a second ---- */

#define PIT_COMMAND 0x43
#define PIT_CHANNEL_0 0x40
#define PIT_CHANNEL_0_RATE 0x34
#define PIT_DIVISOR 1193

static VOID StartPit(VOID) {
    HalOut8(PIT_COMMAND, PIT_CHANNEL_0_RATE);
    HalOut8(PIT_CHANNEL_0, (UCHAR)PIT_DIVISOR);
    HalOut8(PIT_CHANNEL_0, PIT_DIVISOR >> 8);
}

KTEST(machine_isa_interrupt_comes_through_the_io_apic_to_the_chosen_cpu) {
    NOTE Note = {0};
    UCHAR Vector = HalConnectVector(TEST_LEVEL, TakeNote, &Note);
    KT_REQUIRE(Vector != 0);
    StartPit();
    for (ULONG Target = 0; Target < KeNumberProcessors; Target++) {
        Note.Runs = 0;
        KT_EXPECT(HalRouteIsaInterrupt(0, Vector, Target));
        KT_WAIT_UNTIL(Note.Runs >= 3);
        KT_EXPECT(HalRouteIsaInterrupt(0, 0, Target));
        KT_EXPECT_EQ(Note.Processor, Target);
        KT_EXPECT_EQ(Note.Irql, TEST_LEVEL);
    }
    KT_EXPECT(!HalRouteIsaInterrupt(16, Vector, 0));
    HalDisconnectVector(Vector);
}

/* ---- Registers ---- */

/* Fills all registers but rsp with marks, counts Rounds down to 0 in memory, and looks at the marks again. TRUE: all
 * kept. */
BOOLEAN KtKeepsRegisters(volatile ULONG64 *Rounds);
__asm__(".text\n"
        "KtKeepsRegisters:\n"
        "push %rbx; push %rbp; push %r12; push %r13; push %r14; push %r15; push %rdi\n"
        "mov $0x1111111111111111, %rax; lea 1(%rax), %rcx; lea 2(%rax), %rdx; lea 3(%rax), %rbx; lea 4(%rax), %rbp\n"
        "lea 5(%rax), %rsi; lea 6(%rax), %rdi; lea 7(%rax), %r8; lea 8(%rax), %r9; lea 9(%rax), %r10\n"
        "lea 10(%rax), %r11; lea 11(%rax), %r12; lea 12(%rax), %r13; lea 13(%rax), %r14; mov (%rsp), %r15\n"
        "1: decq (%r15); jnz 1b\n"
        "cmp (%rsp), %r15; jne 2f\n"
        "mov $0x1111111111111111, %r15; cmp %r15, %rax; jne 2f\n"
        "inc %r15; cmp %r15, %rcx; jne 2f; inc %r15; cmp %r15, %rdx; jne 2f; inc %r15; cmp %r15, %rbx; jne 2f\n"
        "inc %r15; cmp %r15, %rbp; jne 2f; inc %r15; cmp %r15, %rsi; jne 2f; inc %r15; cmp %r15, %rdi; jne 2f\n"
        "inc %r15; cmp %r15, %r8; jne 2f; inc %r15; cmp %r15, %r9; jne 2f; inc %r15; cmp %r15, %r10; jne 2f\n"
        "inc %r15; cmp %r15, %r11; jne 2f; inc %r15; cmp %r15, %r12; jne 2f; inc %r15; cmp %r15, %r13; jne 2f\n"
        "inc %r15; cmp %r15, %r14; jne 2f\n"
        "mov $1, %eax; jmp 3f\n"
        "2: xor %eax, %eax\n"
        "3: pop %rdi; pop %r15; pop %r14; pop %r13; pop %r12; pop %rbp; pop %rbx; ret\n");

/* Every round on every CPU may be cut by a clock tick, a DISPATCH interrupt that switches threads, or the jitter. */
static VOID KeepRegisters(ULONG Processor, PVOID Context) {
    UNREFERENCED_PARAMETER(Processor);
    for (ULONG Round = 0; Round < 20; Round++) {
        volatile ULONG64 Rounds = KtStress(100000);
        if (!KtKeepsRegisters(&Rounds)) {
            InterlockedIncrement((volatile LONG *)Context);
        }
    }
}

KTEST(machine_interrupts_leave_every_register_as_it_was) {
    volatile LONG Failures = 0;
    KtRunOnAllCpus(KeepRegisters, (PVOID)&Failures);
    KT_EXPECT_EQ(Failures, 0);
}

/* A loop with the direction flag set, which C code takes for clear; the clock comes into it, on a seeded machine the jitter. */
static VOID LoopBackwards(VOID) {
    for (ULONG64 End = KeGetCurrentPrcb()->ClockTicks + 1; KeGetCurrentPrcb()->ClockTicks < End;) {
        ULONG64 Rounds = 2000;
        __asm__ volatile("std; 1: dec %0; jnz 1b; cld" : "+r"(Rounds) : : "cc");
    }
}

static volatile ULONG Forwards;
static VOID CopyForwards(PKDPC Dpc, PVOID Context, PVOID Argument1, PVOID Argument2) {
    UNREFERENCED_PARAMETER(Dpc);
    UNREFERENCED_PARAMETER(Context);
    UNREFERENCED_PARAMETER(Argument1);
    UNREFERENCED_PARAMETER(Argument2);
    ULONG64 Flags;
    __asm__ volatile("pushfq; pop %0" : "=r"(Flags));
    Forwards += Flags >> 10 & 1 ? 0x10000 : 1;
}

KTEST(machine_interrupted_code_may_have_its_direction_flag_set) {
    KDPC Dpc;
    Forwards = 0;
    KtPin(0);
    KeInitializeDpc(&Dpc, CopyForwards, NULL);
    KeSetImportanceDpc(&Dpc, LowImportance); /* it comes with the tick that interrupts the loop */
    for (ULONG Round = 0; Round < 3; Round++) {
        KeInsertQueueDpc(&Dpc, NULL, NULL);
        LoopBackwards();
    }
    KeFlushQueuedDpcs();
    KtUnpin();
    KT_EXPECT_EQ(Forwards, 3);
}

/* ---- Protections ---- */

static ULONG_PTR CountMissingProtections(ULONG_PTR Context) {
    ULONG64 Cr0, Cr4, Efer = __readmsr(0xC0000080);
    __asm__ volatile("mov %%cr0, %0; mov %%cr4, %1" : "=r"(Cr0), "=r"(Cr4));
    BOOLEAN IsComplete = (Cr0 >> 16 & 1) && (Efer >> 11 & 1) && (Cr4 >> 20 & 1) == HalFeatures.Smep &&
                         (Cr4 >> 21 & 1) == HalFeatures.Smap && (Cr4 >> 11 & 1) == HalFeatures.Umip &&
                         (Cr4 >> 7 & 1) == HalFeatures.GlobalPages;
    if (!IsComplete) {
        InterlockedIncrement((volatile LONG *)Context);
    }
    return 0;
}

KTEST(machine_WP_NX_SMEP_SMAP_UMIP_are_on_in_every_cpu_that_has_them) {
    volatile LONG Missing = 0;
    KeIpiGenericCall(CountMissingProtections, (ULONG_PTR)&Missing);
    KT_EXPECT_EQ(Missing, 0);
}

static VOID ExpectStack(ULONG64 Top, ULONG64 Bytes) {
    KT_EXPECT(MmIsAddressValid((PVOID)(Top - 8)));
    KT_EXPECT(MmIsAddressValid((PVOID)(Top - Bytes)));
    KT_EXPECT(!MmIsAddressValid((PVOID)(Top - Bytes - 8)));
}

KTEST(machine_every_stack_has_a_guard_page_below) {
    for (ULONG Number = 0; Number < KeNumberProcessors; Number++) {
        PKPRCB Prcb = KiProcessorBlock[Number];
        PKPCR Pcr = CONTAINING_RECORD(Prcb, KPCR, Prcb);
        for (ULONG i = 0; i < RTL_NUMBER_OF(Pcr->IstStack); i++) {
            ExpectStack(Pcr->IstStack[i], IST_STACK_SIZE);
        }
        ExpectStack(Prcb->DpcStack, DPC_STACK_SIZE);
        ExpectStack(Prcb->IdleThread->StackBase, KERNEL_STACK_SIZE);
        KT_EXPECT_EQ(Prcb->IdleThread->StackBase - Prcb->IdleThread->StackLimit, KERNEL_STACK_SIZE);
    }
}

/* ---- Stops of the machine ---- */

KTEST_CRASH(machine_exception_1F_is_no_APC_interrupt) {
    __asm__ volatile("int $0x1F");
}

static VOID LowerAndReturn(PVOID Context) {
    UNREFERENCED_PARAMETER(Context);
    KeLowerIrql(TEST_LEVEL - 1);
}

KTEST_CRASH(machine_interrupt_routine_returns_at_another_level) {
    UCHAR Vector = HalConnectVector(TEST_LEVEL, LowerAndReturn, NULL);
    HalRequestIpi(0, Vector);
    KtSleep(1000);
}
