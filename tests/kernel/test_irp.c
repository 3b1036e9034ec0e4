/* test_irp.c: the way of a request down a stack of devices and up again: locations, buffers, completion routines. */
#include "iotest.h"

/* ---- Buffers ---- */

typedef struct _SEEN {
    ULONG InputLength, OutputLength, Code;
    PVOID SystemBuffer, Type3InputBuffer, UserBuffer;
} SEEN;
static SEEN Seen;

static VOID Note(PDEVICE_OBJECT Device, PIRP Irp) {
    PIO_STACK_LOCATION Stack = IoGetCurrentIrpStackLocation(Irp);
    Seen = (SEEN){.InputLength = Stack->Parameters.DeviceIoControl.InputBufferLength,
                  .OutputLength = Stack->Parameters.DeviceIoControl.OutputBufferLength,
                  .Code = Stack->Parameters.DeviceIoControl.IoControlCode,
                  .SystemBuffer = Irp->AssociatedIrp.SystemBuffer,
                  .Type3InputBuffer = Stack->Parameters.DeviceIoControl.Type3InputBuffer,
                  .UserBuffer = Irp->UserBuffer};
    KT_EXPECT_EQ(Stack->DeviceObject, Device);
}

/* Answers each byte of the input plus one. */
static NTSTATUS Increment(PDEVICE_OBJECT Device, PIRP Irp) {
    Note(Device, Irp);
    PUCHAR Bytes = Irp->AssociatedIrp.SystemBuffer;
    ULONG Length = Seen.InputLength < Seen.OutputLength ? Seen.InputLength : Seen.OutputLength;
    for (ULONG Index = 0; Index < Length; Index++) {
        Bytes[Index]++;
    }
    return IotComplete(Irp, STATUS_SUCCESS, Length);
}

static NTSTATUS Fail(PDEVICE_OBJECT Device, PIRP Irp) {
    Note(Device, Irp);
    memset(Irp->AssociatedIrp.SystemBuffer, 0x99, Seen.OutputLength);
    return IotComplete(Irp, STATUS_IO_DEVICE_ERROR, Seen.OutputLength);
}

static NTSTATUS Overflow(PDEVICE_OBJECT Device, PIRP Irp) {
    Note(Device, Irp);
    memset(Irp->AssociatedIrp.SystemBuffer, 0x99, Seen.OutputLength);
    return IotComplete(Irp, STATUS_BUFFER_OVERFLOW, 2);
}

KTEST(irp_what_a_driver_does_not_handle_is_refused) {
    PDRIVER_OBJECT Driver = IotCreateDriver();
    PDEVICE_OBJECT Device = IotCreateDevice(Driver, NULL, 1);
    for (ULONG Major = 0; Major <= IRP_MJ_MAXIMUM_FUNCTION; Major++) {
        KT_EXPECT(Driver->MajorFunction[Major] != NULL);
    }
    IO_STATUS_BLOCK Result = IotControl(Device, CONTROL_BUFFERED, NULL, 0, NULL, 0);
    KT_EXPECT_EQ(Result.Status, STATUS_INVALID_DEVICE_REQUEST);
    IoDeleteDevice(Device);
    IopDeleteDriverObject(Driver);
}

KTEST(irp_buffered_control_copies_in_and_out) {
    PDRIVER_OBJECT Driver = IotCreateDriver();
    PDEVICE_OBJECT Device = IotCreateDevice(Driver, NULL, 1);
    Driver->MajorFunction[IRP_MJ_DEVICE_CONTROL] = Increment;
    UCHAR Input[4] = {1, 2, 3, 4}, Output[8] = {9, 9, 9, 9, 9, 9, 9, 9};
    IO_STATUS_BLOCK Result = IotControl(Device, CONTROL_BUFFERED, Input, 4, Output, 8);
    KT_EXPECT_EQ(Result.Status, STATUS_SUCCESS);
    KT_EXPECT_EQ(Result.Information, 4);
    KT_EXPECT(Output[0] == 2 && Output[3] == 5);
    KT_EXPECT(Output[4] == 9 && Output[7] == 9); /* no more than Information says */
    KT_EXPECT(Input[0] == 1);
    KT_EXPECT(Seen.SystemBuffer != Input && Seen.SystemBuffer != Output);
    KT_EXPECT_EQ(Seen.Code, CONTROL_BUFFERED);
    KT_EXPECT_EQ(Seen.InputLength, 4);
    KT_EXPECT_EQ(Seen.OutputLength, 8);
    IoDeleteDevice(Device);
    IopDeleteDriverObject(Driver);
}

