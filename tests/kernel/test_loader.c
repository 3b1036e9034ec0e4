/* test_loader.c: drivers come and go without a trace; addresses have names; any stack can be walked. */
#include "ktest.h"
#include <ldr.h>
#include <rtl.h>

#define UNLOAD_RING 16 /* module.c: so many unloaded modules are remembered */

static PKLDR_DATA_TABLE_ENTRY ModuleOf(PDRIVER_OBJECT Driver) {
    return Driver->DriverSection;
}

KTEST(loader_unloaded_driver_leaves_its_name_and_nothing_else) {
    PDRIVER_OBJECT Driver;
    KT_REQUIRE(NT_SUCCESS(LdrLoadDriver("mutex", &Driver)));
    PKLDR_DATA_TABLE_ENTRY Module = ModuleOf(Driver);
    ULONG64 Base = (ULONG64)Module->DllBase, Text = Module->Section[0].Start;
    KT_EXPECT(LdrFindModule(Base) == Module && LdrFindModule(Base + Module->SizeOfImage - 1) == Module);
    KT_EXPECT(LdrFindModule(Base - 1) != Module && LdrFindModule(Base + Module->SizeOfImage) != Module);
    KT_EXPECT(MmIsAddressValid((PVOID)Text) && !LdrIsKernelAddress(Text));
    KT_EXPECT_EQ(LdrUnloadDriver(Driver), STATUS_SUCCESS);
    KT_EXPECT(LdrFindModule(Base) == NULL && !MmIsAddressValid((PVOID)Text));
    PCSTR Name = LdrFindUnloadedModule(Text);
    KT_EXPECT(Name != NULL && strcmp(Name, "mutex") == 0);
}

KTEST(loader_rounds_of_loading_lose_no_memory) {
    MM_STATISTICS Before, After;
    PDRIVER_OBJECT Driver;
    /* The ring of unloaded modules is filled first: from then on each round frees an earlier one's entry. */
    for (ULONG Round = 0; Round < UNLOAD_RING + 4; Round++) {
        KT_REQUIRE(NT_SUCCESS(LdrLoadDriver("nonpaged", &Driver)));
        KT_REQUIRE(NT_SUCCESS(LdrUnloadDriver(Driver)));
    }
    MmQueryStatistics(&Before);
    for (ULONG Round = 0; Round < KtStress(40) + 4; Round++) {
        KT_REQUIRE(NT_SUCCESS(LdrLoadDriver("nonpaged", &Driver)));
        KT_REQUIRE(NT_SUCCESS(LdrUnloadDriver(Driver)));
    }
    MmQueryStatistics(&After);
    /* Others may return a page meanwhile, or a parked block take one; a round that lost its module entry would lose a dozen. */
    KT_EXPECT(After.NonPagedPoolBytes <= Before.NonPagedPoolBytes + PAGE_SIZE);
    KT_EXPECT(After.AvailablePages + 16 >= Before.AvailablePages); /* page tables of fresh addresses */
}

static VOID LoadAndUnload(ULONG Processor, PVOID Context) {
    volatile LONG *Loads = Context;
    for (ULONG Round = 0; Round < KtStress(20); Round++) {
        PDRIVER_OBJECT Driver;
        NTSTATUS Status = LdrLoadDriver("nonpaged", &Driver);
        if (NT_SUCCESS(Status)) {
            InterlockedIncrement(Loads);
            KT_EXPECT_EQ(LdrUnloadDriver(Driver), STATUS_SUCCESS);
        } else {
            KT_EXPECT_EQ(Status, STATUS_IMAGE_ALREADY_LOADED);
        }
        /* Meanwhile the list is read without a lock. */
        KT_EXPECT(LdrFindModule((ULONG64)LoadAndUnload) != NULL && Processor < KeNumberProcessors);
    }
}

KTEST(loader_loads_a_name_once_whoever_asks) {
    volatile LONG Loads = 0;
    KtRunOnAllCpus(LoadAndUnload, (PVOID)&Loads);
    KT_EXPECT(Loads > 0);
    KT_EXPECT_EQ(LdrLoadDriver("ktest", NULL), STATUS_IMAGE_ALREADY_LOADED);
    KT_EXPECT_EQ(LdrLoadDriver("no-such-driver", NULL), STATUS_OBJECT_NAME_NOT_FOUND);
    KT_EXPECT_EQ(LdrLoadDriver("../symbols/kernel", NULL), STATUS_INVALID_PARAMETER);
    KT_EXPECT_EQ(LdrLoadDriver("", NULL), STATUS_INVALID_PARAMETER);
}

