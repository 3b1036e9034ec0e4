/* test_requests.c: requests on their way: they pend, are cancelled, wait in a queue, go in parts or down a stack. */
#include "../../kernel/io/iop.h"
#include "iotest.h"

/* ---- Pending, cancelling ---- */

static PIRP Pending;
static KEVENT Arrived;

static VOID CancelPending(PDEVICE_OBJECT Device, PIRP Irp) {
    UNREFERENCED_PARAMETER(Device);
    IoReleaseCancelSpinLock(Irp->CancelIrql);
    IotComplete(Irp, STATUS_CANCELLED, 0);
}

static NTSTATUS Pend(PDEVICE_OBJECT Device, PIRP Irp) {
    UNREFERENCED_PARAMETER(Device);
    IoMarkIrpPending(Irp);
    IoSetCancelRoutine(Irp, CancelPending);
    Pending = Irp;
    KeSetEvent(&Arrived, IO_NO_INCREMENT, FALSE);
    return STATUS_PENDING;
}

static PDRIVER_OBJECT CreatePending(PDEVICE_OBJECT *Device) {
    PDRIVER_OBJECT Driver = IotCreateOpenable(Device);
    Driver->MajorFunction[IRP_MJ_DEVICE_CONTROL] = Pend;
    KeInitializeEvent(&Arrived, SynchronizationEvent, FALSE);
    return Driver;
}

static volatile LONG Closes;

static NTSTATUS CountClose(PDEVICE_OBJECT Device, PIRP Irp) {
    InterlockedIncrement(&Closes);
    return IotSucceed(Device, Irp);
}

KTEST(ioctl_that_pends_on_an_asynchronous_handle_ends_by_event) {
    PDEVICE_OBJECT Device;
    PDRIVER_OBJECT Driver = CreatePending(&Device);
    HANDLE Handle, Event;
    Driver->MajorFunction[IRP_MJ_CLOSE] = CountClose;
    Closes = 0;
    IO_STATUS_BLOCK Result = {.Status = STATUS_PENDING};
    KT_REQUIRE(IotOpen(L"\\Device\\KtControl", GENERIC_READ, 0, &Handle) == STATUS_SUCCESS);
    KT_REQUIRE(ZwCreateEvent(&Event, EVENT_ALL_ACCESS, NULL, NotificationEvent, TRUE) == STATUS_SUCCESS);
    KT_EXPECT_EQ(ZwDeviceIoControlFile(Handle, Event, NULL, NULL, &Result, CONTROL_BUFFERED, NULL, 0, NULL, 0),
                 STATUS_PENDING);
    LARGE_INTEGER Now = {.QuadPart = 0};
    KT_EXPECT_EQ(ZwWaitForSingleObject(Event, FALSE, &Now), STATUS_TIMEOUT);
    IoSetCancelRoutine(Pending, NULL);
    IotComplete(Pending, STATUS_SUCCESS, 5);
    KT_EXPECT_EQ(ZwWaitForSingleObject(Event, FALSE, NULL), STATUS_SUCCESS);
    KT_EXPECT_EQ(Result.Status, STATUS_SUCCESS);
    KT_EXPECT_EQ(Result.Information, 5);
    ZwClose(Event);
    ZwClose(Handle);
    /* The request has given its reference to the file back; a worker thread may do it. */
    LARGE_INTEGER Moment = {.QuadPart = -100000};
    for (ULONG i = 0; i < 500 && Closes == 0; i++) {
        KeDelayExecutionThread(KernelMode, FALSE, &Moment);
    }
    KT_EXPECT_EQ(Closes, 1);
    IoDeleteDevice(Device);
    IopDeleteDriverObject(Driver);
}

static VOID CancelWhenArrived(PVOID Context) {
    UNREFERENCED_PARAMETER(Context);
    KeWaitForSingleObject(&Arrived, Executive, KernelMode, FALSE, NULL);
    KT_EXPECT(IoCancelIrp(Pending));
}

KTEST(ioctl_that_is_cancelled_ends_with_STATUS_CANCELLED) {
    PDEVICE_OBJECT Device;
    PDRIVER_OBJECT Driver = CreatePending(&Device);
    KT_THREAD Thread;
    HANDLE Handle;
    IO_STATUS_BLOCK Result;
    KT_REQUIRE(IotOpen(L"\\Device\\KtControl", GENERIC_READ, FILE_SYNCHRONOUS_IO_NONALERT, &Handle) == STATUS_SUCCESS);
    KT_REQUIRE(KtCreateThread(&Thread, "canceller", 8, KT_ANY_PROCESSOR, CancelWhenArrived, NULL));
    KT_EXPECT_EQ(ZwDeviceIoControlFile(Handle, NULL, NULL, NULL, &Result, CONTROL_BUFFERED, NULL, 0, NULL, 0),
                 STATUS_CANCELLED);
    KT_EXPECT_EQ(Result.Status, STATUS_CANCELLED);
    KtJoin(&Thread);
    ZwClose(Handle);
    IoDeleteDevice(Device);
    IopDeleteDriverObject(Driver);
}