KTEST(irp_an_error_copies_nothing_and_a_warning_does) {
    PDRIVER_OBJECT Driver = IotCreateDriver();
    PDEVICE_OBJECT Device = IotCreateDevice(Driver, NULL, 1);
    UCHAR Output[4] = {7, 7, 7, 7};
    Driver->MajorFunction[IRP_MJ_DEVICE_CONTROL] = Fail;
    KT_EXPECT_EQ(IotControl(Device, CONTROL_BUFFERED, NULL, 0, Output, 4).Status, STATUS_IO_DEVICE_ERROR);
    KT_EXPECT(Output[0] == 7 && Output[3] == 7);
    Driver->MajorFunction[IRP_MJ_DEVICE_CONTROL] = Overflow;
    KT_EXPECT_EQ(IotControl(Device, CONTROL_BUFFERED, NULL, 0, Output, 4).Status, STATUS_BUFFER_OVERFLOW);
    KT_EXPECT(Output[0] == 0x99 && Output[1] == 0x99 && Output[2] == 7);
    IoDeleteDevice(Device);
    IopDeleteDriverObject(Driver);
}

KTEST(irp_an_error_that_the_call_returns_is_not_told_again) {
    PDRIVER_OBJECT Driver = IotCreateDriver();
    PDEVICE_OBJECT Device = IotCreateDevice(Driver, NULL, 1);
    IO_STATUS_BLOCK Result = {.Status = STATUS_WAIT_1};
    KEVENT Done;
    KeInitializeEvent(&Done, NotificationEvent, FALSE);
    Driver->MajorFunction[IRP_MJ_DEVICE_CONTROL] = Fail;
    PIRP Irp = IoBuildDeviceIoControlRequest(CONTROL_BUFFERED, Device, NULL, 0, NULL, 0, FALSE, &Done, &Result);
    KT_REQUIRE(Irp != NULL);
    KT_EXPECT_EQ(IoCallDriver(Device, Irp), STATUS_IO_DEVICE_ERROR);
    KT_EXPECT_EQ(KeReadStateEvent(&Done), 0);
    KT_EXPECT_EQ(Result.Status, STATUS_WAIT_1);
    IoDeleteDevice(Device);
    IopDeleteDriverObject(Driver);
}

static NTSTATUS Accept(PDEVICE_OBJECT Device, PIRP Irp) {
    Note(Device, Irp);
    return IotComplete(Irp, STATUS_SUCCESS, 0);
}

KTEST(irp_method_neither_hands_over_the_callers_addresses) {
    PDRIVER_OBJECT Driver = IotCreateDriver();
    PDEVICE_OBJECT Device = IotCreateDevice(Driver, NULL, 1);
    Driver->MajorFunction[IRP_MJ_DEVICE_CONTROL] = Accept;
    UCHAR Input[4], Output[4];
    KT_EXPECT_EQ(IotControl(Device, CONTROL_NEITHER, Input, 4, Output, 4).Status, STATUS_SUCCESS);
    KT_EXPECT_EQ(Seen.Type3InputBuffer, Input);
    KT_EXPECT_EQ(Seen.UserBuffer, Output);
    KT_EXPECT_EQ(Seen.SystemBuffer, NULL);
    IoDeleteDevice(Device);
    IopDeleteDriverObject(Driver);
}

