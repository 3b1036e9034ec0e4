/* crash_bugcheck.c: one way into each bugcheck that a trap or a broken rule causes. Each says first what it expects.
 *
 * The line "# expect CODE P1 P2 P3 P4" (hexadecimal, "any" for an unknown one) goes to COM2; the host compares all of
 * it with the verdict. This module counts as a driver: its own instructions make 0xD1, the kernel's make 0xA and
 * 0xD3. */
#include "../../kernel/ldr/ldrp.h"
#include "../../kernel/mm/mi.h"
#include "../../kernel/mm/pool.h"
#include "crash.h"
#include "../../arch/x86_64/hal.h"
#include <bugcheck.h>
#include <ldr.h>
#include <rtl.h>

#define NOINLINE __attribute__((noinline))

/* The instructions that are expected to fault; P4 (or P2, P3) is the address of such a label. */
extern const CHAR CrashRead[], CrashWrite[], CrashUndefined[], CrashBreakpoint[], CrashDivide[];

static VOID NOINLINE Read(ULONG64 Address) {
    ULONG Value;
    __asm__ volatile(".globl CrashRead\nCrashRead: movl (%1), %0" : "=r"(Value) : "r"(Address) : "memory");
}

static VOID NOINLINE Write(ULONG64 Address) {
    __asm__ volatile(".globl CrashWrite\nCrashWrite: movl $1, (%0)" : : "r"(Address) : "memory");
}

static VOID NOINLINE Undefined(VOID) {
    __asm__ volatile(".globl CrashUndefined\nCrashUndefined: ud2");
}

static VOID NOINLINE Breakpoint(VOID) {
    __asm__ volatile(".globl CrashBreakpoint\nCrashBreakpoint: int3");
}

static VOID NOINLINE Divide(VOID) {
    __asm__ volatile("xorl %%ecx, %%ecx\n.globl CrashDivide\nCrashDivide: divl %%ecx" : : : "rax", "rcx", "rdx", "cc");
}

/* A page of paged pool that was written and now is in the page file. */
static ULONG64 MakePagedOut(VOID) {
    PVOID Block = ExAllocatePoolWithTag(PagedPool, PAGE_SIZE, TAG);
    if (Block) {
        memset(Block, 0x5A, PAGE_SIZE);
        MmTrimRange(Block, PAGE_SIZE);
        MmFlushModifiedPages();
        MmPurgeStandby();
    }
    return (ULONG64)Block;
}

/* ---- 0xD1: the driver's own instruction, at DISPATCH_LEVEL ---- */

KTEST_CRASH(D1_NULL_written) {
    Expect(DRIVER_IRQL_NOT_LESS_OR_EQUAL, 8, DISPATCH_LEVEL, 1, (ULONG64)CrashWrite);
    Raise(DISPATCH_LEVEL);
    Write(8);
}

KTEST_CRASH(D1_page_file_written) {
    ULONG64 Address = MakePagedOut() + 0x40;
    Expect(DRIVER_IRQL_NOT_LESS_OR_EQUAL, Address, DISPATCH_LEVEL, 1, (ULONG64)CrashWrite);
    Raise(DISPATCH_LEVEL);
    Write(Address);
}

KTEST_CRASH(D1_page_file_read) {
    ULONG64 Address = MakePagedOut();
    Expect(DRIVER_IRQL_NOT_LESS_OR_EQUAL, Address, DISPATCH_LEVEL, 0, (ULONG64)CrashRead);
    Raise(DISPATCH_LEVEL);
    Read(Address);
}

/* Even at PASSIVE_LEVEL: with IF = 0 nothing can be waited for. NT's word for it is IRQL 0xFF. */
KTEST_CRASH(D1_page_file_read_with_interrupts_off) {
    ULONG64 Address = MakePagedOut();
    Expect(DRIVER_IRQL_NOT_LESS_OR_EQUAL, Address, 0xFF, 0, (ULONG64)CrashRead);
    _disable();
    Read(Address);
}

KTEST_CRASH(D1_transition_page_read) {
    PVOID Block = ExAllocatePoolWithTag(PagedPool, PAGE_SIZE, TAG);
    memset(Block, 1, PAGE_SIZE);
    Expect(DRIVER_IRQL_NOT_LESS_OR_EQUAL, (ULONG64)Block, DISPATCH_LEVEL, 0, (ULONG64)CrashRead);
    Raise(DISPATCH_LEVEL);
    MmTrimRange(Block, PAGE_SIZE);
    Read((ULONG64)Block);
}

