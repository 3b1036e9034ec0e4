/* api_cpp.cc: the C++ words of sample drivers: an IOCTL switch, nullptr, auto, casts, a device with a name and a link.
 *
 * expect: completed
 * run: --cpus 2 --unload
 */
#include <Ntifs.h>
#include <ntddk.h>
#include <wdm.h>
#include <ntstrsafe.h>

constexpr ULONG DeviceType = 0x8000;
#define IOCTL_SET_PRIORITY CTL_CODE(0x8000, 0x800, METHOD_NEITHER, FILE_ANY_ACCESS)
#define IOCTL_LOG CTL_CODE(DeviceType, 0x801, METHOD_BUFFERED, FILE_ANY_ACCESS)

struct ThreadData {
    ULONG ThreadId;
    int Priority;
};

static UNICODE_STRING DeviceName = RTL_CONSTANT_STRING(L"\\Device\\ApiCpp");
static UNICODE_STRING LinkName = RTL_CONSTANT_STRING(L"\\??\\ApiCpp");

template <typename TLock> class AutoLock {
  public:
    explicit AutoLock(TLock &lock) : _lock(lock) {
        _lock.Lock();
    }
    ~AutoLock() {
        _lock.Unlock();
    }

  private:
    TLock &_lock;
};

class FastMutex {
  public:
    void Init() {
        ExInitializeFastMutex(&_mutex);
    }
    void Lock() {
        ExAcquireFastMutex(&_mutex);
    }
    void Unlock() {
        ExReleaseFastMutex(&_mutex);
    }

  private:
    FAST_MUTEX _mutex;
};

static FastMutex Mutex;
static ULONG Opens;

static NTSTATUS CompleteIrp(PIRP Irp, NTSTATUS status = STATUS_SUCCESS, ULONG_PTR info = 0) {
    Irp->IoStatus.Status = status;
    Irp->IoStatus.Information = info;
    IoCompleteRequest(Irp, IO_NO_INCREMENT);
    return status;
}

extern "C" NTSTATUS CreateClose(_In_ PDEVICE_OBJECT, _In_ PIRP Irp) {
    AutoLock<FastMutex> locker(Mutex);
    Opens++;
    return CompleteIrp(Irp);
}

static NTSTATUS SetPriority(PVOID buffer) {
    auto data = reinterpret_cast<ThreadData *>(buffer);
    if (data == nullptr || data->Priority < 1 || data->Priority > 31) {
        return STATUS_INVALID_PARAMETER;
    }
    PETHREAD thread;
    auto status = PsLookupThreadByThreadId(ULongToHandle(data->ThreadId), &thread);
    if (!NT_SUCCESS(status)) {
        return status;
    }
    KeSetPriorityThread((PKTHREAD)thread, data->Priority);
    ObDereferenceObject(thread);
    return STATUS_SUCCESS;
}

extern "C" NTSTATUS DeviceControl(_In_ PDEVICE_OBJECT, _In_ PIRP Irp) {
    auto stack = IoGetCurrentIrpStackLocation(Irp);
    auto status = STATUS_SUCCESS;
    switch (stack->Parameters.DeviceIoControl.IoControlCode) {
    case IOCTL_SET_PRIORITY:
        status = stack->Parameters.DeviceIoControl.InputBufferLength < sizeof(ThreadData)
                     ? STATUS_BUFFER_TOO_SMALL
                     : SetPriority(stack->Parameters.DeviceIoControl.Type3InputBuffer);
        break;
    case IOCTL_LOG:
        KdPrint(("log %p\n", Irp->AssociatedIrp.SystemBuffer));
        break;
    default:
        status = STATUS_INVALID_DEVICE_REQUEST;
        break;
    }
    return CompleteIrp(Irp, status);
}

static NTSTATUS Control(ULONG code, PVOID input, ULONG bytes) {
    HANDLE file;
    OBJECT_ATTRIBUTES attributes;
    IO_STATUS_BLOCK ioStatus;
    InitializeObjectAttributes(&attributes, &LinkName, OBJ_CASE_INSENSITIVE | OBJ_KERNEL_HANDLE, nullptr, nullptr);
    auto status = ZwCreateFile(&file, GENERIC_READ | SYNCHRONIZE, &attributes, &ioStatus, nullptr, 0, 0, FILE_OPEN,
                               FILE_SYNCHRONOUS_IO_NONALERT, nullptr, 0);
    if (NT_SUCCESS(status)) {
        status = ZwDeviceIoControlFile(file, nullptr, nullptr, nullptr, &ioStatus, code, input, bytes, nullptr, 0);
        ZwClose(file);
    }
    return status;
}

extern "C" VOID User(PVOID) {
    ThreadData good = {HandleToULong(PsGetCurrentThreadId()), 12}, bad = {HandleToULong(PsGetCurrentThreadId()), 99};
    KAPC_STATE state;
    KeStackAttachProcess(PsInitialSystemProcess, &state);
    KeUnstackDetachProcess(&state);
    auto first = Control(IOCTL_SET_PRIORITY, &good, sizeof(good));
    auto second = Control(IOCTL_SET_PRIORITY, &bad, sizeof(bad));
    auto third = Control(IOCTL_LOG, &good, sizeof(good));
    DbgPrint("statuses %08X %08X %08X, priority %d, %u opens and closes\n", first, second, third,
             KeQueryPriorityThread(KeGetCurrentThread()), Opens);
    if (first != STATUS_SUCCESS || second != STATUS_INVALID_PARAMETER || third != STATUS_SUCCESS) {
        KeBugCheckEx(MANUALLY_INITIATED_CRASH, (ULONG_PTR)first, (ULONG_PTR)second, (ULONG_PTR)third, 0);
    }
}

extern "C" VOID Unload(_In_ PDRIVER_OBJECT DriverObject) {
    IoDeleteSymbolicLink(&LinkName);
    IoDeleteDevice(DriverObject->DeviceObject);
}

extern "C" NTSTATUS DriverEntry(_In_ PDRIVER_OBJECT DriverObject, _In_ PUNICODE_STRING) {
    PDEVICE_OBJECT device = nullptr;
    HANDLE thread = nullptr;
    Mutex.Init();
    DriverObject->DriverUnload = Unload;
    DriverObject->MajorFunction[IRP_MJ_CREATE] = CreateClose;
    DriverObject->MajorFunction[IRP_MJ_CLOSE] = CreateClose;
    DriverObject->MajorFunction[IRP_MJ_DEVICE_CONTROL] = DeviceControl;
    auto status = IoCreateDevice(DriverObject, 0, &DeviceName, FILE_DEVICE_UNKNOWN, 0, FALSE, &device);
    if (!NT_SUCCESS(status)) {
        return status;
    }
    status = IoCreateSymbolicLink(&LinkName, &DeviceName);
    if (NT_SUCCESS(status)) {
        status = PsCreateSystemThread(&thread, THREAD_ALL_ACCESS, nullptr, nullptr, nullptr, User, nullptr);
    }
    if (!NT_SUCCESS(status)) {
        IoDeleteDevice(device);
        return status;
    }
    ZwClose(thread);
    return STATUS_SUCCESS;
}