/* ---- A stack of two devices of one driver: the upper passes requests down ---- */

#define MAXIMUM_STEPS 16
static PDEVICE_OBJECT Upper, Lower;
static CHAR Steps[MAXIMUM_STEPS];
static volatile LONG StepCount;
static PIRP HeldIrp;
static KEVENT Held;

static VOID Step(CHAR Letter) {
    Steps[InterlockedIncrement(&StepCount) - 1] = Letter;
}

static VOID ResetSteps(VOID) {
    StepCount = 0;
    memset(Steps, 0, sizeof(Steps));
    KeInitializeEvent(&Held, SynchronizationEvent, FALSE);
}

/* The upper driver's completion routine. Context: its result. */
static NTSTATUS UpperDone(PDEVICE_OBJECT Device, PIRP Irp, PVOID Context) {
    KT_EXPECT_EQ(Device, Upper);
    Step(Irp->PendingReturned ? 'P' : 'U');
    if (Irp->PendingReturned && Context == NULL) {
        IoMarkIrpPending(Irp);
    }
    if (Context != NULL) {
        HeldIrp = Irp;
        KeSetEvent(&Held, IO_NO_INCREMENT, FALSE);
        return STATUS_MORE_PROCESSING_REQUIRED;
    }
    return STATUS_SUCCESS;
}

static BOOLEAN HoldsInUpper, SkipsUpper, UpperHasNoRoutine;
static BOOLEAN OnSuccess = TRUE, OnError = TRUE;
static NTSTATUS LowerStatus;
static BOOLEAN LowerPends;
static KDPC LowerDpc;

static VOID CompleteFromDpc(PKDPC Dpc, PVOID Context, PVOID Argument1, PVOID Argument2) {
    UNREFERENCED_PARAMETER(Dpc);
    UNREFERENCED_PARAMETER(Context);
    UNREFERENCED_PARAMETER(Argument2);
    PIRP Irp = Argument1;
    Step('D');
    PUCHAR Buffer = Irp->AssociatedIrp.SystemBuffer;
    if (Buffer) {
        Buffer[0] = 0x5A;
    }
    IotComplete(Irp, LowerStatus, Buffer ? 1 : 0);
}

static NTSTATUS Stacked(PDEVICE_OBJECT Device, PIRP Irp) {
    Step(Device == Upper ? 'u' : 'l');
    if (Device == Upper) {
        if (SkipsUpper) {
            IoSkipCurrentIrpStackLocation(Irp);
        } else {
            IoCopyCurrentIrpStackLocationToNext(Irp);
            if (!UpperHasNoRoutine) {
                IoSetCompletionRoutine(Irp, UpperDone, HoldsInUpper ? Irp : NULL, OnSuccess, OnError, FALSE);
            }
        }
        return IoCallDriver(Lower, Irp);
    }
    if (LowerPends) {
        IoMarkIrpPending(Irp);
        KeInitializeDpc(&LowerDpc, CompleteFromDpc, NULL);
        KeInsertQueueDpc(&LowerDpc, Irp, NULL);
        return STATUS_PENDING;
    }
    return IotComplete(Irp, LowerStatus, 0);
}

static PDRIVER_OBJECT CreateStack(VOID) {
    PDRIVER_OBJECT Driver = IotCreateDriver();
    Driver->MajorFunction[IRP_MJ_DEVICE_CONTROL] = Stacked;
    Lower = IotCreateDevice(Driver, NULL, 1);
    Upper = IotCreateDevice(Driver, NULL, 2);
    HoldsInUpper = SkipsUpper = UpperHasNoRoutine = LowerPends = FALSE;
    OnSuccess = OnError = TRUE;
    LowerStatus = STATUS_SUCCESS;
    ResetSteps();
    return Driver;
}

static VOID DeleteStack(PDRIVER_OBJECT Driver) {
    IoDeleteDevice(Upper);
    IoDeleteDevice(Lower);
    IopDeleteDriverObject(Driver);
}