KTEST_CRASH(D1_demand_zero_page_written_at_device_level) {
    ULONG64 Block = (ULONG64)ExAllocatePoolWithTag(PagedPool, 2 * PAGE_SIZE, TAG);
    Expect(DRIVER_IRQL_NOT_LESS_OR_EQUAL, Block + PAGE_SIZE, 7, 1, (ULONG64)CrashWrite);
    Raise(7);
    Write(Block + PAGE_SIZE);
}

KTEST_CRASH(D1_paged_out_address_called) {
    ULONG64 Address = MakePagedOut();
    Expect(DRIVER_IRQL_NOT_LESS_OR_EQUAL, Address, DISPATCH_LEVEL, 8, Address);
    Raise(DISPATCH_LEVEL);
    ((VOID(*)(VOID))Address)();
}

/* ---- 0xA, 0xD3, 0xC5: the kernel's instruction ---- */

KTEST_CRASH(A_kernel_follows_a_bad_pointer) {
    Expect(IRQL_NOT_LESS_OR_EQUAL, UNMAPPED, DISPATCH_LEVEL, 0, ANY);
    CHAR Text[8];
    Raise(DISPATCH_LEVEL);
    RtlFormat(Text, sizeof(Text), "%s", (PCSTR)UNMAPPED);
}

static const CHAR __attribute__((section("PAGE"), aligned(PAGE_SIZE))) PageableText[PAGE_SIZE] = "pageable";

KTEST_CRASH(D3_kernel_reads_a_paged_out_part_of_a_driver) {
    Expect(DRIVER_PORTION_MUST_BE_NONPAGED, (ULONG64)PageableText, DISPATCH_LEVEL, 0, ANY);
    CHAR Text[8];
    Raise(DISPATCH_LEVEL);
    MmTrimRange((PVOID)PageableText, PAGE_SIZE);
    RtlFormat(Text, sizeof(Text), "%s", PageableText);
}

/* Unloads the driver that load=secret on the command line has loaded; returns where its code was. The public call
 * would wait for the load that this test is part of. */
static ULONG64 UnloadSecret(VOID) {
    for (PLIST_ENTRY Entry = PsLoadedModuleList.Flink; Entry != &PsLoadedModuleList; Entry = Entry->Flink) {
        PKLDR_DATA_TABLE_ENTRY Module = CONTAINING_RECORD(Entry, KLDR_DATA_TABLE_ENTRY, InLoadOrderLinks);
        if (strcmp(Module->Name, "secret") == 0) {
            ULONG64 Address = (ULONG64)Module->EntryPoint;
            return NT_SUCCESS(LdrpUnloadDriver(Module->DriverObject)) ? Address : 0;
        }
    }
    return 0;
}

KTEST_CRASH(D4_kernel_follows_a_list_into_an_unloaded_driver) {
    ULONG64 Address = UnloadSecret();
    Expect(SYSTEM_SCAN_AT_RAISED_IRQL_CAUGHT_IMPROPER_DRIVER_UNLOAD, Address, DISPATCH_LEVEL, 0, ANY);
    CHAR Text[8];
    Raise(DISPATCH_LEVEL);
    RtlFormat(Text, sizeof(Text), "%s", (PCSTR)Address);
}

KTEST_CRASH(CE_unloaded_driver_called) {
    ULONG64 Address = UnloadSecret();
    Expect(DRIVER_UNLOADED_WITHOUT_CANCELLING_PENDING_OPERATIONS, Address, 0x10, Address, 0);
    ((VOID(*)(VOID))Address)();
}

/* Frees the block before a free one whose list entry was overwritten: unlinking it follows the bad pointer. */
KTEST_CRASH(C5_pool_follows_a_damaged_list) {
    PPOOL_HEADER Header, Behind;
    PVOID P;
    do {
        P = ExAllocatePoolWithTag(NonPagedPoolNx, 1000, TAG); /* until the rest of its page is free */
        Header = (PPOOL_HEADER)P - 1;
        Behind = Header + Header->BlockSize;
    } while (Behind->PoolType & POOL_IN_USE || BYTE_OFFSET(Behind) == 0);
    ((PLIST_ENTRY)(Behind + 1))->Flink = (PLIST_ENTRY)UNMAPPED;
    Expect(DRIVER_CORRUPTED_EXPOOL, UNMAPPED + 8, DISPATCH_LEVEL, 0, ANY);
    Raise(DISPATCH_LEVEL);
    ExFreePoolWithTag(P, TAG);
}

