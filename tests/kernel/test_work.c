/* test_work.c: work items: on which thread, at which priority, how often; and the device that an item keeps. */
#include <arch.h>
#include <ex.h>
#include <inspect.h>
#include "../../kernel/io/iop.h"
#include "iotest.h"

typedef struct _WORK {
    WORK_QUEUE_ITEM Item;
    volatile LONG Runs;
    volatile KIRQL Irql;
    volatile KPRIORITY Base;
} WORK;

static VOID NoteWork(PVOID Parameter) {
    WORK *Work = Parameter;
    Work->Irql = KeGetCurrentIrql();
    Work->Base = KeGetCurrentThread()->BasePriority;
    InterlockedIncrement(&Work->Runs);
}

KTEST(work_runs_at_the_priority_of_its_queue) {
    static const struct {
        ULONG Queue;
        KPRIORITY Priority;
    } Cases[] = {{CriticalWorkQueue, 13},
                 {DelayedWorkQueue, 12},
                 {HyperCriticalWorkQueue, 15},
                 {NormalWorkQueue, 8},
                 {BackgroundWorkQueue, 7},
                 {RealTimeWorkQueue, 18},
                 {SuperCriticalWorkQueue, 14},
                 {32 + 12, 12},
                 {32 + 31, 18},
                 {CustomPriorityWorkQueue, 7}};
    static WORK Work;
    for (ULONG i = 0; i < RTL_NUMBER_OF(Cases); i++) {
        Work = (WORK){0};
        ExInitializeWorkItem(&Work.Item, NoteWork, &Work);
        KIRQL OldIrql = KeRaiseIrqlToDpcLevel();
        ExQueueWorkItem(&Work.Item, (WORK_QUEUE_TYPE)Cases[i].Queue);
        KeLowerIrql(OldIrql);
        KT_WAIT_UNTIL(Work.Runs == 1);
        KT_EXPECT_EQ(Work.Irql, PASSIVE_LEVEL);
        KT_EXPECT_EQ(Work.Base, Cases[i].Priority);
    }
}

/* One item after the other: a thread that is free takes each. */
KTEST(work_needs_no_thread_while_one_is_free) {
    static WORK Work;
    volatile LONG *Workers = (volatile LONG *)&ExpWorkQueues[HyperCriticalWorkQueue].Workers;
    LONG Before = 0;
    for (LONG i = 1; i <= 8; i++) {
        Work = (WORK){0};
        ExInitializeWorkItem(&Work.Item, NoteWork, &Work);
        ExQueueWorkItem(&Work.Item, HyperCriticalWorkQueue);
        KT_WAIT_UNTIL(Work.Runs == 1);
        KtSleep(1); /* until its thread waits again */
        Before = i == 2 ? *Workers : Before;
    }
    KT_EXPECT_EQ(*Workers, Before);
}

static VOID WorkAgain(PVOID Parameter) {
    WORK *Work = Parameter;
    if (InterlockedIncrement(&Work->Runs) < 50) {
        ExQueueWorkItem(&Work->Item, (WORK_QUEUE_TYPE)(Work->Runs % MaximumWorkQueue));
    }
}

KTEST(work_may_be_queued_again_by_its_routine) {
    static WORK Work;
    Work = (WORK){0};
    ExInitializeWorkItem(&Work.Item, WorkAgain, &Work);
    ExQueueWorkItem(&Work.Item, DelayedWorkQueue);
    KT_WAIT_UNTIL(Work.Runs == 50);
}

KTEST(work_is_found_by_its_address_while_it_waits) {
    static WORK Work;
    Work = (WORK){0};
    ExInitializeWorkItem(&Work.Item, NoteWork, &Work);
    KT_EXPECT_EQ(ExFindWorkItemInRange((ULONG64)&Work, (ULONG64)(&Work + 1)), NULL);
    KtPin(0);
    KeSetPriorityThread(KeGetCurrentThread(), HIGH_PRIORITY);
    KIRQL OldIrql = KeRaiseIrqlToDpcLevel();
    ExQueueWorkItem(&Work.Item, DelayedWorkQueue);
    PWORK_QUEUE_ITEM Found = ExFindWorkItemInRange((ULONG64)&Work, (ULONG64)(&Work + 1));
    LONG Runs = Work.Runs;
    KeLowerIrql(OldIrql);
    KeSetPriorityThread(KeGetCurrentThread(), 8);
    KtUnpin();
    KT_WAIT_UNTIL(Work.Runs == 1);
    KT_EXPECT(Found == &Work.Item || Runs == 1 || KeNumberProcessors > 1);
}

/* ---- Work items of a device ---- */

typedef struct _DEVICE_WORK {
    PIO_WORKITEM Item, SeenItem;
    PDEVICE_OBJECT Seen;
    volatile LONG Runs, References;
} DEVICE_WORK;

static VOID NoteDeviceWork(PDEVICE_OBJECT Device, PVOID Context) {
    DEVICE_WORK *Work = Context;
    Work->Seen = Device;
    Work->References = Device->ReferenceCount;
    InterlockedIncrement(&Work->Runs);
}