KTEST(irp_goes_down_the_stack_and_the_completion_routine_runs_on_the_way_up) {
    PDRIVER_OBJECT Driver = CreateStack();
    KT_EXPECT_EQ(IotControl(Upper, CONTROL_BUFFERED, NULL, 0, NULL, 0).Status, STATUS_SUCCESS);
    KT_EXPECT(strcmp(Steps, "ulU") == 0);
    DeleteStack(Driver);
}

KTEST(irp_completion_routine_runs_only_for_the_outcomes_asked_for) {
    PDRIVER_OBJECT Driver = CreateStack();
    OnSuccess = FALSE;
    IotControl(Upper, CONTROL_BUFFERED, NULL, 0, NULL, 0);
    KT_EXPECT(strcmp(Steps, "ul") == 0);
    ResetSteps();
    LowerStatus = STATUS_IO_DEVICE_ERROR;
    KT_EXPECT_EQ(IotControl(Upper, CONTROL_BUFFERED, NULL, 0, NULL, 0).Status, STATUS_IO_DEVICE_ERROR);
    KT_EXPECT(strcmp(Steps, "ulU") == 0);
    ResetSteps();
    OnError = FALSE;
    IotControl(Upper, CONTROL_BUFFERED, NULL, 0, NULL, 0);
    KT_EXPECT(strcmp(Steps, "ul") == 0);
    DeleteStack(Driver);
}

KTEST(irp_skipping_a_location_gives_the_lower_driver_the_same_one) {
    PDRIVER_OBJECT Driver = CreateStack();
    SkipsUpper = TRUE;
    KT_EXPECT_EQ(IotControl(Upper, CONTROL_BUFFERED, NULL, 0, NULL, 0).Status, STATUS_SUCCESS);
    KT_EXPECT(strcmp(Steps, "ul") == 0);
    DeleteStack(Driver);
}

KTEST(irp_more_processing_required_stops_the_walk_until_it_is_completed_again) {
    PDRIVER_OBJECT Driver = CreateStack();
    KEVENT Done;
    IO_STATUS_BLOCK Result = {.Status = STATUS_PENDING};
    HoldsInUpper = TRUE;
    KeInitializeEvent(&Done, NotificationEvent, FALSE);
    PIRP Irp = IoBuildDeviceIoControlRequest(CONTROL_BUFFERED, Upper, NULL, 0, NULL, 0, FALSE, &Done, &Result);
    KT_REQUIRE(Irp != NULL);
    IoCallDriver(Upper, Irp);
    KeWaitForSingleObject(&Held, Executive, KernelMode, FALSE, NULL);
    KT_EXPECT_EQ(KeReadStateEvent(&Done), 0);
    KT_EXPECT_EQ(Result.Status, STATUS_PENDING);
    KT_EXPECT_EQ(HeldIrp, Irp);
    IotComplete(HeldIrp, STATUS_SUCCESS, 77);
    KT_EXPECT_EQ(KeReadStateEvent(&Done), 1);
    KT_EXPECT_EQ(Result.Information, 77);
    KT_EXPECT(strcmp(Steps, "ulU") == 0);
    DeleteStack(Driver);
}

KTEST(irp_pending_is_reported_to_the_completion_routine) {
    PDRIVER_OBJECT Driver = CreateStack();
    LowerPends = TRUE;
    KT_EXPECT_EQ(IotControl(Upper, CONTROL_BUFFERED, NULL, 0, NULL, 0).Status, STATUS_SUCCESS);
    KT_EXPECT(strcmp(Steps, "ulDP") == 0);
    DeleteStack(Driver);
}

static NTSTATUS SenderDone(PDEVICE_OBJECT Device, PIRP Irp, PVOID Context) {
    UNREFERENCED_PARAMETER(Device);
    UNREFERENCED_PARAMETER(Context);
    Step(Irp->PendingReturned ? 'P' : 'S');
    KeSetEvent(&Held, IO_NO_INCREMENT, FALSE);
    return STATUS_MORE_PROCESSING_REQUIRED;
}

