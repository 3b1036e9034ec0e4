/* test_device.c: device objects and their names, opens and closes, and interrupts that drivers connect. */
#include "../../kernel/io/iop.h"
#include "iotest.h"

/* ---- Names ---- */

KTEST(device_extension_is_zeroed_and_behind_the_object) {
    PDRIVER_OBJECT Driver = IotCreateDriver();
    PDEVICE_OBJECT Device = IotCreateDevice(Driver, NULL, 1);
    KT_EXPECT_EQ(Device->Type, 3);
    KT_EXPECT_EQ(Device->DriverObject, Driver);
    KT_EXPECT_EQ(Driver->DeviceObject, Device);
    KT_EXPECT_EQ(Device->DeviceExtension, Device + 1);
    KT_EXPECT_EQ((ULONG64)Device->DeviceExtension % 16, 0);
    for (ULONG Index = 0; Index < 64; Index++) {
        KT_EXPECT_EQ(((PUCHAR)Device->DeviceExtension)[Index], 0);
    }
    IoDeleteDevice(Device);
    KT_EXPECT_EQ(Driver->DeviceObject, NULL);
    IopDeleteDriverObject(Driver);
}

KTEST(device_name_is_unique_without_regard_to_case_and_free_after_deletion) {
    PDRIVER_OBJECT Driver = IotCreateDriver();
    PDEVICE_OBJECT Device = IotCreateDevice(Driver, L"\\Device\\KtName", 1), Found, Second;
    UNICODE_STRING Name;
    RtlInitUnicodeString(&Name, L"\\Device\\KTNAME");
    KT_EXPECT_EQ(IoCreateDevice(Driver, 0, &Name, FILE_DEVICE_UNKNOWN, 0, FALSE, &Second),
                 STATUS_OBJECT_NAME_COLLISION);
    KT_EXPECT_EQ(IoFindDevice("\\device\\ktname", &Found), STATUS_SUCCESS);
    KT_EXPECT_EQ(Found, Device);
    KT_EXPECT_EQ(IoFindDevice("\\Device\\KtNam", &Found), STATUS_OBJECT_NAME_NOT_FOUND);
    IoDeleteDevice(Device);
    KT_EXPECT_EQ(IoFindDevice("\\Device\\KtName", &Found), STATUS_OBJECT_NAME_NOT_FOUND);
    KT_EXPECT_EQ(IoCreateDevice(Driver, 0, &Name, FILE_DEVICE_UNKNOWN, 0, FALSE, &Second), STATUS_SUCCESS);
    IoDeleteDevice(Second);
    IopDeleteDriverObject(Driver);
}

KTEST(device_list_of_a_driver_holds_all_that_were_not_deleted) {
    PDRIVER_OBJECT Driver = IotCreateDriver();
    PDEVICE_OBJECT First = IotCreateDevice(Driver, NULL, 1), Second = IotCreateDevice(Driver, NULL, 1),
                   Third = IotCreateDevice(Driver, NULL, 1);
    IoDeleteDevice(Second);
    KT_EXPECT_EQ(Driver->DeviceObject, Third);
    KT_EXPECT_EQ(Third->NextDevice, First);
    KT_EXPECT_EQ(First->NextDevice, NULL);
    IoDeleteDevice(Third);
    IoDeleteDevice(First);
    IopDeleteDriverObject(Driver);
}

/* ---- Opens ---- */

static ULONG Creates, Cleanups, Closes;
static NTSTATUS CreateStatus, CleanupStatus;

static NTSTATUS OnCreate(PDEVICE_OBJECT Device, PIRP Irp) {
    UNREFERENCED_PARAMETER(Device);
    KT_EXPECT(IoGetCurrentIrpStackLocation(Irp)->FileObject != NULL);
    Creates++;
    return IotComplete(Irp, CreateStatus, 0);
}

