/* test_ioctl.c: DeviceIoControl by handle and by IRP with the four methods, bad buffers, opens, the null device. */
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

static PDRIVER_OBJECT CreateReversing(PDEVICE_OBJECT *Device) {
    PDRIVER_OBJECT Driver = IotCreateOpenable(Device);
    Driver->MajorFunction[IRP_MJ_DEVICE_CONTROL] = Reverse;
    return Driver;
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
    KT_REQUIRE(IotOpen(L"\\??\\ktcontrol", GENERIC_READ, FILE_SYNCHRONOUS_IO_NONALERT, &Handle) == STATUS_SUCCESS);
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

/* An APC comes to the thread in the middle of a guarded call: its own fault is its own affair. */
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
    KT_REQUIRE(IotOpen(L"\\Device\\KtControl", GENERIC_READ, FILE_SYNCHRONOUS_IO_NONALERT, &Handle) == STATUS_SUCCESS);
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
    /* No input is none, of any length; and a status block where none can be is ignored. */
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
    KT_REQUIRE(IotOpen(L"\\Device\\KtControl", GENERIC_READ | GENERIC_WRITE, FILE_SYNCHRONOUS_IO_NONALERT, &Handle) ==
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
    KT_EXPECT_EQ(IotOpen(L"\\Device\\KtControl", FILE_READ_ATTRIBUTES, FILE_SYNCHRONOUS_IO_NONALERT, &Handle),
                 STATUS_INVALID_PARAMETER);
    KT_EXPECT_EQ(IotOpen(L"\\Device\\KtControl", GENERIC_READ, 0x30, &Handle), STATUS_INVALID_PARAMETER);
    KT_EXPECT_EQ(IotOpen(L"\\Device\\KtControl", GENERIC_READ, FILE_DELETE_ON_CLOSE, &Handle),
                 STATUS_INVALID_PARAMETER);
    KT_EXPECT_EQ(IotOpen(L"\\Device\\KtControl", GENERIC_READ, 0xFF000000, &Handle), STATUS_INVALID_PARAMETER);
    Device->Flags |= DO_DEVICE_INITIALIZING;
    KT_EXPECT_EQ(IotOpen(L"\\Device\\KtControl", GENERIC_READ, 0, &Handle), STATUS_NO_SUCH_DEVICE);
    IoDeleteDevice(Device);
    KT_EXPECT_EQ(IotOpen(L"\\Device\\KtControl", GENERIC_READ, 0, &Handle), STATUS_OBJECT_NAME_NOT_FOUND);
    KT_EXPECT_EQ(IotOpen(L"\\Device", GENERIC_READ, 0, &Handle), STATUS_OBJECT_TYPE_MISMATCH);
    IopDeleteDriverObject(Driver);
}

/* ---- The null device ---- */

/* A caller's status block is left alone by an error that comes at once: its old contents show that nothing was read. */
KTEST(ioctl_the_null_device_takes_everything_and_gives_nothing) {
    static const PCWSTR Names[] = {L"\\Device\\Null", L"\\??\\NUL", L"\\DosDevices\\nul"};
    UCHAR Text[BYTES] = "kept";
    for (ULONG i = 0; i < RTL_NUMBER_OF(Names); i++) {
        IO_STATUS_BLOCK Result = {.Information = 0};
        FILE_STANDARD_INFORMATION Standard;
        FILE_BASIC_INFORMATION Basic;
        HANDLE Handle;
        KT_REQUIRE(IotOpen(Names[i], GENERIC_READ | GENERIC_WRITE | SYNCHRONIZE, FILE_SYNCHRONOUS_IO_NONALERT,
                           &Handle) == STATUS_SUCCESS);
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