KTEST(irp_pending_is_handed_up_past_a_driver_without_a_completion_routine) {
    PDRIVER_OBJECT Driver = CreateStack();
    LowerPends = UpperHasNoRoutine = TRUE;
    PIRP Irp = IoAllocateIrp(2, FALSE);
    KT_REQUIRE(Irp != NULL);
    IoGetNextIrpStackLocation(Irp)->MajorFunction = IRP_MJ_DEVICE_CONTROL;
    IoSetCompletionRoutine(Irp, SenderDone, NULL, TRUE, TRUE, TRUE);
    KT_EXPECT_EQ(IoCallDriver(Upper, Irp), STATUS_PENDING);
    KeWaitForSingleObject(&Held, Executive, KernelMode, FALSE, NULL);
    KT_EXPECT(strcmp(Steps, "ulDP") == 0);
    IoFreeIrp(Irp);
    DeleteStack(Driver);
}

/* Completion comes from a DPC, but the requester's buffer and status block are paged out: the last step may not touch
 * them at DISPATCH_LEVEL. */
KTEST(irp_completed_in_a_dpc_writes_to_pageable_memory_of_the_requester) {
    typedef struct {
        IO_STATUS_BLOCK Result;
        UCHAR Output[4];
    } ANSWER;
    PDRIVER_OBJECT Driver = CreateStack();
    ANSWER *Answer = ExAllocatePoolWithTag(PagedPool, PAGE_SIZE, 0x74736554);
    KT_REQUIRE(Answer != NULL);
    KEVENT Done;
    LowerPends = TRUE;
    for (ULONG Round = 0; Round < 20; Round++) {
        memset(Answer, 0, sizeof(*Answer));
        ResetSteps();
        KeInitializeEvent(&Done, NotificationEvent, FALSE);
        PIRP Irp = IoBuildDeviceIoControlRequest(CONTROL_BUFFERED, Upper, NULL, 0, Answer->Output, 4, FALSE, &Done,
                                                 &Answer->Result);
        KT_REQUIRE(Irp != NULL);
        KIRQL OldIrql = KeRaiseIrqlToDpcLevel(); /* the DPC is on this CPU: it runs only when the page is gone */
        IoCallDriver(Upper, Irp);
        MmTrimRange(Answer, PAGE_SIZE);
        KeLowerIrql(OldIrql);
        KeWaitForSingleObject(&Done, Executive, KernelMode, FALSE, NULL);
        KT_EXPECT_EQ(Answer->Result.Status, STATUS_SUCCESS);
        KT_EXPECT_EQ(Answer->Result.Information, 1);
        KT_EXPECT_EQ(Answer->Output[0], 0x5A);
        KT_EXPECT_EQ(Answer->Output[1], 0);
    }
    ExFreePoolWithTag(Answer, 0x74736554);
    DeleteStack(Driver);
}

static VOID SendMany(ULONG Processor, PVOID Context) {
    PDEVICE_OBJECT Device = Context;
    ULONG Rounds = KtStress(500);
    for (ULONG Round = 0; Round < Rounds; Round++) {
        ULONG Input = Processor << 16 | Round, Output = 0;
        IO_STATUS_BLOCK Result = IotControl(Device, CONTROL_BUFFERED, &Input, sizeof(Input), &Output, sizeof(Output));
        KT_EXPECT_EQ(Result.Status, STATUS_SUCCESS);
        KT_EXPECT_EQ(Output, Input);
    }
}

static NTSTATUS Echo(PDEVICE_OBJECT Device, PIRP Irp) {
    UNREFERENCED_PARAMETER(Device);
    return IotComplete(Irp, STATUS_SUCCESS, sizeof(ULONG));
}