/* The PTE of a block names a frame that does not exist: freeing the block follows it into the PFN database. */
KTEST_CRASH(D0_pool_pages_with_a_damaged_PTE) {
    PVOID P = ExAllocatePoolWithTag(NonPagedPoolNx, 2 * PAGE_SIZE, TAG);
    ULONG64 Frame = 1ULL << 33;
    *MiGetPteAddress((ULONG64)P) = Frame << PAGE_SHIFT | PTE_VALID | PTE_WRITE;
    Expect(DRIVER_CORRUPTED_MMPOOL, ANY, DISPATCH_LEVEL, 0, ANY);
    ExFreePoolWithTag(P, TAG);
}

KTEST_CRASH(DB_system_PTEs_with_a_damaged_bitmap) {
    PHYSICAL_ADDRESS Apic = {.QuadPart = 0xFEE00000};
    MiSystemRange.Bitmap = (ULONG64 *)UNMAPPED;
    MiSystemRange.Hint = 0;
    Expect(DRIVER_CORRUPTED_SYSPTES, UNMAPPED, DISPATCH_LEVEL, 0, ANY);
    MmMapIoSpace(Apic, PAGE_SIZE, MmNonCached);
}

/* ---- 0x50, 0x7E, 0xBE, 0xFC: below DISPATCH_LEVEL ---- */

KTEST_CRASH(50_unmapped_address_read) {
    Expect(PAGE_FAULT_IN_NONPAGED_AREA, UNMAPPED, 0, (ULONG64)CrashRead, 2);
    Read(UNMAPPED);
}

KTEST_CRASH(50_freed_page_written) {
    PVOID Block = ExAllocatePoolWithTag(PagedPool, 2 * PAGE_SIZE, TAG);
    memset(Block, 1, 2 * PAGE_SIZE);
    ExFreePoolWithTag(Block, TAG);
    Expect(PAGE_FAULT_IN_NONPAGED_AREA, (ULONG64)Block, 2, (ULONG64)CrashWrite, 0);
    Write((ULONG64)Block);
}

/* INIT code is gone after DriverEntry, and still the driver's address: no unloaded driver is to blame. */
KTEST_CRASH(50_discarded_section_called) {
    PUCHAR Image = MmReserveDriverImage(2 * PAGE_SIZE);
    MmPopulateImage(Image, 2 * PAGE_SIZE, FALSE);
    MmProtectImage(Image, 2 * PAGE_SIZE, MM_EXECUTE_READ);
    MmDiscardImage(Image + PAGE_SIZE, PAGE_SIZE);
    Expect(PAGE_FAULT_IN_NONPAGED_AREA, (ULONG64)Image + PAGE_SIZE, 0x10, (ULONG64)Image + PAGE_SIZE, 0);
    ((VOID(*)(VOID))(Image + PAGE_SIZE))();
}

KTEST_CRASH(50_unmapped_address_called) {
    Expect(PAGE_FAULT_IN_NONPAGED_AREA, UNMAPPED, 0x10, UNMAPPED, 2);
    ((VOID(*)(VOID))UNMAPPED)();
}

KTEST_CRASH(7E_NULL_read) {
    Expect(SYSTEM_THREAD_EXCEPTION_NOT_HANDLED, SIGN_EXTENDED(STATUS_ACCESS_VIOLATION), (ULONG64)CrashRead, ANY, ANY);
    Read(0);
}

KTEST_CRASH(7E_address_that_is_not_canonical) {
    Expect(SYSTEM_THREAD_EXCEPTION_NOT_HANDLED, SIGN_EXTENDED(STATUS_ACCESS_VIOLATION), (ULONG64)CrashWrite, ANY, ANY);
    Write(NOT_CANONICAL);
}