static NTSTATUS OnCleanup(PDEVICE_OBJECT Device, PIRP Irp) {
    UNREFERENCED_PARAMETER(Device);
    KT_EXPECT_EQ(Closes, 0);
    Cleanups++;
    return IotComplete(Irp, CleanupStatus, 0);
}

static NTSTATUS OnClose(PDEVICE_OBJECT Device, PIRP Irp) {
    UNREFERENCED_PARAMETER(Device);
    Closes++;
    return IotComplete(Irp, STATUS_SUCCESS, 0);
}

static PDRIVER_OBJECT CreateOpenable(VOID) {
    PDRIVER_OBJECT Driver = IotCreateDriver();
    Driver->MajorFunction[IRP_MJ_CREATE] = OnCreate;
    Driver->MajorFunction[IRP_MJ_CLEANUP] = OnCleanup;
    Driver->MajorFunction[IRP_MJ_CLOSE] = OnClose;
    Creates = Cleanups = Closes = 0;
    CreateStatus = CleanupStatus = STATUS_SUCCESS;
    return Driver;
}

KTEST(device_is_opened_by_name_and_closed_with_the_last_reference) {
    PDRIVER_OBJECT Driver = CreateOpenable();
    PDEVICE_OBJECT Device = IotCreateDevice(Driver, L"\\Device\\KtOpen", 1), Found;
    PFILE_OBJECT File;
    UNICODE_STRING Name;
    RtlInitUnicodeString(&Name, L"\\Device\\KtOpen");
    KT_REQUIRE(IoGetDeviceObjectPointer(&Name, FILE_READ_ACCESS, &File, &Found) == STATUS_SUCCESS);
    KT_EXPECT_EQ(Found, Device);
    KT_EXPECT_EQ(File->DeviceObject, Device);
    KT_EXPECT(Creates == 1 && Cleanups == 1 && Closes == 0);
    ObDereferenceObject(File);
    KT_EXPECT_EQ(Closes, 1);
    IoDeleteDevice(Device);
    IopDeleteDriverObject(Driver);
}

KTEST(device_deleted_while_open_lives_until_the_close) {
    PDRIVER_OBJECT Driver = CreateOpenable();
    PDEVICE_OBJECT Device = IotCreateDevice(Driver, L"\\Device\\KtOpen", 1), Found;
    PFILE_OBJECT File;
    UNICODE_STRING Name;
    RtlInitUnicodeString(&Name, L"\\Device\\KtOpen");
    KT_REQUIRE(IoGetDeviceObjectPointer(&Name, FILE_READ_ACCESS, &File, &Found) == STATUS_SUCCESS);
    IoDeleteDevice(Device);
    KT_EXPECT_EQ(IoFindDevice("\\Device\\KtOpen", &Found), STATUS_OBJECT_NAME_NOT_FOUND);
    KT_EXPECT_EQ(Device->Type, 3);
    ObDereferenceObject(File);
    KT_EXPECT_EQ(Closes, 1);
    IopDeleteDriverObject(Driver);
}

KTEST(device_open_fails_as_the_driver_says) {
    PDRIVER_OBJECT Driver = CreateOpenable();
    PDEVICE_OBJECT Device = IotCreateDevice(Driver, L"\\Device\\KtOpen", 1), Found;
    PFILE_OBJECT File;
    UNICODE_STRING Name;
    RtlInitUnicodeString(&Name, L"\\Device\\KtOpen");
    CreateStatus = STATUS_ACCESS_DENIED;
    KT_EXPECT_EQ(IoGetDeviceObjectPointer(&Name, FILE_READ_ACCESS, &File, &Found), STATUS_ACCESS_DENIED);
    KT_EXPECT(Creates == 1 && Cleanups == 0 && Closes == 0);
    KT_EXPECT_EQ(Device->ReferenceCount, 0);
    RtlInitUnicodeString(&Name, L"\\Device\\KtNobody");
    KT_EXPECT_EQ(IoGetDeviceObjectPointer(&Name, FILE_READ_ACCESS, &File, &Found), STATUS_OBJECT_NAME_NOT_FOUND);
    IoDeleteDevice(Device);
    IopDeleteDriverObject(Driver);
}