KTEST(loader_driver_without_DriverUnload_stays) {
    PKLDR_DATA_TABLE_ENTRY Module = LdrFindModule((ULONG64)LoadAndUnload);
    KT_REQUIRE(Module != NULL && Module->DriverObject != NULL);
    KT_EXPECT_EQ(LdrUnloadDriver(Module->DriverObject), STATUS_INVALID_DEVICE_REQUEST);
    KT_EXPECT(LdrFindModule((ULONG64)LoadAndUnload) == Module);
}

/* Any call of it executes memory of a driver that is gone. */
KTEST_CRASH(loader_call_of_an_unloaded_driver) {
    PDRIVER_OBJECT Driver;
    KT_REQUIRE(NT_SUCCESS(LdrLoadDriver("mutex", &Driver)));
    PDRIVER_UNLOAD Routine = Driver->DriverUnload;
    KT_REQUIRE(NT_SUCCESS(LdrUnloadDriver(Driver)));
    Routine(Driver);
}

/* ---- Symbols ---- */

KTEST(symbols_name_addresses_of_kernel_and_drivers) {
    KD_SYMBOL Symbol;
    ULONG64 Address;
    KT_REQUIRE(KdLookupAddress((ULONG64)KeSetEvent, &Symbol) && Symbol.Function != NULL);
    KT_EXPECT(strcmp(Symbol.Module, "nt") == 0 && strcmp(Symbol.Function, "KeSetEvent") == 0 && Symbol.Offset == 0);
    KT_EXPECT(Symbol.File != NULL && strcmp(Symbol.File, "event.c") == 0 && Symbol.Line != 0);
    KT_EXPECT(KdLookupName("nt", "KeSetEvent", &Address) && Address == (ULONG64)KeSetEvent);
    KT_EXPECT(KdLookupName("nt", "KiDispatcherLock", &Address) && Address == (ULONG64)&KiDispatcherLock);
    KT_REQUIRE(KdLookupAddress((ULONG64)LoadAndUnload + 1, &Symbol) && Symbol.Function != NULL);
    KT_EXPECT(strcmp(Symbol.Module, "ktest") == 0 && strcmp(Symbol.Function, "LoadAndUnload") == 0);
    KT_EXPECT(Symbol.Offset == 1 && Symbol.File != NULL && strcmp(Symbol.File, "test_loader.c") == 0);
    KT_EXPECT(!KdLookupName("nt", "NoSuchFunction", &Address) && !KdLookupName("none", "KeSetEvent", &Address));
    KT_EXPECT(!KdLookupAddress(0, &Symbol) && !KdLookupAddress(~0ULL, &Symbol));
}

static __attribute__((noinline)) ULONG64 HereAndLine(ULONG *Line) {
here:
    *Line = __LINE__;
    return (ULONG64) && here;
}

KTEST(symbols_know_the_source_line) {
    KD_SYMBOL Symbol;
    ULONG Line;
    ULONG64 Address = HereAndLine(&Line);
    KT_REQUIRE(KdLookupAddress(Address, &Symbol));
    KT_EXPECT(Symbol.Line + 2 >= Line && Symbol.Line <= Line + 2);
}

/* ---- Stacks ---- */

#define DEPTH 3

static __attribute__((noinline)) ULONG Recurse(ULONG Depth, KD_FRAME *Frames, ULONG Maximum) {
    KD_FRAME Calling = KD_CALLING_FRAME();
    ULONG Count = Depth == 0 ? KdWalkStack(&Calling, Frames, Maximum) : Recurse(Depth - 1, Frames, Maximum);
    _ReadWriteBarrier(); /* the call above is no tail call */
    return Count;
}

KTEST(stack_walk_finds_every_caller) {
    KD_FRAME Frames[16];
    ULONG Count = Recurse(DEPTH, Frames, RTL_NUMBER_OF(Frames));
    KT_REQUIRE(Count > DEPTH + 1 && Count < RTL_NUMBER_OF(Frames)); /* it ends at the thread's start */
    for (ULONG i = 0; i < DEPTH; i++) {
        CHAR Text[100];
        KdFormatFrame(Text, sizeof(Text), &Frames[i]);
        KT_EXPECT(strncmp(Text, "ktest!Recurse+0x", 16) == 0);
    }
    CHAR Text[100];
    KdFormatFrame(Text, sizeof(Text), &Frames[Count - 1]);
    KT_EXPECT(strncmp(Text, "nt!KiThreadStartup+0x", 21) == 0);
    KT_EXPECT_EQ(Recurse(DEPTH, Frames, 2), 2);
    KT_EXPECT_EQ(Recurse(DEPTH, Frames, 0), 0);
}

static volatile ULONG InterruptedFrames;
static volatile BOOLEAN WasTrapSeen;