KTEST(irp_requests_of_all_cpus_do_not_mix) {
    PDRIVER_OBJECT Driver = IotCreateDriver();
    PDEVICE_OBJECT Device = IotCreateDevice(Driver, NULL, 1);
    Driver->MajorFunction[IRP_MJ_DEVICE_CONTROL] = Echo;
    KtRunOnAllCpus(SendMany, Device);
    IoDeleteDevice(Device);
    IopDeleteDriverObject(Driver);
}

/* ---- The fields of a new request ---- */

static VOID ExpectNew(PIRP Irp, CCHAR StackSize, NTSTATUS Status) {
    KT_EXPECT_EQ(Irp->Type, 6);
    KT_EXPECT_EQ(Irp->Size, IoSizeOfIrp(StackSize));
    KT_EXPECT_EQ(Irp->StackCount, StackSize);
    KT_EXPECT_EQ(Irp->CurrentLocation, StackSize + 1);
    KT_EXPECT_EQ(Irp->Tail.Overlay.CurrentStackLocation, (PIO_STACK_LOCATION)(Irp + 1) + StackSize);
    KT_EXPECT(IsListEmpty(&Irp->ThreadListEntry));
    KT_EXPECT_EQ(Irp->ApcEnvironment, OriginalApcEnvironment);
    KT_EXPECT_EQ(Irp->Flags, 0);
    KT_EXPECT_EQ(Irp->IoStatus.Status, Status);
}

KTEST(irp_fields_after_IoAllocateIrp_are_those_of_NT) {
    for (CCHAR StackSize = 0; StackSize <= 12; StackSize++) {
        UCHAR Fixed = StackSize <= 8 ? IRP_ALLOCATED_FIXED_SIZE : 0; /* of the size that all small ones have */
        UCHAR Quota = StackSize <= 8 ? IRP_LOOKASIDE_ALLOCATION : IRP_QUOTA_CHARGED;
        PIRP Irp = IoAllocateIrp(StackSize, FALSE), Charged = IoAllocateIrp(StackSize, TRUE);
        KT_REQUIRE(Irp != NULL && Charged != NULL);
        ExpectNew(Irp, StackSize, STATUS_SUCCESS);
        KT_EXPECT_EQ(Irp->AllocationFlags, Fixed);
        KT_EXPECT_EQ(Charged->AllocationFlags, Fixed | Quota);
        Irp->Flags = IRP_NOCACHE;
        Irp->CurrentLocation--;
        Irp->Tail.Overlay.CurrentStackLocation--;
        IoReuseIrp(Irp, STATUS_TIMEOUT);
        ExpectNew(Irp, StackSize, STATUS_TIMEOUT);
        KT_EXPECT_EQ(Irp->AllocationFlags, Fixed);
        IoInitializeIrp(Charged, IoSizeOfIrp(StackSize), StackSize);
        ExpectNew(Charged, StackSize, STATUS_SUCCESS);
        KT_EXPECT_EQ(Charged->AllocationFlags, 0);
        IoFreeIrp(Irp);
        IoFreeIrp(Charged);
    }
    KT_EXPECT_EQ(IoSizeOfIrp(3), sizeof(IRP) + 3 * sizeof(IO_STACK_LOCATION));
}

/* ---- Stops of the machine ---- */

KTEST_CRASH(irp_completed_twice) {
    PDRIVER_OBJECT Driver = CreateStack();
    PIRP Irp = IoAllocateIrp(1, FALSE);
    UNREFERENCED_PARAMETER(Driver);
    PIO_STACK_LOCATION Stack = IoGetNextIrpStackLocation(Irp);
    Stack->MajorFunction = IRP_MJ_DEVICE_CONTROL;
    IoCallDriver(Lower, Irp); /* completed and freed */
    IoCompleteRequest(Irp, IO_NO_INCREMENT);
}

KTEST_CRASH(irp_sent_without_a_location_left) {
    PDRIVER_OBJECT Driver = CreateStack();
    UNREFERENCED_PARAMETER(Driver);
    PIRP Irp = IoAllocateIrp(0, FALSE);
    IoCallDriver(Lower, Irp);
}