/* ---- StartIo ---- */

static CHAR Order[8];
static LONG OrderCount;

static VOID StartOne(PDEVICE_OBJECT Device, PIRP Irp) {
    KT_EXPECT_EQ(KeGetCurrentIrql(), DISPATCH_LEVEL);
    KT_EXPECT_EQ(Device->CurrentIrp, Irp);
    Order[OrderCount++] = (CHAR)(ULONG_PTR)IoGetCurrentIrpStackLocation(Irp)->Parameters.Others.Argument1;
}

static PIRP MakeNumbered(PDEVICE_OBJECT Device, CHAR Letter) {
    PIRP Irp = IoAllocateIrp(1, FALSE);
    IoSetNextIrpStackLocation(Irp);
    IoGetCurrentIrpStackLocation(Irp)->DeviceObject = Device;
    IoGetCurrentIrpStackLocation(Irp)->Parameters.Others.Argument1 = (PVOID)(ULONG_PTR)Letter;
    return Irp;
}

static ULONG Cancels;
static VOID CancelQueued(PDEVICE_OBJECT Device, PIRP Irp) {
    KeRemoveEntryDeviceQueue(&Device->DeviceQueue, &Irp->Tail.Overlay.DeviceQueueEntry);
    IoReleaseCancelSpinLock(Irp->CancelIrql);
    Cancels++;
}

KTEST(startio_takes_one_request_after_the_other_by_key) {
    PDEVICE_OBJECT Device;
    PDRIVER_OBJECT Driver = IotCreateOpenable(&Device);
    Driver->DriverStartIo = StartOne;
    memset(Order, 0, sizeof(Order));
    OrderCount = 0;
    Cancels = 0;
    PIRP Irps[4] = {MakeNumbered(Device, 'a'), MakeNumbered(Device, 'b'), MakeNumbered(Device, 'c'),
                    MakeNumbered(Device, 'd')};
    ULONG Keys[4] = {0, 30, 20, 10};
    for (ULONG i = 0; i < 4; i++) {
        IoStartPacket(Device, Irps[i], &Keys[i], i == 2 ? CancelQueued : NULL);
    }
    KT_EXPECT(strcmp(Order, "a") == 0);
    KT_EXPECT(IoCancelIrp(Irps[2]));
    KT_EXPECT_EQ(Cancels, 1);
    KIRQL OldIrql = KeRaiseIrqlToDpcLevel();
    for (ULONG i = 0; i < 3; i++) {
        IoStartNextPacket(Device, TRUE);
    }
    KeLowerIrql(OldIrql);
    KT_EXPECT(strcmp(Order, "adb") == 0);
    KT_EXPECT_EQ(Device->CurrentIrp, NULL);
    KT_EXPECT(!Device->DeviceQueue.Busy);
    for (ULONG i = 0; i < 4; i++) {
        IoFreeIrp(Irps[i]);
    }
    IoDeleteDevice(Device);
    IopDeleteDriverObject(Driver);
}

/* ---- Parts, stacks, shares, remove locks ---- */

KTEST(irp_in_parts_completes_the_whole_with_the_last_part) {
    PDEVICE_OBJECT Device;
    PDRIVER_OBJECT Driver = IotCreateOpenable(&Device);
    Driver->MajorFunction[IRP_MJ_READ] = IotSucceed;
    KEVENT Done;
    IO_STATUS_BLOCK Result = {.Status = STATUS_PENDING};
    UCHAR Buffer[8];
    KeInitializeEvent(&Done, NotificationEvent, FALSE);
    PIRP Master = IoBuildSynchronousFsdRequest(IRP_MJ_READ, Device, Buffer, 8, NULL, &Done, &Result);
    KT_REQUIRE(Master != NULL);
    Master->AssociatedIrp.IrpCount = 2;
    Master->IoStatus.Information = 8;
    for (ULONG Part = 0; Part < 2; Part++) {
        PIRP Irp = IoMakeAssociatedIrp(Master, 1);
        KT_REQUIRE(Irp != NULL);
        KT_EXPECT_EQ(KeReadStateEvent(&Done), 0);
        IoGetNextIrpStackLocation(Irp)->MajorFunction = IRP_MJ_READ;
        IoCallDriver(Device, Irp);
    }
    KT_EXPECT_EQ(KeReadStateEvent(&Done), 1);
    KT_EXPECT_EQ(Result.Information, 8);
    IoDeleteDevice(Device);
    IopDeleteDriverObject(Driver);
}