static VOID WalkInDpc(PKDPC Dpc, PVOID Context, PVOID Argument1, PVOID Argument2) {
    KD_FRAME Frames[32];
    UNREFERENCED_PARAMETER(Dpc);
    UNREFERENCED_PARAMETER(Argument1);
    UNREFERENCED_PARAMETER(Argument2);
    KD_FRAME Calling = KD_CALLING_FRAME();
    ULONG Count = KdWalkStack(&Calling, Frames, RTL_NUMBER_OF(Frames));
    for (ULONG i = 0; i < Count; i++) {
        KD_SYMBOL Symbol;
        WasTrapSeen |= Frames[i].IsTrap;
        if (KdLookupAddress(Frames[i].Rip, &Symbol) && Symbol.Function != NULL &&
            strcmp(Symbol.Function, "QueueAndLower") == 0) {
            InterruptedFrames = Count;
        }
    }
    KeSetEvent(Context, IO_NO_INCREMENT, FALSE);
}

static __attribute__((noinline)) VOID QueueAndLower(PKDPC Dpc) {
    KIRQL OldIrql = KeRaiseIrqlToDpcLevel();
    KeInsertQueueDpc(Dpc, NULL, NULL);
    KeLowerIrql(OldIrql);
    _ReadWriteBarrier();
}

KTEST(stack_walk_crosses_the_DPC_stack_and_the_interrupt) {
    KDPC Dpc;
    KEVENT Done;
    KeInitializeEvent(&Done, NotificationEvent, FALSE);
    KeInitializeDpc(&Dpc, WalkInDpc, &Done);
    InterruptedFrames = 0;
    WasTrapSeen = FALSE;
    KtPin(0);
    QueueAndLower(&Dpc);
    KeWaitForSingleObject(&Done, Executive, KernelMode, FALSE, NULL);
    KtUnpin();
    KT_EXPECT(WasTrapSeen);
    KT_EXPECT(InterruptedFrames > 4);
}

#define WALKED_FRAMES 8

extern const UCHAR KernelTextStart[], KernelTextEnd[], KiTrapCodeStart[];

static ULONG WalkFrom(ULONG64 Rip, ULONG64 Rsp, ULONG64 Rbp, KD_FRAME *Frames) {
    KD_FRAME First = {.Rip = Rip, .Rsp = Rsp, .Rbp = Rbp, .IsTrap = TRUE};
    return KdWalkStack(&First, Frames, WALKED_FRAMES);
}

static ULONG64 RandomAddress(KT_RANDOM *Random) {
    return 0xFFFF800000000000 | (ULONG64)KtRandom(Random, 0x8000) << 32 | KtRandom(Random, MAXLONG) << 1;
}

KTEST(stack_walk_survives_any_registers) {
    static ULONG64 Loop[2];
    static const ULONG64 Pointers[] = {0,
                                       1,
                                       8,
                                       0x1000,
                                       0x123456789ABCDEF0,
                                       0x8000000000000000,
                                       0xFFFF800000000000,
                                       MM_PAGED_POOL,
                                       MM_STACKS,
                                       MM_DRIVER_IMAGES_END - 8,
                                       ~0ULL,
                                       ~7ULL,
                                       ~15ULL};
    KD_FRAME Frames[WALKED_FRAMES];
    for (ULONG i = 0; i < RTL_NUMBER_OF(Pointers); i++) {
        for (ULONG n = 0; n < RTL_NUMBER_OF(Pointers); n++) {
            KT_EXPECT(WalkFrom(1, Pointers[n], Pointers[i], Frames) >= 1);
            KT_EXPECT(WalkFrom((ULONG64)LoadAndUnload, Pointers[n], Pointers[i], Frames) >= 1);
            KT_EXPECT(WalkFrom((ULONG64)KiTrapCodeStart, Pointers[n], Pointers[i], Frames) >= 1);
        }
    }
    Loop[0] = (ULONG64)Loop;
    Loop[1] = 1; /* an address where no code is: the walk goes on along rbp */
    KT_EXPECT_EQ(WalkFrom(1, 0, (ULONG64)Loop, Frames), 2);
    KT_RANDOM Random;
    KtSeedRandom(&Random, 'kcat');
    for (ULONG Round = 0; Round < KtStress(2000); Round++) {
        ULONG64 Rbp = RandomAddress(&Random), Rsp = RandomAddress(&Random);
        ULONG64 Rip = (ULONG64)KernelTextStart + KtRandom(&Random, (ULONG)(KernelTextEnd - KernelTextStart));
        KT_EXPECT(WalkFrom(1, Rsp, Rbp, Frames) <= WALKED_FRAMES);
        KT_EXPECT(WalkFrom(Rip, Rsp, Rbp, Frames) <= WALKED_FRAMES);
        /* any instruction, with a stack that is there: its words taken for a return address and a frame */
        KT_EXPECT(WalkFrom(Rip, (ULONG64)_AddressOfReturnAddress() & ~7ULL, Rbp, Frames) <= WALKED_FRAMES);
    }
}
