/* crash_dump.c: crashes for tests of the dump: at an instruction of the host's choice, with much memory in use, with a disk
 * driver that is itself broken. */
#include "crash.h"
#include "pagehelp.h"

#include <arch.h>
#include <io.h>

#define DR7_EXECUTE_DR0 0x402 /* global, an instruction */
#define ROUNDS 400
#define PAGES 256

static ULONG_PTR SetBreakpoint(ULONG_PTR Address) {
    __asm__ volatile("mov %0, %%dr0" : : "r"(Address));
    __asm__ volatile("mov %0, %%dr7" : : "r"(Address == 0 ? 0x400ULL : (ULONG64)DR7_EXECUTE_DR0));
    return 0;
}

static VOID CountDpc(PKDPC Dpc, PVOID Context, PVOID Argument1, PVOID Argument2) {
    UNREFERENCED_PARAMETER(Dpc);
    UNREFERENCED_PARAMETER(Argument1);
    UNREFERENCED_PARAMETER(Argument2);
    InterlockedIncrement(Context);
}

/* at=ADDRESS: a debug exception there, on the first CPU that comes. Until then the machine does some of everything:
 * thread switches, DPCs, spin locks; and with `low`, paging on a machine that is short of memory. */
KTEST_CRASH(at_an_instruction) {
    static KDPC Dpc;
    static LONG Count;
    BOOLEAN IsLow = KeGetBootOption("low", NULL, 0) && SmallMachine(400);
    KeInitializeDpc(&Dpc, CountDpc, &Count);
    KeIpiGenericCall(SetBreakpoint, KeGetBootOptionNumber("at", 0));
    for (ULONG Round = 0; Round < ROUNDS; Round++) {
        PUCHAR Block = ExAllocatePoolWithTag(PagedPool, PAGES * PAGE_SIZE, TAG);
        for (ULONG Page = 0; IsLow && Block != NULL && Page < PAGES; Page++) {
            Block[Page * PAGE_SIZE] = 1;
        }
        KeInsertQueueDpc(&Dpc, NULL, NULL);
        KtSleep(1);
        if (Block != NULL && Round % 4 != 0) {
            ExFreePoolWithTag(Block, TAG);
        }
    }
    KtFail(__FILE__, __LINE__, "no CPU has come to the instruction");
}

/* mib=N of nonpaged pool, filled. */
KTEST_CRASH(with_much_pool) {
    for (ULONG64 Left = KeGetBootOptionNumber("mib", 1); Left != 0; Left--) {
        PUCHAR Block = ExAllocatePoolWithTag(NonPagedPoolNx, 1 << 20, TAG);
        KT_REQUIRE(Block != NULL);
        RtlFillMemory(Block, 1 << 20, (UCHAR)Left);
    }
    Expect(MANUALLY_INITIATED_CRASH, 1, 2, 3, 4);
    KeBugCheckEx(MANUALLY_INITIATED_CRASH, 1, 2, 3, 4);
}

static VOID FollowBadPointer(PBLOCK_DEVICE Device) {
    UNREFERENCED_PARAMETER(Device);
    *(volatile ULONG *)UNMAPPED = 1;
}

KTEST_CRASH(the_dump_disk_is_broken) {
    PBLOCK_DEVICE Disk = IoGetDumpDisk();
    KT_REQUIRE(Disk != NULL);
    Disk->Poll = FollowBadPointer;
    Expect(MANUALLY_INITIATED_CRASH, 1, 2, 3, 4);
    KeBugCheckEx(MANUALLY_INITIATED_CRASH, 1, 2, 3, 4);
}

static VOID NeverAnswer(PBLOCK_DEVICE Device) {
    UNREFERENCED_PARAMETER(Device);
}

static VOID Swallow(PBLOCK_DEVICE Device, PBLOCK_REQUEST Request) {
    UNREFERENCED_PARAMETER(Device);
    UNREFERENCED_PARAMETER(Request);
}

KTEST_CRASH(the_dump_disk_is_silent) {
    PBLOCK_DEVICE Disk = IoGetDumpDisk();
    KT_REQUIRE(Disk != NULL);
    Disk->Submit = Swallow;
    HalFeatures.TscHz /= 20; /* the kernel's patience with it */
    Disk->Poll = NeverAnswer;
    Expect(MANUALLY_INITIATED_CRASH, 1, 2, 3, 4);
    KeBugCheckEx(MANUALLY_INITIATED_CRASH, 1, 2, 3, 4);
}