KTEST(device_attached_on_top_gets_the_requests_for_the_one_below) {
    PDEVICE_OBJECT Device;
    PDRIVER_OBJECT Driver = IotCreateOpenable(&Device);
    PDEVICE_OBJECT Filter = IotCreateDevice(Driver, NULL, 1);
    PFILE_OBJECT File;
    PDEVICE_OBJECT Found;
    UNICODE_STRING Name;
    KT_EXPECT_EQ(IoAttachDeviceToDeviceStack(Filter, Device), Device);
    KT_EXPECT_EQ(Filter->StackSize, 2);
    KT_EXPECT_EQ(Device->AttachedDevice, Filter);
    RtlInitUnicodeString(&Name, L"\\Device\\KtControl");
    KT_REQUIRE(IoGetDeviceObjectPointer(&Name, FILE_READ_DATA, &File, &Found) == STATUS_SUCCESS);
    KT_EXPECT_EQ(Found, Filter);
    KT_EXPECT_EQ(File->DeviceObject, Device);
    ObDereferenceObject(File);
    PDEVICE_OBJECT Lower = IoGetLowerDeviceObject(Filter);
    KT_EXPECT_EQ(Lower, Device);
    ObDereferenceObject(Lower);
    IoDetachDevice(Device);
    KT_EXPECT_EQ(IoGetAttachedDevice(Device), Device);
    IoDeleteDevice(Filter);
    IoDeleteDevice(Device);
    IopDeleteDriverObject(Driver);
}

KTEST(share_access_lets_in_who_lets_the_others_be) {
    SHARE_ACCESS Share = {};
    FILE_OBJECT First = {}, Second = {}, Third = {};
    IoSetShareAccess(FILE_READ_DATA, FILE_SHARE_READ, &First, &Share);
    KT_EXPECT_EQ(IoCheckShareAccess(FILE_WRITE_DATA, FILE_SHARE_READ, &Second, &Share, TRUE), STATUS_SHARING_VIOLATION);
    KT_EXPECT_EQ(IoCheckShareAccess(FILE_READ_DATA, 0, &Second, &Share, TRUE), STATUS_SHARING_VIOLATION);
    KT_EXPECT_EQ(IoCheckShareAccess(FILE_READ_DATA, FILE_SHARE_READ, &Second, &Share, TRUE), STATUS_SUCCESS);
    KT_EXPECT_EQ(IoCheckShareAccess(FILE_READ_ATTRIBUTES, 0, &Third, &Share, TRUE), STATUS_SUCCESS);
    KT_EXPECT_EQ(Share.OpenCount, 2);
    IoRemoveShareAccess(&Third, &Share);
    IoRemoveShareAccess(&Second, &Share);
    IoRemoveShareAccess(&First, &Share);
    KT_EXPECT_EQ(Share.OpenCount, 0);
    KT_EXPECT_EQ(IoCheckShareAccess(DELETE, 0, &Third, &Share, TRUE), STATUS_SUCCESS);
}

static VOID ReleaseLater(PVOID Context) {
    KtSleep(20);
    IoReleaseRemoveLock((PIO_REMOVE_LOCK)Context, NULL);
}

KTEST(remove_lock_waits_for_the_last_inside) {
    IO_REMOVE_LOCK Lock;
    KT_THREAD Thread;
    IoInitializeRemoveLock(&Lock, 0, 0, 0);
    KT_EXPECT_EQ(IoAcquireRemoveLock(&Lock, NULL), STATUS_SUCCESS);
    KT_EXPECT_EQ(IoAcquireRemoveLock(&Lock, NULL), STATUS_SUCCESS);
    KT_REQUIRE(KtCreateThread(&Thread, "releaser", 8, KT_ANY_PROCESSOR, ReleaseLater, &Lock));
    IoReleaseRemoveLockAndWait(&Lock, NULL);
    KT_EXPECT_EQ(Lock.IoCount, 0);
    KT_EXPECT_EQ(IoAcquireRemoveLock(&Lock, NULL), STATUS_DELETE_PENDING);
    KtJoin(&Thread);
}

/* ---- Stops of the machine ---- */

