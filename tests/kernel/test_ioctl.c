/* test_ioctl.c: DeviceIoControl by handle and by IRP with the four methods; requests that pend, are cancelled, wait in
 * a device queue, or go in parts. */
#include "../../kernel/io/iop.h"
#include <arch.h>
#include "iotest.h"

#define BYTES 64
#define CONTROL_WRITE_ACCESS CTL_CODE(0x8000, 0x804, METHOD_BUFFERED, FILE_WRITE_ACCESS)

/* ---- Methods ---- */

/* The input, reversed, to where the method puts the output. */
static NTSTATUS Reverse(PDEVICE_OBJECT Device, PIRP Irp) {
    UNREFERENCED_PARAMETER(Device);
    PIO_STACK_LOCATION Stack = IoGetCurrentIrpStackLocation(Irp);
    ULONG Length = Stack->Parameters.DeviceIoControl.InputBufferLength;
    PUCHAR Input = Irp->AssociatedIrp.SystemBuffer, Output = Irp->AssociatedIrp.SystemBuffer;
    UCHAR Copy[BYTES];
    switch (METHOD_FROM_CTL_CODE(Stack->Parameters.DeviceIoControl.IoControlCode)) {
    case METHOD_IN_DIRECT: /* the second buffer is input too: it is added */
    case METHOD_OUT_DIRECT:
        KT_EXPECT(Irp->MdlAddress != NULL && (Irp->MdlAddress->MdlFlags & MDL_PAGES_LOCKED));
        Output = MmGetSystemAddressForMdlSafe(Irp->MdlAddress, NormalPagePriority);
        break;
    case METHOD_NEITHER:
        Input = Stack->Parameters.DeviceIoControl.Type3InputBuffer;
        Output = Irp->UserBuffer;
        break;
    }
    memcpy(Copy, Input, Length);
    for (ULONG i = 0; i < Length; i++) {
        Output[i] = Copy[Length - 1 - i];
    }
    return IotComplete(Irp, STATUS_SUCCESS, Length);
}

static NTSTATUS Succeed(PDEVICE_OBJECT Device, PIRP Irp) {
    UNREFERENCED_PARAMETER(Device);
    return IotComplete(Irp, STATUS_SUCCESS, 0);
}

static PDRIVER_OBJECT CreateReversing(PDEVICE_OBJECT *Device) {
    PDRIVER_OBJECT Driver = IotCreateDriver();
    Driver->MajorFunction[IRP_MJ_CREATE] = Driver->MajorFunction[IRP_MJ_CLEANUP] = Driver->MajorFunction[IRP_MJ_CLOSE] =
        Succeed;
    Driver->MajorFunction[IRP_MJ_DEVICE_CONTROL] = Reverse;
    *Device = IotCreateDevice(Driver, L"\\Device\\KtControl", 1);
    return Driver;
}

static NTSTATUS Open(PCWSTR Path, ACCESS_MASK Access, ULONG Options, PHANDLE Handle) {
    UNICODE_STRING Name;
    OBJECT_ATTRIBUTES Attributes;
    IO_STATUS_BLOCK Result;
    RtlInitUnicodeString(&Name, Path);
    InitializeObjectAttributes(&Attributes, &Name, OBJ_CASE_INSENSITIVE | OBJ_KERNEL_HANDLE, NULL, NULL);
    return ZwOpenFile(Handle, Access, &Attributes, &Result, 0, Options);
}

static const ULONG Codes[4] = {CONTROL_BUFFERED, CONTROL_IN_DIRECT, CONTROL_OUT_DIRECT, CONTROL_NEITHER};

static VOID CheckReversed(const UCHAR *Output) {
    for (ULONG i = 0; i < BYTES; i++) {
        KT_EXPECT_EQ(Output[i], BYTES - 1 - i);
    }
}