/* ZwClose's answer for a device of a type whose cleanup fails. */
static NTSTATUS CloseAfterFailedCleanup(PCWSTR Path, DEVICE_TYPE Type) {
    PDRIVER_OBJECT Driver = CreateOpenable();
    PDEVICE_OBJECT Device = IotCreateDevice(Driver, Path, 1);
    UNICODE_STRING Name;
    OBJECT_ATTRIBUTES Attributes;
    IO_STATUS_BLOCK Io;
    HANDLE Handle;
    Device->DeviceType = Type;
    CleanupStatus = STATUS_IO_DEVICE_ERROR;
    RtlInitUnicodeString(&Name, Path);
    InitializeObjectAttributes(&Attributes, &Name, OBJ_CASE_INSENSITIVE | OBJ_KERNEL_HANDLE, NULL, NULL);
    NTSTATUS Status = ZwCreateFile(&Handle, FILE_READ_DATA | SYNCHRONIZE, &Attributes, &Io, NULL, FILE_ATTRIBUTE_NORMAL,
                                   0, FILE_OPEN, FILE_SYNCHRONOUS_IO_NONALERT, NULL, 0);
    KT_EXPECT_EQ(Status, STATUS_SUCCESS);
    Status = NT_SUCCESS(Status) ? ZwClose(Handle) : Status;
    KT_EXPECT(Cleanups == 1 && Closes == 1); /* the handle is closed all the same */
    IoDeleteDevice(Device);
    IopDeleteDriverObject(Driver);
    return Status;
}

/* Only a file system puts off writes until then. */
KTEST(device_close_tells_what_a_file_system_could_not_write) {
    KT_EXPECT_EQ(CloseAfterFailedCleanup(L"\\Device\\KtVolume", FILE_DEVICE_DISK_FILE_SYSTEM), STATUS_IO_DEVICE_ERROR);
    KT_EXPECT_EQ(CloseAfterFailedCleanup(L"\\Device\\KtOpen", FILE_DEVICE_UNKNOWN), STATUS_SUCCESS);
}

/* ---- Interrupts: the vector is sent by an IPI ---- */

static PKINTERRUPT Interrupt;
static volatile LONG64 Inside, Interrupts, Collisions;
static volatile KIRQL InterruptIrql;

static VOID Enter(VOID) {
    if (InterlockedIncrement64(&Inside) != 1) {
        Collisions++;
    }
    for (ULONG Spin = 0; Spin < 20; Spin++) {
        YieldProcessor();
    }
    InterlockedDecrement64(&Inside);
}

static BOOLEAN ServiceRoutine(PKINTERRUPT Source, PVOID Context) {
    KT_EXPECT_EQ(Context, &Interrupts);
    UNREFERENCED_PARAMETER(Source);
    InterruptIrql = KeGetCurrentIrql();
    Enter();
    Interrupts++;
    return TRUE;
}

static BOOLEAN Synchronized(PVOID Context) {
    KT_EXPECT_EQ(KeGetCurrentIrql(), Interrupt->SynchronizeIrql);
    Enter();
    *(PULONG)Context += 1;
    return *(PULONG)Context % 2 == 0;
}

KTEST(interrupt_service_routine_runs_at_its_level) {
    Interrupt = IopCreateInterrupt(ServiceRoutine, (PVOID)&Interrupts);
    KT_REQUIRE(Interrupt != NULL);
    Interrupts = 0;
    KT_EXPECT_EQ(Interrupt->Vector >> 4, Interrupt->SynchronizeIrql);
    HalRequestIpi(Interrupt->Processor, Interrupt->Vector);
    KT_WAIT_UNTIL(Interrupts != 0);
    KT_EXPECT_EQ(InterruptIrql, Interrupt->SynchronizeIrql);
    IopDeleteInterrupt(Interrupt);
}