static VOID CancelAndKeepLock(PDEVICE_OBJECT Device, PIRP Irp) {
    UNREFERENCED_PARAMETER(Device);
    UNREFERENCED_PARAMETER(Irp);
}

static volatile LONG Cancellations;

static VOID CountCancellation(PDEVICE_OBJECT Device, PIRP Irp) {
    UNREFERENCED_PARAMETER(Device);
    Cancellations++;
    IoReleaseCancelSpinLock(Irp->CancelIrql);
}

KTEST(ioctl_that_was_cancelled_is_not_cancelled_again) {
    PIRP Irp = IoAllocateIrp(1, FALSE);
    KT_REQUIRE(Irp != NULL);
    IoSetNextIrpStackLocation(Irp);
    Cancellations = 0;
    IoSetCancelRoutine(Irp, CountCancellation);
    KT_EXPECT(IoCancelIrp(Irp));
    KT_EXPECT(!IoCancelIrp(Irp));
    KT_EXPECT_EQ(Cancellations, 1);
    IoFreeIrp(Irp);
}

static NTSTATUS FailAndKeep(PDEVICE_OBJECT Device, PIRP Irp) {
    UNREFERENCED_PARAMETER(Device);
    Pending = Irp;
    return STATUS_UNSUCCESSFUL;
}

static LONG_PTR CountOwnReferences(VOID) {
    ObReferenceObject(PsGetCurrentThread());
    return ObDereferenceObject(PsGetCurrentThread());
}

/* A driver that reports an error and completes the request all the same, later: nothing of the requester's is left with it. */
KTEST(ioctl_that_ends_after_its_error_was_told_gives_everything_back) {
    PDEVICE_OBJECT Device;
    PDRIVER_OBJECT Driver = IotCreateOpenable(&Device);
    IO_STATUS_BLOCK Result;
    HANDLE Handle;
    Driver->MajorFunction[IRP_MJ_DEVICE_CONTROL] = FailAndKeep;
    LONG_PTR Before = CountOwnReferences();
    KT_REQUIRE(IotOpen(L"\\Device\\KtControl", GENERIC_READ | SYNCHRONIZE, FILE_SYNCHRONOUS_IO_NONALERT, &Handle) ==
               STATUS_SUCCESS);
    KT_EXPECT_EQ(ZwDeviceIoControlFile(Handle, NULL, NULL, NULL, &Result, CONTROL_BUFFERED, NULL, 0, NULL, 0),
                 STATUS_UNSUCCESSFUL);
    KT_EXPECT_EQ(CountOwnReferences(), Before + 1);
    IotComplete(Pending, STATUS_UNSUCCESSFUL, 0);
    KT_WAIT_UNTIL(CountOwnReferences() == Before);
    ZwClose(Handle);
    IoDeleteDevice(Device);
    IopDeleteDriverObject(Driver);
}

static NTSTATUS CompleteTwice(PDEVICE_OBJECT Device, PIRP Irp) {
    UNREFERENCED_PARAMETER(Device);
    IotComplete(Irp, STATUS_SUCCESS, 0); /* its requester has not looked yet: it is not freed */
    return IotComplete(Irp, STATUS_SUCCESS, 0);
}

KTEST_CRASH(irp_completed_twice_before_its_requester_looks) {
    PDEVICE_OBJECT Device;
    PDRIVER_OBJECT Driver = IotCreateOpenable(&Device);
    IO_STATUS_BLOCK Result;
    HANDLE Handle;
    Driver->MajorFunction[IRP_MJ_DEVICE_CONTROL] = CompleteTwice;
    KT_REQUIRE(IotOpen(L"\\Device\\KtControl", GENERIC_READ | SYNCHRONIZE, FILE_SYNCHRONOUS_IO_NONALERT, &Handle) ==
               STATUS_SUCCESS);
    ZwDeviceIoControlFile(Handle, NULL, NULL, NULL, &Result, CONTROL_BUFFERED, NULL, 0, NULL, 0);
}

KTEST_CRASH(irp_cancel_routine_keeps_the_lock) {
    PIRP Irp = IoAllocateIrp(1, FALSE);
    IoSetNextIrpStackLocation(Irp);
    IoSetCancelRoutine(Irp, CancelAndKeepLock);
    IoCancelIrp(Irp);
}

/* ---- Cancel-safe queues ---- */

static IO_CSQ Csq;
static LIST_ENTRY CsqList;
static KSPIN_LOCK CsqLock;
static PIRP CsqCancelled;