KTEST(ioctl_by_irp_brings_data_with_each_method) {
    PDEVICE_OBJECT Device;
    PDRIVER_OBJECT Driver = CreateReversing(&Device);
    UCHAR Input[BYTES];
    PUCHAR Output = ExAllocatePoolWithTag(PagedPool, PAGE_SIZE, 0x74736554);
    KT_REQUIRE(Output != NULL);
    for (ULONG i = 0; i < BYTES; i++) {
        Input[i] = (UCHAR)i;
    }
    for (ULONG Method = 0; Method < 4; Method++) {
        memset(Output, 0, BYTES);
        MmTrimRange(Output, PAGE_SIZE);
        IO_STATUS_BLOCK Result = IotControl(Device, Codes[Method], Input, BYTES, Output, BYTES);
        KT_EXPECT_EQ(Result.Status, STATUS_SUCCESS);
        KT_EXPECT_EQ(Result.Information, BYTES);
        CheckReversed(Output);
    }
    KT_EXPECT_EQ(MmTrimRange(Output, PAGE_SIZE), 1); /* nothing is locked any more */
    ExFreePoolWithTag(Output, 0x74736554);
    IoDeleteDevice(Device);
    IopDeleteDriverObject(Driver);
}

KTEST(ioctl_by_handle_brings_data_with_each_method) {
    PDEVICE_OBJECT Device;
    PDRIVER_OBJECT Driver = CreateReversing(&Device);
    UNICODE_STRING Link, Target;
    UCHAR Input[BYTES], Output[BYTES];
    HANDLE Handle;
    IO_STATUS_BLOCK Result;
    RtlInitUnicodeString(&Link, L"\\??\\KtControl");
    RtlInitUnicodeString(&Target, L"\\Device\\KtControl");
    KT_EXPECT_EQ(IoCreateSymbolicLink(&Link, &Target), STATUS_SUCCESS);
    KT_REQUIRE(Open(L"\\??\\ktcontrol", GENERIC_READ, FILE_SYNCHRONOUS_IO_NONALERT, &Handle) == STATUS_SUCCESS);
    for (ULONG i = 0; i < BYTES; i++) {
        Input[i] = (UCHAR)i;
    }
    for (ULONG Method = 0; Method < 4; Method++) {
        memset(Output, 0, BYTES);
        KT_EXPECT_EQ(
            ZwDeviceIoControlFile(Handle, NULL, NULL, NULL, &Result, Codes[Method], Input, BYTES, Output, BYTES),
            STATUS_SUCCESS);
        KT_EXPECT_EQ(Result.Information, BYTES);
        CheckReversed(Output);
    }
    KIRQL OldIrql = KfRaiseIrql(APC_LEVEL); /* no APC is needed */
    NTSTATUS Status =
        ZwDeviceIoControlFile(Handle, NULL, NULL, NULL, &Result, CONTROL_BUFFERED, Input, BYTES, Output, BYTES);
    KeLowerIrql(OldIrql);
    KT_EXPECT_EQ(Status, STATUS_SUCCESS);
    KT_EXPECT_EQ(
        ZwDeviceIoControlFile(Handle, NULL, NULL, NULL, &Result, CONTROL_WRITE_ACCESS, Input, BYTES, Output, BYTES),
        STATUS_ACCESS_DENIED);
    ZwClose(Handle);
    IoDeleteSymbolicLink(&Link);
    IoDeleteDevice(Device);
    IopDeleteDriverObject(Driver);
}

/* ---- Buffers where no memory can be ---- */

#define NOWHERE ((PVOID)0x10000)

static NTSTATUS Count(PDEVICE_OBJECT Device, PIRP Irp) {
    UNREFERENCED_PARAMETER(Device);
    ULONG *Sent = Device->DeviceExtension;
    ++*Sent;
    return IotComplete(Irp, STATUS_SUCCESS, BYTES);
}

static VOID RaiseInside(PVOID Context) {
    *(PBOOLEAN)Context = TRUE;
    ExRaiseStatus(STATUS_INTEGER_OVERFLOW);
}

KTEST(guarded_call_ends_with_the_status_that_is_raised_in_it) {
    BOOLEAN WasCalled = FALSE;
    KT_EXPECT_EQ(KiCallGuarded(RaiseInside, &WasCalled), STATUS_INTEGER_OVERFLOW);
    KT_EXPECT(WasCalled);
    KT_EXPECT_EQ(KiCurrentThread()->Guard, 0);
}

/* An APC comes to the thread in the middle of a guarded call: what it meets there is its own affair. */
static ULONG64 GuardInApc;

static VOID LookAtGuard(PKAPC Apc, PKNORMAL_ROUTINE *Normal, PVOID *Context, PVOID *Argument1, PVOID *Argument2) {
    UNREFERENCED_PARAMETER(Apc);
    UNREFERENCED_PARAMETER(Normal);
    UNREFERENCED_PARAMETER(Context);
    UNREFERENCED_PARAMETER(Argument1);
    UNREFERENCED_PARAMETER(Argument2);
    GuardInApc = KiCurrentThread()->Guard;
}