KTEST_CRASH(7E_undefined_instruction) {
    Expect(SYSTEM_THREAD_EXCEPTION_NOT_HANDLED, SIGN_EXTENDED(STATUS_ILLEGAL_INSTRUCTION), (ULONG64)CrashUndefined, ANY,
           ANY);
    Undefined();
}

KTEST_CRASH(7E_breakpoint) {
    Expect(SYSTEM_THREAD_EXCEPTION_NOT_HANDLED, SIGN_EXTENDED(STATUS_BREAKPOINT), (ULONG64)CrashBreakpoint, ANY, ANY);
    Breakpoint();
}

KTEST_CRASH(7E_division_by_zero) {
    Expect(SYSTEM_THREAD_EXCEPTION_NOT_HANDLED, SIGN_EXTENDED(STATUS_INTEGER_DIVIDE_BY_ZERO), (ULONG64)CrashDivide, ANY,
           ANY);
    Divide();
}

static VOID UndefinedDpc(PKDPC Dpc, PVOID Context, PVOID Argument1, PVOID Argument2) {
    UNREFERENCED_PARAMETER(Dpc);
    UNREFERENCED_PARAMETER(Context);
    UNREFERENCED_PARAMETER(Argument1);
    UNREFERENCED_PARAMETER(Argument2);
    Undefined();
}

KTEST_CRASH(1E_undefined_instruction_in_a_DPC) {
    static KDPC Dpc;
    Expect(KMODE_EXCEPTION_NOT_HANDLED, SIGN_EXTENDED(STATUS_ILLEGAL_INSTRUCTION), (ULONG64)CrashUndefined, 0, 0);
    KeInitializeDpc(&Dpc, UndefinedDpc, NULL);
    KeInsertQueueDpc(&Dpc, NULL, NULL);
}

/* An instruction at a raised IRQL is still the thread's. */
KTEST_CRASH(7E_undefined_instruction_at_DISPATCH_LEVEL) {
    Expect(SYSTEM_THREAD_EXCEPTION_NOT_HANDLED, SIGN_EXTENDED(STATUS_ILLEGAL_INSTRUCTION), (ULONG64)CrashUndefined, ANY,
           ANY);
    Raise(DISPATCH_LEVEL);
    Undefined();
}

KTEST_CRASH(7E_status_raised) {
    Expect(SYSTEM_THREAD_EXCEPTION_NOT_HANDLED, SIGN_EXTENDED(STATUS_INSUFFICIENT_RESOURCES), ANY, ANY, ANY);
    ExRaiseStatus(STATUS_INSUFFICIENT_RESOURCES);
}

static VOID UndefinedInterrupt(PVOID Context) {
    UNREFERENCED_PARAMETER(Context);
    Undefined();
}

KTEST_CRASH(3D_undefined_instruction_in_an_interrupt_routine) {
    Expect(INTERRUPT_EXCEPTION_NOT_HANDLED, ANY, ANY, 0, 0);
    HalRequestIpi(KeGetCurrentProcessorNumber(), HalConnectVector(9, UndefinedInterrupt, NULL));
}

KTEST_CRASH(BE_constant_written) {
    ULONG64 Address = (ULONG64)KiLockDeclarations;
    Expect(ATTEMPTED_WRITE_TO_READONLY_MEMORY, Address, *MiGetPteAddress(Address), 0, 0);
    Write(Address);
}

KTEST_CRASH(FC_data_executed) {
    static UCHAR Code[16] = {0xC3};
    Code[1] = 0xC3;
    Expect(ATTEMPTED_EXECUTE_OF_NOEXECUTE_MEMORY, (ULONG64)Code, *MiGetPteAddress((ULONG64)Code) | PTE_ACCESSED, 0, 0);
    ((VOID(*)(VOID))Code)();
}

/* ---- 0x7F, 0x139, assertions ---- */

static ULONG64 NOINLINE Recurse(ULONG64 Depth) {
    volatile UCHAR Room[200];
    Room[0] = (UCHAR)Depth;
    return Depth == ~0ULL ? 0 : Recurse(Depth + 1) + Room[0];
}

KTEST_CRASH(7F_stack_overflow) {
    Expect(UNEXPECTED_KERNEL_MODE_TRAP, 8, ANY, ANY, ANY);
    Recurse(0);
}