static NTSTATUS CsqInsert(PIO_CSQ Queue, PIRP Irp, PVOID Context) {
    UNREFERENCED_PARAMETER(Queue);
    if (Context == NULL) {
        return STATUS_DEVICE_BUSY;
    }
    InsertTailList(&CsqList, &Irp->Tail.Overlay.ListEntry);
    return STATUS_SUCCESS;
}

static VOID CsqRemove(PIO_CSQ Queue, PIRP Irp) {
    UNREFERENCED_PARAMETER(Queue);
    RemoveEntryList(&Irp->Tail.Overlay.ListEntry);
}

static PIRP CsqPeek(PIO_CSQ Queue, PIRP Irp, PVOID Context) {
    UNREFERENCED_PARAMETER(Queue);
    UNREFERENCED_PARAMETER(Context);
    PLIST_ENTRY Next = Irp == NULL ? CsqList.Flink : Irp->Tail.Overlay.ListEntry.Flink;
    return Next == &CsqList ? NULL : CONTAINING_RECORD(Next, IRP, Tail.Overlay.ListEntry);
}

static VOID CsqAcquire(PIO_CSQ Queue, PKIRQL Irql) {
    UNREFERENCED_PARAMETER(Queue);
    KeAcquireSpinLock(&CsqLock, Irql);
}

static VOID CsqRelease(PIO_CSQ Queue, KIRQL Irql) {
    UNREFERENCED_PARAMETER(Queue);
    KeReleaseSpinLock(&CsqLock, Irql);
}

static VOID CsqComplete(PIO_CSQ Queue, PIRP Irp) {
    UNREFERENCED_PARAMETER(Queue);
    CsqCancelled = Irp;
}

/* A request as a dispatch routine has it; it is never completed. */
static PIRP NewCsqIrp(VOID) {
    PIRP Irp = IoAllocateIrp(1, FALSE);
    if (Irp != NULL) {
        IoSetNextIrpStackLocation(Irp);
    }
    return Irp;
}

KTEST(ioctl_a_cancel_safe_queue_gives_each_request_to_one_taker) {
    IO_CSQ_IRP_CONTEXT Context, Other;
    PIRP First = NewCsqIrp(), Second = NewCsqIrp();
    KT_REQUIRE(First != NULL && Second != NULL);
    InitializeListHead(&CsqList);
    KeInitializeSpinLock(&CsqLock);
    IoCsqInitializeEx(&Csq, CsqInsert, CsqRemove, CsqPeek, CsqAcquire, CsqRelease, CsqComplete);
    KT_EXPECT_EQ(IoCsqInsertIrpEx(&Csq, First, &Context, NULL), STATUS_DEVICE_BUSY);
    KT_EXPECT(!(IoGetCurrentIrpStackLocation(First)->Control & SL_PENDING_RETURNED) && IsListEmpty(&CsqList));
    IoSetCancelRoutine(First, CancelQueued); /* it goes elsewhere */
    KT_EXPECT(IoCsqRemoveIrp(&Csq, &Context) == NULL && IoSetCancelRoutine(First, NULL) == CancelQueued);
    KT_EXPECT_EQ(IoCsqInsertIrpEx(&Csq, First, &Context, &Csq), STATUS_SUCCESS);
    KT_EXPECT(IoGetCurrentIrpStackLocation(First)->Control & SL_PENDING_RETURNED);
    KT_EXPECT_EQ(IoCsqInsertIrpEx(&Csq, Second, &Other, &Csq), STATUS_SUCCESS);
    KT_EXPECT(IoCsqRemoveIrp(&Csq, &Other) == Second && IoCsqRemoveIrp(&Csq, &Other) == NULL);
    KT_EXPECT(IoCsqRemoveNextIrp(&Csq, NULL) == First && Context.Irp == NULL && IoCsqRemoveIrp(&Csq, &Context) == NULL);
    KT_EXPECT(IoCsqRemoveNextIrp(&Csq, NULL) == NULL);
    KT_EXPECT_EQ(IoCsqInsertIrpEx(&Csq, First, &Context, &Csq), STATUS_SUCCESS);
    KT_EXPECT(IoCancelIrp(First) && CsqCancelled == First && Context.Irp == NULL && IsListEmpty(&CsqList));
    KT_EXPECT(IoCsqRemoveIrp(&Csq, &Context) == NULL);
    CsqCancelled = NULL;
    KT_EXPECT_EQ(IoCsqInsertIrpEx(&Csq, First, NULL, &Csq), STATUS_SUCCESS); /* it has been cancelled before */
    KT_EXPECT(CsqCancelled == First && IsListEmpty(&CsqList));
    IoFreeIrp(First);
    IoFreeIrp(Second);
}