static VOID SendApcToSelf(PVOID Context) {
    KeInitializeApc(Context, KiCurrentThread(), OriginalApcEnvironment, LookAtGuard, NULL, NULL, KernelMode, NULL);
    KT_EXPECT(KeInsertQueueApc(Context, NULL, NULL, 0));
    KT_EXPECT_EQ(GuardInApc, 0);
    KT_EXPECT(KiCurrentThread()->Guard != 0);
    ExRaiseStatus(STATUS_INTEGER_OVERFLOW);
}

KTEST(guarded_call_does_not_catch_what_an_apc_does) {
    KAPC Apc;
    GuardInApc = 1;
    KT_EXPECT_EQ(KiCallGuarded(SendApcToSelf, &Apc), STATUS_INTEGER_OVERFLOW);
}

KTEST(ioctl_by_handle_with_a_bad_buffer_is_an_access_violation) {
    PDEVICE_OBJECT Device;
    PDRIVER_OBJECT Driver = CreateReversing(&Device);
    UCHAR Good[BYTES];
    HANDLE Handle;
    IO_STATUS_BLOCK Result;
    ULONG *Sent = Device->DeviceExtension;
    Driver->MajorFunction[IRP_MJ_DEVICE_CONTROL] = Count;
    KT_REQUIRE(Open(L"\\Device\\KtControl", GENERIC_READ, FILE_SYNCHRONOUS_IO_NONALERT, &Handle) == STATUS_SUCCESS);
    for (ULONG Method = 0; Method < 3; Method++) {
        KT_EXPECT_EQ(
            ZwDeviceIoControlFile(Handle, NULL, NULL, NULL, &Result, Codes[Method], NOWHERE, BYTES, Good, BYTES),
            STATUS_ACCESS_VIOLATION);
    }
    for (ULONG Method = 1; Method < 3; Method++) {
        KT_EXPECT_EQ(ZwDeviceIoControlFile(Handle, NULL, NULL, NULL, &Result, Codes[Method], Good, BYTES, NULL, BYTES),
                     STATUS_ACCESS_VIOLATION);
    }
    KT_EXPECT_EQ(*Sent, 0); /* none of these was sent */
    /* The output is copied after the driver has answered: the block tells it. */
    KT_EXPECT_EQ(
        ZwDeviceIoControlFile(Handle, NULL, NULL, NULL, &Result, CONTROL_BUFFERED, Good, BYTES, NOWHERE, BYTES),
        STATUS_SUCCESS);
    KT_EXPECT_EQ(Result.Status, STATUS_ACCESS_VIOLATION);
    /* No input is none, whatever its length; and a status block where none can be is let pass. */
    KT_EXPECT_EQ(ZwDeviceIoControlFile(Handle, NULL, NULL, NULL, NOWHERE, CONTROL_BUFFERED, NULL, BYTES, Good, BYTES),
                 STATUS_SUCCESS);
    KT_EXPECT_EQ(*Sent, 2);
    ZwClose(Handle);
    IoDeleteDevice(Device);
    IopDeleteDriverObject(Driver);
}

KTEST(transfer_by_handle_with_a_bad_buffer_is_an_access_violation) {
    PDEVICE_OBJECT Device;
    PDRIVER_OBJECT Driver = CreateReversing(&Device);
    HANDLE Handle;
    IO_STATUS_BLOCK Result;
    ULONG *Sent = Device->DeviceExtension;
    Driver->MajorFunction[IRP_MJ_READ] = Driver->MajorFunction[IRP_MJ_WRITE] = Count;
    KT_REQUIRE(Open(L"\\Device\\KtControl", GENERIC_READ | GENERIC_WRITE, FILE_SYNCHRONOUS_IO_NONALERT, &Handle) ==
               STATUS_SUCCESS);
    Device->Flags |= DO_BUFFERED_IO;
    KT_EXPECT_EQ(ZwWriteFile(Handle, NULL, NULL, NULL, &Result, NOWHERE, BYTES, NULL, NULL), STATUS_ACCESS_VIOLATION);
    KT_EXPECT_EQ(ZwReadFile(Handle, NULL, NULL, NULL, &Result, NOWHERE, BYTES, NULL, NULL), STATUS_SUCCESS);
    KT_EXPECT_EQ(Result.Status, STATUS_ACCESS_VIOLATION);
    Device->Flags ^= DO_BUFFERED_IO | DO_DIRECT_IO;
    KT_EXPECT_EQ(ZwWriteFile(Handle, NULL, NULL, NULL, &Result, NOWHERE, BYTES, NULL, NULL), STATUS_ACCESS_VIOLATION);
    KT_EXPECT_EQ(ZwReadFile(Handle, NULL, NULL, NULL, &Result, NOWHERE, BYTES, NULL, NULL), STATUS_ACCESS_VIOLATION);
    KT_EXPECT_EQ(*Sent, 1);
    ZwClose(Handle);
    IoDeleteDevice(Device);
    IopDeleteDriverObject(Driver);
}