static VOID NOINLINE Smash(SIZE_T Length) {
    CHAR Room[16];
    for (SIZE_T i = 0; i < Length; i++) {
        *(volatile CHAR *)(Room + i) = 'A';
    }
}

KTEST_CRASH(139_array_on_the_stack_overrun) {
    Expect(KERNEL_SECURITY_CHECK_FAILURE, 2, ANY, ANY, 0);
    Smash(64);
}

KTEST_CRASH(139_list_entry_removed_twice) {
    LIST_ENTRY Head, First, Second;
    InitializeListHead(&Head);
    InsertTailList(&Head, &First);
    InsertTailList(&Head, &Second);
    RemoveEntryList(&First);
    Expect(KERNEL_SECURITY_CHECK_FAILURE, 3, ANY, ANY, 0);
    RemoveEntryList(&First);
}

KTEST_CRASH(1E_assertion) {
    Expect(KMODE_EXCEPTION_NOT_HANDLED, SIGN_EXTENDED((NTSTATUS)0xC0000420), ANY, ANY, 77);
    RtlAssert((PVOID) "Count > 0", (PVOID) "secret.c", 77, NULL);
}

/* ---- The dying code and its state ---- */

KTEST_CRASH(E2_last_cpu) {
    KtPin(KeNumberProcessors - 1);
    Expect(MANUALLY_INITIATED_CRASH, 1, 2, 3, 4);
    KeBugCheckEx(MANUALLY_INITIATED_CRASH, 1, 2, 3, 4);
}

KTEST_CRASH(E2_print_lock_held) {
    extern KSPIN_LOCK KdPrintLock;
    Expect(MANUALLY_INITIATED_CRASH, 0, 0, 0, 0);
    Raise(HIGH_LEVEL);
    KeAcquireSpinLockAtDpcLevel(&KdPrintLock);
    KeBugCheck(MANUALLY_INITIATED_CRASH);
}

KTEST_CRASH(A_dispatcher_lock_held) {
    Expect(DRIVER_IRQL_NOT_LESS_OR_EQUAL, 0, DISPATCH_LEVEL, 1, (ULONG64)CrashWrite);
    KeAcquireSpinLockRaiseToDpc(&KiDispatcherLock);
    Write(0);
}

static volatile LONG AtTheStart;

static VOID DieTogether(ULONG Processor, PVOID Context) {
    UNREFERENCED_PARAMETER(Context);
    InterlockedIncrement(&AtTheStart);
    while (AtTheStart < (LONG)KeNumberProcessors) {
        YieldProcessor();
    }
    KeBugCheckEx(MANUALLY_INITIATED_CRASH1, 1, 2, 3, Processor);
}

KTEST_CRASH(all_cpus_die_together) {
    Expect(MANUALLY_INITIATED_CRASH1, 1, 2, 3, ANY);
    KtRunOnAllCpus(DieTogether, NULL);
}

/* The report looks at every CPU's block: this one faults there, in the middle. */
KTEST_CRASH(second_fault_while_dying) {
    KtPin(0);
    Expect(MANUALLY_INITIATED_CRASH, 1, 2, 3, 4);
    Raise(HIGH_LEVEL);
    KiProcessorBlock[KeNumberProcessors - 1] = (PKPRCB)NOT_CANONICAL;
    KeBugCheckEx(MANUALLY_INITIATED_CRASH, 1, 2, 3, 4);
}

/* The verdict names the scenario: this one faults there, and again behind the few lines that follow. */
KTEST_CRASH(third_fault_while_dying) {
    Raise(HIGH_LEVEL);
    KiEndName = (PCSTR)NOT_CANONICAL;
    KeBugCheckEx(MANUALLY_INITIATED_CRASH, 1, 2, 3, 4);
}

/* ---- The checker of undefined behaviour: the test stops the machine itself, after BUILD=ubsan's report ---- */

KTEST_CRASH(E2_after_undefined_behaviour) {
    volatile LONG Large = MAXLONG;
    volatile ULONG Width = 32;
    Large = Large + 1;
    Large = (LONG)(1u << Width);
    Expect(MANUALLY_INITIATED_CRASH, 0, 0, 0, 0);
    KeBugCheck(MANUALLY_INITIATED_CRASH);
}

/* ---- The detector of data races: all CPUs count, and the test stops the machine itself, after BUILD=race's report ---- */