static VOID SendAndSynchronize(ULONG Processor, PVOID Context) {
    ULONG Calls = 0, Rounds = KtStress(2000);
    UNREFERENCED_PARAMETER(Processor);
    UNREFERENCED_PARAMETER(Context);
    for (ULONG Round = 1; Round <= Rounds; Round++) {
        if (Round % 4 == 0) {
            HalRequestIpi(Interrupt->Processor, Interrupt->Vector);
        }
        KT_EXPECT_EQ(KeSynchronizeExecution(Interrupt, Synchronized, &Calls), Round % 2 == 0);
        KT_EXPECT_EQ(KeGetCurrentIrql(), PASSIVE_LEVEL);
    }
    KT_EXPECT_EQ(Calls, Rounds);
}

KTEST(interrupt_KeSynchronizeExecution_excludes_the_service_routine_on_all_cpus) {
    Interrupt = IopCreateInterrupt(ServiceRoutine, (PVOID)&Interrupts);
    KT_REQUIRE(Interrupt != NULL);
    Interrupts = Collisions = 0;
    KtRunOnAllCpus(SendAndSynchronize, NULL);
    KT_EXPECT_EQ(Collisions, 0);
    KT_EXPECT(Interrupts > 0);
    IopDeleteInterrupt(Interrupt);
}

KTEST(interrupt_vectors_come_back_when_they_are_deleted) {
    for (ULONG Round = 0; Round < 40; Round++) { /* more than there are at one level */
        Interrupt = IopCreateInterrupt(ServiceRoutine, (PVOID)&Interrupts);
        KT_REQUIRE(Interrupt != NULL);
        IopDeleteInterrupt(Interrupt);
    }
}

/* ---- PCI ---- */

KTEST(pci_host_bridge_is_found_with_its_class) {
    ULONG Found = 0;
    static const USHORT HostBridges[] = {0x29C0, 0x1237}; /* q35, i440fx */
    for (ULONG Index = 0; Index < RTL_NUMBER_OF(HostBridges); Index++) {
        PPCI_DEVICE Device = IoFindPciDevice(0x8086, HostBridges[Index], NULL);
        if (Device) {
            Found++;
            KT_EXPECT(Device->BaseClass == 6 && Device->SubClass == 0);
            KT_EXPECT_EQ(IoReadPciConfig(Device, 0, 4), (ULONG)Device->DeviceId << 16 | Device->VendorId);
            KT_EXPECT(strcmp(Device->Address, "00:00.0") == 0);
            KT_EXPECT(IoFindPciDevice(0x8086, HostBridges[Index], Device) == NULL);
        }
    }
    KT_EXPECT_EQ(Found, 1);
}

KTEST(pci_bar_has_a_size_that_is_a_power_of_two_and_its_address_is_kept) {
    PPCI_DEVICE Display = IoFindPciDevice(0x1234, 0x1111, NULL);
    PCI_BAR Bar, Again;
    if (Display == NULL) {
        KtSkip("needs QEMU's display adapter");
        return;
    }
    KT_EXPECT_EQ(IoQueryPciBar(Display, 0, &Bar), STATUS_SUCCESS);
    KT_EXPECT_EQ(IoQueryPciBar(Display, 0, &Again), STATUS_SUCCESS);
    KT_EXPECT(Bar.LengthBytes >= PAGE_SIZE && (Bar.LengthBytes & (Bar.LengthBytes - 1)) == 0);
    KT_EXPECT_EQ(Bar.Base % Bar.LengthBytes, 0);
    KT_EXPECT_EQ(Bar.Base, Again.Base);
    KT_EXPECT(IoMapPciBar(Display, 0, Bar.LengthBytes, 1, MmNonCached) == NULL);
    KT_EXPECT(IoMapPciBar(Display, 0, 1, Bar.LengthBytes, MmNonCached) == NULL);
    KT_EXPECT_EQ(IoQueryPciBar(Display, 6, &Again), STATUS_NO_SUCH_DEVICE);
}