static VOID FreeOwnItem(PVOID IoObject, PVOID Context, PIO_WORKITEM Item) {
    DEVICE_WORK *Work = Context;
    Work->Seen = IoObject;
    Work->SeenItem = Item;
    IoFreeWorkItem(Item);
    InterlockedIncrement(&Work->Runs);
}

KTEST(work_of_a_device_keeps_it) {
    static DEVICE_WORK Work;
    PDEVICE_OBJECT Device;
    KT_REQUIRE(NT_SUCCESS(IoCreateDevice(IotCreateDriver(), 0, NULL, FILE_DEVICE_UNKNOWN, 0, FALSE, &Device)));
    Work = (DEVICE_WORK){.Item = IoAllocateWorkItem(Device)};
    KT_REQUIRE(Work.Item != NULL);
    IoQueueWorkItem(Work.Item, NoteDeviceWork, CriticalWorkQueue, &Work);
    KT_WAIT_UNTIL(Work.Runs == 1);
    KT_EXPECT_EQ(Work.Seen, Device);
    IoQueueWorkItemEx(Work.Item, FreeOwnItem, DelayedWorkQueue, &Work);
    KT_WAIT_UNTIL(Work.Runs == 2);
    KT_EXPECT_EQ(Work.SeenItem, Work.Item);
    IoDeleteDevice(Device);
    KT_EXPECT_EQ(IoAllocateWorkItem(NULL), NULL);
}

#define CONTEXTS 64

static VOID CountContext(PVOID IoObject, PVOID Context, PIO_WORKITEM Item) {
    UNREFERENCED_PARAMETER(IoObject);
    UNREFERENCED_PARAMETER(Item);
    InterlockedIncrement((volatile LONG *)Context);
}

/* The item may be queued again from the moment when it has left its queue, which is before its routine is called. */
KTEST(work_runs_with_the_context_that_it_was_queued_with) {
    static volatile LONG Wanted[CONTEXTS], Runs[CONTEXTS];
    PDEVICE_OBJECT Device;
    KT_REQUIRE(NT_SUCCESS(IoCreateDevice(IotCreateDriver(), 0, NULL, FILE_DEVICE_UNKNOWN, 0, FALSE, &Device)));
    PIO_WORKITEM Item = IoAllocateWorkItem(Device);
    KT_REQUIRE(Item != NULL);
    for (ULONG i = 0; i < KtStress(2000); i++) {
        ULONG Index = i % CONTEXTS;
        while (!IoTryQueueWorkItem(Item, CountContext, CriticalWorkQueue, (PVOID)&Runs[Index])) {
            YieldProcessor();
        }
        Wanted[Index]++;
    }
    for (ULONG i = 0; i < CONTEXTS; i++) {
        KT_WAIT_UNTIL(Runs[i] >= Wanted[i]);
        KT_EXPECT_EQ(Runs[i], Wanted[i]);
    }
    IoFreeWorkItem(Item);
    IoDeleteDevice(Device);
}

/* ---- Stops of the machine ---- */

KTEST_CRASH(work_without_a_routine) {
    static WORK_QUEUE_ITEM Item;
    ExInitializeWorkItem(&Item, NULL, NULL);
    ExQueueWorkItem(&Item, DelayedWorkQueue);
}

KTEST_CRASH(work_for_a_queue_that_is_not_there) {
    static WORK Work;
    ExInitializeWorkItem(&Work.Item, NoteWork, &Work);
    ExQueueWorkItem(&Work.Item, (WORK_QUEUE_TYPE)MaximumWorkQueue);
}

KTEST_CRASH(work_of_a_device_freed_in_the_queue) {
    static DEVICE_WORK Work;
    PDEVICE_OBJECT Device;
    IoCreateDevice(IotCreateDriver(), 0, NULL, FILE_DEVICE_UNKNOWN, 0, FALSE, &Device);
    Work.Item = IoAllocateWorkItem(Device);
    for (;;) { /* until no worker has been quicker */
        IoQueueWorkItem(Work.Item, NoteDeviceWork, DelayedWorkQueue, &Work);
        IoUninitializeWorkItem(Work.Item);
        KT_WAIT_UNTIL(Work.Runs != 0);
    }
}

/* ---- Forbidden to an interrupt service routine ---- */

static BOOLEAN LeaveLowered(PKINTERRUPT Interrupt, PVOID Context) {
    UNREFERENCED_PARAMETER(Interrupt);
    UNREFERENCED_PARAMETER(Context);
    KeLowerIrql(DISPATCH_LEVEL + 1);
    return TRUE;
}

static BOOLEAN ServeForEver(PKINTERRUPT Interrupt, PVOID Context) {
    UNREFERENCED_PARAMETER(Interrupt);
    UNREFERENCED_PARAMETER(Context);
    for (;;) {
        YieldProcessor();
    }
    return TRUE;
}

static VOID Interrupt(PKSERVICE_ROUTINE Routine) {
    PKINTERRUPT Object = IopCreateInterrupt(Routine, NULL);
    HalRequestIpi(KeNumberProcessors - 1, Object->Vector);
    KtSleep(20000);
}

KTEST_CRASH(interrupt_service_routine_returns_at_another_level) {
    Interrupt(LeaveLowered);
}

KTEST_CRASH(interrupt_service_routine_that_never_ends) {
    Interrupt(ServeForEver);
}