typedef struct _COUNTED {
    KSPIN_LOCK Lock;
    VOID (*Count)(struct _COUNTED *This);
    ULONG64 Counter;
} COUNTED;

static VOID CountUnlocked(COUNTED *This) {
    This->Counter++;
}

static VOID CountLocked(COUNTED *This) {
    KeAcquireSpinLockAtDpcLevel(&This->Lock);
    This->Counter++;
    KeReleaseSpinLockFromDpcLevel(&This->Lock);
}

static VOID CountMarked(COUNTED *This) {
    WriteULong64NoFence(&This->Counter, ReadULong64NoFence(&This->Counter) + 1);
}

static VOID CountHalfMarked(COUNTED *This) {
    WriteULong64NoFence(&This->Counter, This->Counter + 1);
}

static VOID CountOften(ULONG Processor, PVOID Context) {
    COUNTED *This = Context;
    UNREFERENCED_PARAMETER(Processor);
    for (ULONG Round = 0; Round < 20000; Round++) {
        KIRQL OldIrql = KeRaiseIrqlToDpcLevel();
        This->Count(This);
        KeLowerIrql(OldIrql);
    }
}

static VOID CountOnAllCpus(VOID (*Count)(COUNTED *This)) {
    COUNTED This = {.Count = Count};
    KtRunOnAllCpus(CountOften, &This);
    Expect(MANUALLY_INITIATED_CRASH, 0, 0, 0, 0);
    KeBugCheck(MANUALLY_INITIATED_CRASH);
}

KTEST_CRASH(E2_after_counting_without_a_lock) {
    CountOnAllCpus(CountUnlocked);
}

KTEST_CRASH(E2_after_counting_under_a_lock) {
    CountOnAllCpus(CountLocked);
}

KTEST_CRASH(E2_after_counting_by_marked_accesses) {
    CountOnAllCpus(CountMarked);
}

KTEST_CRASH(E2_after_counting_by_a_marked_write) {
    CountOnAllCpus(CountHalfMarked);
}

static VOID SayBuffer(PVOID Buffer, ULONG Length) {
    DbgPrint("callback: %u at IRQL %u\n", Length == sizeof(ULONG) ? *(ULONG *)Buffer : 0, KeGetCurrentIrql());
}

static VOID AddData(KBUGCHECK_CALLBACK_REASON Reason, PKBUGCHECK_REASON_CALLBACK_RECORD Record, PVOID Data,
                    ULONG Length) {
    PKBUGCHECK_SECONDARY_DUMP_DATA Secondary = Data;
    UNREFERENCED_PARAMETER(Record);
    if (Reason == KbCallbackSecondaryDumpData && Length == sizeof(*Secondary)) {
        Secondary->OutBuffer = Secondary->InBuffer;
        Secondary->OutBufferLength = 16;
    }
}

/* One that stays, one that is taken back, one for the dump; and the answers to registering twice. */
KTEST_CRASH(bugcheck_with_callbacks) {
    static KBUGCHECK_CALLBACK_RECORD First, Second;
    static KBUGCHECK_REASON_CALLBACK_RECORD Third;
    static ULONG Number = 0x1234;
    KeInitializeCallbackRecord(&First);
    KeInitializeCallbackRecord(&Second);
    KeInitializeCallbackRecord(&Third);
    BOOLEAN IsRight =
        !KeDeregisterBugCheckCallback(&First) &&
        KeRegisterBugCheckCallback(&First, SayBuffer, &Number, sizeof(Number), (PUCHAR) "first") &&
        !KeRegisterBugCheckCallback(&First, SayBuffer, NULL, 0, (PUCHAR) "again") &&
        KeRegisterBugCheckCallback(&Second, SayBuffer, NULL, 0, (PUCHAR) "second") &&
        KeDeregisterBugCheckCallback(&Second) && !KeDeregisterBugCheckCallback(&Second) &&
        KeRegisterBugCheckReasonCallback(&Third, AddData, KbCallbackSecondaryDumpData, (PUCHAR) "third") &&
        !KeRegisterBugCheckReasonCallback(&Third, AddData, KbCallbackDumpIo, (PUCHAR) "third");
    KeBugCheckEx(MANUALLY_INITIATED_CRASH, IsRight, 0, 0, 0);
}