KTEST(irp_with_a_buffer_that_cannot_be_locked_is_not_built) {
    PDEVICE_OBJECT Device;
    PDRIVER_OBJECT Driver = CreateReversing(&Device);
    UCHAR Good[BYTES];
    IO_STATUS_BLOCK Result;
    KEVENT Done;
    LARGE_INTEGER Start = {.QuadPart = 0};
    KT_EXPECT_EQ(
        IoBuildDeviceIoControlRequest(CONTROL_OUT_DIRECT, Device, Good, BYTES, NOWHERE, BYTES, FALSE, &Done, &Result),
        NULL);
    Device->Flags |= DO_DIRECT_IO;
    KT_EXPECT_EQ(IoBuildSynchronousFsdRequest(IRP_MJ_READ, Device, NOWHERE, BYTES, &Start, &Done, &Result), NULL);
    PIRP Irp =
        IoBuildDeviceIoControlRequest(CONTROL_OUT_DIRECT, Device, Good, BYTES, NULL, BYTES, FALSE, &Done, &Result);
    KT_REQUIRE(Irp != NULL);
    KT_EXPECT_EQ(Irp->MdlAddress, NULL);
    IopDropIrp(Irp);
    IoDeleteDevice(Device);
    IopDeleteDriverObject(Driver);
}

KTEST_CRASH(irp_built_with_a_bad_input) {
    PDEVICE_OBJECT Device;
    IO_STATUS_BLOCK Result;
    KEVENT Done;
    CreateReversing(&Device);
    IoBuildDeviceIoControlRequest(CONTROL_BUFFERED, Device, NOWHERE, BYTES, NULL, 0, FALSE, &Done, &Result);
}

KTEST(ioctl_open_without_SYNCHRONIZE_cannot_be_synchronous) {
    PDEVICE_OBJECT Device;
    PDRIVER_OBJECT Driver = CreateReversing(&Device);
    HANDLE Handle;
    KT_EXPECT_EQ(Open(L"\\Device\\KtControl", FILE_READ_ATTRIBUTES, FILE_SYNCHRONOUS_IO_NONALERT, &Handle),
                 STATUS_INVALID_PARAMETER);
    KT_EXPECT_EQ(Open(L"\\Device\\KtControl", GENERIC_READ, 0x30, &Handle), STATUS_INVALID_PARAMETER);
    KT_EXPECT_EQ(Open(L"\\Device\\KtControl", GENERIC_READ, FILE_DELETE_ON_CLOSE, &Handle), STATUS_INVALID_PARAMETER);
    KT_EXPECT_EQ(Open(L"\\Device\\KtControl", GENERIC_READ, 0xFF000000, &Handle), STATUS_INVALID_PARAMETER);
    Device->Flags |= DO_DEVICE_INITIALIZING;
    KT_EXPECT_EQ(Open(L"\\Device\\KtControl", GENERIC_READ, 0, &Handle), STATUS_NO_SUCH_DEVICE);
    IoDeleteDevice(Device);
    KT_EXPECT_EQ(Open(L"\\Device\\KtControl", GENERIC_READ, 0, &Handle), STATUS_OBJECT_NAME_NOT_FOUND);
    KT_EXPECT_EQ(Open(L"\\Device", GENERIC_READ, 0, &Handle), STATUS_OBJECT_TYPE_MISMATCH);
    IopDeleteDriverObject(Driver);
}

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
    PDRIVER_OBJECT Driver = CreateReversing(Device);
    Driver->MajorFunction[IRP_MJ_DEVICE_CONTROL] = Pend;
    KeInitializeEvent(&Arrived, SynchronizationEvent, FALSE);
    return Driver;
}

static volatile LONG Closes;

static NTSTATUS CountClose(PDEVICE_OBJECT Device, PIRP Irp) {
    InterlockedIncrement(&Closes);
    return Succeed(Device, Irp);
}

KTEST(ioctl_that_pends_on_an_asynchronous_handle_ends_by_event) {
    PDEVICE_OBJECT Device;
    PDRIVER_OBJECT Driver = CreatePending(&Device);
    HANDLE Handle, Event;
    Driver->MajorFunction[IRP_MJ_CLOSE] = CountClose;
    Closes = 0;
    IO_STATUS_BLOCK Result = {.Status = STATUS_PENDING};
    KT_REQUIRE(Open(L"\\Device\\KtControl", GENERIC_READ, 0, &Handle) == STATUS_SUCCESS);
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
    KT_REQUIRE(Open(L"\\Device\\KtControl", GENERIC_READ, FILE_SYNCHRONOUS_IO_NONALERT, &Handle) == STATUS_SUCCESS);
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
    PDRIVER_OBJECT Driver = CreateReversing(&Device);
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
    PDRIVER_OBJECT Driver = CreateReversing(&Device);
    Driver->MajorFunction[IRP_MJ_READ] = Succeed;
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
    PDRIVER_OBJECT Driver = CreateReversing(&Device);
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

/* ---- What stops the machine ---- */

static VOID CancelAndKeepLock(PDEVICE_OBJECT Device, PIRP Irp) {
    UNREFERENCED_PARAMETER(Device);
    UNREFERENCED_PARAMETER(Irp);
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

/* ---- The null device ---- */

/* A caller's status block is left alone by an error that comes at once: what it held shows that nothing was read. */
KTEST(ioctl_the_null_device_takes_everything_and_gives_nothing) {
    static const PCWSTR Names[] = {L"\\Device\\Null", L"\\??\\NUL", L"\\DosDevices\\nul"};
    UCHAR Text[BYTES] = "kept";
    for (ULONG i = 0; i < RTL_NUMBER_OF(Names); i++) {
        IO_STATUS_BLOCK Result = {.Information = 0};
        FILE_STANDARD_INFORMATION Standard;
        FILE_BASIC_INFORMATION Basic;
        HANDLE Handle;
        KT_REQUIRE(Open(Names[i], GENERIC_READ | GENERIC_WRITE | SYNCHRONIZE, FILE_SYNCHRONOUS_IO_NONALERT, &Handle) ==
                   STATUS_SUCCESS);
        KT_EXPECT_EQ(ZwReadFile(Handle, NULL, NULL, NULL, &Result, Text, BYTES, NULL, NULL), STATUS_END_OF_FILE);
        KT_EXPECT_EQ(Result.Information, 0);
        KT_EXPECT(memcmp(Text, "kept", 5) == 0);
        KT_EXPECT_EQ(ZwWriteFile(Handle, NULL, NULL, NULL, &Result, Text, BYTES, NULL, NULL), STATUS_SUCCESS);
        KT_EXPECT_EQ(Result.Information, BYTES);
        KT_EXPECT_EQ(ZwWriteFile(Handle, NULL, NULL, NULL, &Result, Text, 0, NULL, NULL), STATUS_SUCCESS);
        KT_EXPECT_EQ(Result.Information, 0);
        KT_EXPECT_EQ(ZwQueryInformationFile(Handle, &Result, &Standard, sizeof(Standard), FileStandardInformation),
                     STATUS_SUCCESS);
        KT_EXPECT(Standard.EndOfFile.QuadPart == 0 && Standard.NumberOfLinks == 1 && !Standard.Directory);
        KT_EXPECT_EQ(ZwQueryInformationFile(Handle, &Result, &Basic, sizeof(Basic), FileBasicInformation),
                     STATUS_INVALID_PARAMETER);
        KT_EXPECT_EQ(ZwDeviceIoControlFile(Handle, NULL, NULL, NULL, &Result, CONTROL_BUFFERED, Text, 1, Text, 1),
                     STATUS_INVALID_DEVICE_REQUEST);
        KT_EXPECT_EQ(ZwClose(Handle), STATUS_SUCCESS);
    }
}
