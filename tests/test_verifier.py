"""The verifier: each rule stops a driver that breaks it with the exact code and parameters, and lets others be.

Each case is the body of a DriverEntry. It is built, loaded under the free build with the options that must find it, and
where it does no harm by itself also without them: then it must come to its end.
"""

import re
from dataclasses import dataclass, field

import pytest

from conftest import OUT, ensure_built
from modules import make_archive, make_driver

PASSIVE, APC, DISPATCH = 0, 1, 2
BUILD = "free"

TEMPLATE = """
#include <ntifs.h>
#include <wdmsec.h>
#define TAG 'reVT'
DRIVER_INITIALIZE DriverEntry;
static KSPIN_LOCK Spin, OtherSpin;
static FAST_MUTEX Fast;
static KGUARDED_MUTEX Guarded;
static KMUTEX Mutex;
static KEVENT Event;
static EX_PUSH_LOCK Push;
static EX_SPIN_LOCK ReaderWriter;
static ERESOURCE Resource;
static KTIMER Timer;
static __attribute__((unused)) LARGE_INTEGER Zero, Millisecond = {{.QuadPart = -10000}};
{globals}
NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING Path) {{
    KIRQL Old = 0;
    KLOCK_QUEUE_HANDLE Handle;
    PUCHAR P = NULL;
    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(Path);
    UNREFERENCED_PARAMETER(Old);
    UNREFERENCED_PARAMETER(Handle);
    UNREFERENCED_PARAMETER(P);
    KeInitializeSpinLock(&Spin);
    KeInitializeSpinLock(&OtherSpin);
    ExInitializeFastMutex(&Fast);
    KeInitializeGuardedMutex(&Guarded);
    KeInitializeMutex(&Mutex, 0);
    KeInitializeEvent(&Event, NotificationEvent, TRUE);
    ExInitializePushLock(&Push);
    ExInitializeResourceLite(&Resource);
    KeInitializeTimer(&Timer);
    {body}
    ExDeleteResourceLite(&Resource);
    return STATUS_SUCCESS;
}}
"""


@dataclass
class Rule:
    """A body, the option that finds it, and what the machine must stop with; harmless: it passes without the verifier."""
    option: str
    body: str
    code: int
    parameters: dict = field(default_factory=dict)
    harmless: bool = True
    globals: str = ""


def c4(option, body, p1, harmless=True, globals="", **more):
    return Rule(option, body, 0xC4, {"p1": p1} | more, harmless, globals)


THREAD = """
static KSTART_ROUTINE Thread;
static VOID Thread(PVOID Context) {{
    UNREFERENCED_PARAMETER(Context);
    {body}
    PsTerminateSystemThread(STATUS_SUCCESS);
}}
static VOID RunThread(VOID) {{
    HANDLE Handle;
    PVOID Object;
    PsCreateSystemThread(&Handle, THREAD_ALL_ACCESS, NULL, NULL, NULL, Thread, NULL);
    ObReferenceObjectByHandle(Handle, THREAD_ALL_ACCESS, *PsThreadType, KernelMode, &Object, NULL);
    ZwClose(Handle);
    KeWaitForSingleObject(Object, Executive, KernelMode, FALSE, NULL);
    ObDereferenceObject(Object);
}}
"""
RUN = "RunThread();"

DPC = """
static KDPC Dpc;
static KDEFERRED_ROUTINE Routine;
static VOID Routine(PKDPC Dpc, PVOID Context, PVOID A, PVOID B) {{
    UNREFERENCED_PARAMETER(Dpc);
    UNREFERENCED_PARAMETER(Context);
    UNREFERENCED_PARAMETER(A);
    UNREFERENCED_PARAMETER(B);
    {body}
}}
"""
QUEUE = "KeInitializeDpc(&Dpc, Routine, NULL); KeInsertQueueDpc(&Dpc, NULL, NULL); KeFlushQueuedDpcs();"


def at(level, text):
    return f"KeRaiseIrql({level}, &Old); {text} KeLowerIrql(Old);"


IRQL = {
    "raise_down": c4("irql", at("DISPATCH_LEVEL", "KIRQL Low; KeRaiseIrql(APC_LEVEL, &Low); KeRaiseIrql(DISPATCH_LEVEL, &Low);"),
                     0x30, p2=DISPATCH, p3=APC, p4=0),
    "raise_above_high": c4("irql", "KeRaiseIrql(16, &Old);", 0x30, harmless=False, p2=PASSIVE, p3=16, p4=0),
    "lower_up": c4("irql", "KeLowerIrql(APC_LEVEL); KeLowerIrql(PASSIVE_LEVEL);", 0x31, p2=PASSIVE, p3=APC, p4=0),
    "lower_in_a_dpc": c4("irql", QUEUE, 0x31, harmless=False, p2=DISPATCH, p3=PASSIVE, p4=1,
                         globals=DPC.format(body="KeLowerIrql(PASSIVE_LEVEL);")),
    "release_at_passive": c4("irql", "KeAcquireSpinLock(&Spin, &Old); KeLowerIrql(Old); KeReleaseSpinLock(&Spin, Old);",
                             0x32, p2=PASSIVE, p4=0),
    "fast_mutex_at_dispatch": c4("irql", at("DISPATCH_LEVEL", "ExAcquireFastMutex(&Fast);"), 0x33, harmless=False,
                                 p2=DISPATCH, p4=0),
    "guarded_mutex_at_dispatch": c4("irql", at("DISPATCH_LEVEL", "KeAcquireGuardedMutex(&Guarded);"), 0x33,
                                    harmless=False, p2=DISPATCH, p4=0),
    "fast_mutex_released_at_passive": c4("irql", "ExAcquireFastMutex(&Fast); KeLowerIrql(PASSIVE_LEVEL);"
                                         " ExReleaseFastMutex(&Fast);", 0x34, p2=PASSIVE, p3=0),
    "queued_lock_released_at_passive": c4("irql", "KeAcquireInStackQueuedSpinLock(&Spin, &Handle); KeLowerIrql(0);"
                                          " KeReleaseInStackQueuedSpinLock(&Handle);", 0x35, p2=PASSIVE, p4=PASSIVE),
    "resource_with_apcs": c4("irql", "ExAcquireResourceExclusiveLite(&Resource, TRUE);"
                             " ExReleaseResourceLite(&Resource);", 0x37, p2=PASSIVE, p3=0),
    "resource_released_with_apcs": c4("irql", "KeEnterCriticalRegion(); ExAcquireResourceExclusiveLite(&Resource, TRUE);"
                                      " KeLeaveCriticalRegion(); ExReleaseResourceLite(&Resource);", 0x38, p2=PASSIVE,
                                      p3=0),
    "unsafe_mutex_with_apcs": c4("irql", "ExAcquireFastMutexUnsafe(&Fast); ExReleaseFastMutexUnsafe(&Fast);", 0x39,
                                 p2=PASSIVE, p3=0),
    "unsafe_mutex_released_with_apcs": c4("irql", "KeEnterCriticalRegion(); ExAcquireFastMutexUnsafe(&Fast);"
                                          " KeLeaveCriticalRegion(); ExReleaseFastMutexUnsafe(&Fast);", 0x3A,
                                          p2=PASSIVE, p3=0),
    "delay_at_dispatch": c4("irql", at("DISPATCH_LEVEL", "KeDelayExecutionThread(KernelMode, FALSE, &Millisecond);"),
                            0x3B, harmless=False, p2=DISPATCH, p3=0),
    "leave_outside": c4("irql", "KeLeaveCriticalRegion(); KeEnterCriticalRegion();", 0x3E, p2=0, p3=0, p4=0),
    "at_dpc_level_at_passive": c4("irql", "KeAcquireSpinLockAtDpcLevel(&Spin); KeReleaseSpinLockFromDpcLevel(&Spin);",
                                  0x40, p2=PASSIVE, p4=0),
    "from_dpc_level_at_passive": c4("irql", at("DISPATCH_LEVEL", "KeAcquireSpinLockAtDpcLevel(&Spin);")
                                    + " KeReleaseSpinLockFromDpcLevel(&Spin);", 0x41, p2=PASSIVE, p4=0),
    "acquire_above_dispatch": c4("irql", at("12", "KIRQL High; KeAcquireSpinLock(&Spin, &High);"
                                 " KeReleaseSpinLock(&Spin, High);"), 0x42, p2=12, p4=0),
    "reader_writer_above_dispatch": c4("irql", at("12", "KIRQL High = ExAcquireSpinLockShared(&ReaderWriter);"
                                       " ExReleaseSpinLockShared(&ReaderWriter, High);"), 0x42, p2=12, p4=0),
    "set_event_above_dispatch": c4("irql", at("12", "KeSetEvent(&Event, 0, FALSE);"), 0x80, harmless=False, p2=12,
                                   p4=0),
    "zw_at_apc": c4("irql", at("APC_LEVEL", "ZwClose(NULL);"), 0xE6, p3=APC, p4=0),
    "zw_in_a_guarded_region": c4("irql", "KeEnterGuardedRegion(); ZwClose(NULL); KeLeaveGuardedRegion();", 0xE6,
                                 p3=PASSIVE),
    "push_lock_with_apcs": c4("irql", "ExAcquirePushLockExclusive(&Push); ExReleasePushLockExclusive(&Push);", 0xEA,
                              p2=PASSIVE, p3=0),
    "push_lock_released_with_apcs": c4("irql", "KeEnterCriticalRegion(); ExAcquirePushLockShared(&Push);"
                                       " KeLeaveCriticalRegion(); ExReleasePushLockShared(&Push);", 0xEB, p2=PASSIVE,
                                       p3=0),
    "enter_region_at_dispatch": c4("irql", at("DISPATCH_LEVEL", "KeEnterCriticalRegion(); KeLeaveCriticalRegion();"),
                                   0x11A, p2=DISPATCH, p3=0, p4=0),
    "leave_region_at_dispatch": c4("irql", "KeEnterCriticalRegion(); "
                                   + at("DISPATCH_LEVEL", "KeLeaveCriticalRegion();"), 0x11B, p2=DISPATCH, p3=0, p4=0),
    "wait_above_dispatch": c4("irql", at("12", "KeWaitForSingleObject(&Event, Executive, KernelMode, FALSE, &Zero);"),
                              0x120, harmless=False),
    "wait_at_dispatch": c4("irql", at("DISPATCH_LEVEL",
                                      "KeWaitForSingleObject(&Event, Executive, KernelMode, FALSE, NULL);"), 0x121, p4=0),
    "wait_with_limit_at_dispatch": c4("irql", at("DISPATCH_LEVEL", "KeWaitForSingleObject(&Event, Executive, KernelMode,"
                                                 " FALSE, &Millisecond);"), 0x122),
    "user_wait_on_the_stack": c4("irql", "KEVENT Local; KeInitializeEvent(&Local, NotificationEvent, TRUE);"
                                 " KeWaitForSingleObject(&Local, UserRequest, UserMode, FALSE, NULL);", 0x123, p3=0),
}

TRIM = {
    "raise_from_apc_level": Rule("irql", "P = ExAllocatePool2(POOL_FLAG_PAGED, 256, TAG); P[0] = 1; KIRQL Between;"
                                 " KeRaiseIrql(APC_LEVEL, &Old); KeRaiseIrql(DISPATCH_LEVEL, &Between); P[0]++;"
                                 " KeLowerIrql(Old); ExFreePool(P);", 0xD1, {"p2": DISPATCH}),
}

OBJECTS = {
    name: c4("irql", f"P = ExAllocatePool2(POOL_FLAG_PAGED, 256, TAG); {make} ExFreePool(P);", 0xE1, p3=0, p4=0,
             harmless=harmless)
    for name, make, harmless in (
        ("spin_lock", "KeInitializeSpinLock((PKSPIN_LOCK)P);", True),
        ("event", "KeInitializeEvent((PKEVENT)P, NotificationEvent, FALSE);", True),
        ("mutex", "KeInitializeMutex((PKMUTEX)P, 0);", True),
        ("semaphore", "KeInitializeSemaphore((PKSEMAPHORE)P, 0, 1);", True),
        ("timer", "KeInitializeTimer((PKTIMER)P);", True),
        ("fast_mutex", "ExInitializeFastMutex((PFAST_MUTEX)P);", True),
        ("resource", "ExInitializeResourceLite((PERESOURCE)P); ExDeleteResourceLite((PERESOURCE)P);", False),
    )
} | {
    "work_item": c4("irql", "P = ExAllocatePool2(POOL_FLAG_PAGED, 256, TAG); ExInitializeWorkItem((PWORK_QUEUE_ITEM)P,"
                    " Work, NULL); ExQueueWorkItem((PWORK_QUEUE_ITEM)P, DelayedWorkQueue);", 0x131, harmless=False,
                    globals="static VOID Work(PVOID C) { UNREFERENCED_PARAMETER(C); }"),
    "PAGE_data": c4("irql", "KeAcquireSpinLock(&Pageable, &Old); KeReleaseSpinLock(&Pageable, Old);", 0xE1,
                    harmless=False, globals='static KSPIN_LOCK Pageable __attribute__((section("PAGE"))) = 0;'),
}

POOL = {
    "zero_bytes": c4("tracking", "ExFreePool(ExAllocatePoolWithTag(NonPagedPoolNx, 0, TAG));", 0x00, p2=0, p3=512, p4=0),
    "paged_at_dispatch": c4("tracking", at("DISPATCH_LEVEL", "ExAllocatePoolWithTag(PagedPool, 64, TAG);"), 0x01,
                            harmless=False, p2=DISPATCH, p3=1, p4=64),
    "nonpaged_above_dispatch": c4("tracking", at("12", "ExAllocatePool2(POOL_FLAG_NON_PAGED, 64, TAG);"), 0x02,
                                  harmless=False, p2=12, p4=64),
    "never_allocated": c4("tracking", "ExFreePool(&Spin);", 0x10, harmless=False, p3=0, p4=0),
    "paged_freed_at_dispatch": c4("tracking", "P = ExAllocatePool2(POOL_FLAG_PAGED, 64, TAG); "
                                  + at("DISPATCH_LEVEL", "ExFreePool(P);"), 0x11, harmless=False, p2=DISPATCH, p3=1),
    "nonpaged_freed_above_dispatch": c4("tracking", "P = ExAllocatePool2(POOL_FLAG_NON_PAGED, 64, TAG); "
                                        + at("12", "ExFreePool(P);"), 0x12, harmless=False, p2=12),
    "freed_twice": c4("tracking", "P = ExAllocatePool2(POOL_FLAG_NON_PAGED, 64, TAG); ExFreePool(P); ExFreePool(P);",
                      0x13, harmless=False, p2=0),
    "freed_in_the_middle_of_a_unit": c4("tracking", "P = ExAllocatePool2(POOL_FLAG_NON_PAGED, 64, TAG);"
                                        " ExFreePool(P + 4);", 0x16, harmless=False, p2=0, p4=0),
    "tag_that_differs": Rule("tracking", "P = ExAllocatePool2(POOL_FLAG_NON_PAGED, 64, TAG);"
                             " ExFreePoolWithTag(P, 'rehO');", 0xC2, {"p1": 0xA, "p4": 0x7265684F}),
    "special_freed_twice": Rule("special-pool", "P = ExAllocatePool2(POOL_FLAG_PAGED, 64, TAG); ExFreePool(P);"
                                " ExFreePool(P);", 0xC1, {"p2": 0, "p3": 0, "p4": 0x20}, False),
    "special_freed_in_the_middle": Rule("special-pool", "P = ExAllocatePool2(POOL_FLAG_PAGED, 64, TAG);"
                                        " ExFreePool(P + 16);", 0xC1, {"p2": 64, "p3": 48, "p4": 0x21}, False),
    "special_one_bit": Rule("special-pool", "P = ExAllocatePool2(POOL_FLAG_NON_PAGED, 64, TAG); P[-1] ^= 4;"
                            " ExFreePool(P);", 0xC1, {"p3": 0, "p4": 0x32}, False),
    "special_freed_by_the_kernel": Rule("special-pool", "P = ExAllocatePool2(POOL_FLAG_NON_PAGED, 64, TAG);"
                                        " ExFreePool(P); RtlFillMemory(P, 16, 1);", 0xCC, {"p2": 1, "p4": 0}, False),
    "special_past_the_end_by_the_kernel": Rule("special-pool", "P = ExAllocatePool2(POOL_FLAG_NON_PAGED, 64, TAG);"
                                               " DbgPrint(\"%u\\n\", memcmp(P, P + 16, 64)); ExFreePool(P);", 0xCD,
                                               {"p2": 0, "p4": 0}),
}

DEADLOCK = {
    "spin_lock_twice": c4("deadlock", "KeAcquireSpinLock(&Spin, &Old); KeAcquireSpinLockAtDpcLevel(&Spin);", 0x1000,
                          harmless=False, p3=0, p4=0),
    "shared_to_exclusive": c4("deadlock", "KeEnterCriticalRegion(); ExAcquireResourceSharedLite(&Resource, TRUE);"
                              " ExAcquireResourceExclusiveLite(&Resource, TRUE);", 0x1000, harmless=False),
    "fast_mutex_uninitialised": c4("deadlock", "ExAcquireFastMutex(&Never); ExReleaseFastMutex(&Never);", 0x1002,
                                   harmless=False, globals="static FAST_MUTEX Never;"),
    "released_by_another_thread": c4("deadlock", "ExAcquireFastMutexUnsafe(&Fast); " + RUN, 0x1004, harmless=False,
                                     globals=THREAD.format(body="ExReleaseFastMutexUnsafe(&Fast);")),
    "initialised_twice": c4("deadlock", "KeInitializeSpinLock(&Spin);", 0x1005, p3=0, p4=0),
    "never_acquired": c4("deadlock", at("DISPATCH_LEVEL", "KeReleaseSpinLock(&Spin, DISPATCH_LEVEL);"), 0x1007),
    "thread_ends_as_owner": c4("deadlock", RUN, 0x100A, harmless=False, p4=0,
                               globals=THREAD.format(body="ExAcquireResourceExclusiveLite(&Resource, TRUE);")),
    "freed_while_owned": c4("deadlock", "P = ExAllocatePool2(POOL_FLAG_NON_PAGED, 64, TAG);"
                            " KeInitializeSpinLock((PKSPIN_LOCK)P); KeAcquireSpinLock((PKSPIN_LOCK)P, &Old);"
                            " ExFreePool(P); KeLowerIrql(Old);", 0x100B),
    "order_of_queued_and_reader_writer": c4(
        "deadlock", "KeAcquireInStackQueuedSpinLock(&Spin, &Handle); ExAcquireSpinLockExclusiveAtDpcLevel(&ReaderWriter);"
        " ExReleaseSpinLockExclusiveFromDpcLevel(&ReaderWriter); KeReleaseInStackQueuedSpinLock(&Handle);"
        " Old = ExAcquireSpinLockExclusive(&ReaderWriter); KeAcquireInStackQueuedSpinLockAtDpcLevel(&Spin, &Handle);"
        " KeReleaseInStackQueuedSpinLockFromDpcLevel(&Handle); ExReleaseSpinLockExclusive(&ReaderWriter, Old);", 0x1001),
    # A lock that readers share keeps no two threads apart; and one that was not always held is no gate either.
    "order_under_a_lock_that_is_shared": c4(
        "deadlock", "KeEnterCriticalRegion(); ExAcquireResourceSharedLite(&Resource, TRUE); ExAcquireFastMutexUnsafe(&Fast);"
        " KeAcquireGuardedMutexUnsafe(&Guarded); KeReleaseGuardedMutexUnsafe(&Guarded); ExReleaseFastMutexUnsafe(&Fast);"
        " KeAcquireGuardedMutexUnsafe(&Guarded); ExAcquireFastMutexUnsafe(&Fast); ExReleaseFastMutexUnsafe(&Fast);"
        " KeReleaseGuardedMutexUnsafe(&Guarded); ExReleaseResourceLite(&Resource); KeLeaveCriticalRegion();", 0x1001),
    "order_without_the_gate_of_before": c4(
        "deadlock", "KeEnterCriticalRegion(); for (ULONG Round = 0; Round < 2; Round++) {"
        " if (Round == 0) { ExAcquireResourceExclusiveLite(&Resource, TRUE); }"
        " ExAcquireFastMutexUnsafe(&Fast); KeAcquireGuardedMutexUnsafe(&Guarded); KeReleaseGuardedMutexUnsafe(&Guarded);"
        " ExReleaseFastMutexUnsafe(&Fast); if (Round == 0) { KeAcquireGuardedMutexUnsafe(&Guarded);"
        " ExAcquireFastMutexUnsafe(&Fast); ExReleaseFastMutexUnsafe(&Fast); KeReleaseGuardedMutexUnsafe(&Guarded);"
        " ExReleaseResourceLite(&Resource); } } KeLeaveCriticalRegion();", 0x1001),
    "order_of_guarded_mutex_and_push_lock": c4(
        "deadlock", "KeAcquireGuardedMutex(&Guarded); ExAcquirePushLockExclusive(&Push); ExReleasePushLockExclusive(&Push);"
        " KeReleaseGuardedMutex(&Guarded); KeEnterCriticalRegion(); ExAcquirePushLockExclusive(&Push);"
        " KeAcquireGuardedMutex(&Guarded); KeReleaseGuardedMutex(&Guarded); ExReleasePushLockExclusive(&Push);"
        " KeLeaveCriticalRegion();", 0x1001),
}

MISC = {
    "resource_initialised_twice": c4("misc", "ExInitializeResourceLite(&Resource);", 0xD0, harmless=False, p3=0, p4=0),
    "resource_deleted_uninitialised": c4("misc", "ExDeleteResourceLite(&Never);", 0xD1, harmless=False,
                                         globals="static ERESOURCE Never;"),
    "resource_freed": c4("misc", "P = ExAllocatePool2(POOL_FLAG_NON_PAGED, sizeof(ERESOURCE), TAG);"
                         " ExInitializeResourceLite((PERESOURCE)P); ExFreePool(P);", 0x17, harmless=False, p3=0),
    "memcpy_that_overlaps": c4("misc", "UCHAR Bytes[64] = {0}; RtlCopyMemory(Bytes + 8, Bytes, 32);", 0xF0, p4=32),
}

# Two devices, Upper attached to Lower. Lower completes each request, or (IsSlow) a DPC does 10 ms later; what Upper does with
# one is the case's.
IO = """
#define CONTROL(Method) CTL_CODE(FILE_DEVICE_UNKNOWN, 0x800, Method, FILE_ANY_ACCESS)
#define NOWHERE ((PVOID)0x10000)
static __attribute__((unused)) PDEVICE_OBJECT Upper, Lower;
static __attribute__((unused)) BOOLEAN IsSlow;
static KTIMER SlowTimer;
static KDPC SlowDpc;
static PIRP SlowIrp;
static NTSTATUS Complete(PIRP Irp, NTSTATUS Status) {
    Irp->IoStatus.Status = Status;
    Irp->IoStatus.Information = 0;
    IoCompleteRequest(Irp, IO_NO_INCREMENT);
    return Status;
}
static VOID OnSlow(PKDPC Dpc, PVOID Context, PVOID A, PVOID B) {
    UNREFERENCED_PARAMETER(Dpc);
    UNREFERENCED_PARAMETER(Context);
    UNREFERENCED_PARAMETER(A);
    UNREFERENCED_PARAMETER(B);
    Complete(SlowIrp, STATUS_SUCCESS);
}
static NTSTATUS OnLower(PIRP Irp) {
    LARGE_INTEGER Due = {.QuadPart = -100000};
    if (!IsSlow) {
        return Complete(Irp, STATUS_SUCCESS);
    }
    IoMarkIrpPending(Irp);
    SlowIrp = Irp;
    KeInitializeTimer(&SlowTimer);
    KeInitializeDpc(&SlowDpc, OnSlow, NULL);
    KeSetTimer(&SlowTimer, Due, &SlowDpc);
    return STATUS_PENDING;
}
static __attribute__((unused)) VOID Cancel(PDEVICE_OBJECT Device, PIRP Irp) {
    UNREFERENCED_PARAMETER(Device);
    IoReleaseCancelSpinLock(Irp->CancelIrql);
}
static __attribute__((unused)) NTSTATUS Keep(PDEVICE_OBJECT Device, PIRP Irp, PVOID Context) {
    UNREFERENCED_PARAMETER(Device);
    UNREFERENCED_PARAMETER(Irp);
    KeSetEvent(Context, 0, FALSE);
    return STATUS_MORE_PROCESSING_REQUIRED;
}
static NTSTATUS OnUpper(PIRP Irp) {
    @UPPER@
    IoSkipCurrentIrpStackLocation(Irp);
    return IoCallDriver(Lower, Irp);
}
static NTSTATUS OnRequest(PDEVICE_OBJECT Device, PIRP Irp) {
    return Device == Lower ? OnLower(Irp) : OnUpper(Irp);
}
static VOID Prepare(PDRIVER_OBJECT Driver) {
    for (ULONG i = 0; i <= IRP_MJ_MAXIMUM_FUNCTION; i++) {
        Driver->MajorFunction[i] = OnRequest;
    }
    IoCreateDevice(Driver, 0, NULL, FILE_DEVICE_UNKNOWN, 0, FALSE, &Lower);
    IoCreateDevice(Driver, 0, NULL, FILE_DEVICE_UNKNOWN, 0, FALSE, &Upper);
    IoAttachDeviceToDeviceStack(Upper, Lower);
    KeClearEvent(&Event);
}
static __attribute__((unused)) VOID Remove(VOID) {
    IoDetachDevice(Lower);
    IoDeleteDevice(Upper);
    IoDeleteDevice(Lower);
}
static __attribute__((unused)) PIRP Make(UCHAR Major) {
    PIRP Irp = IoAllocateIrp(Upper->StackSize, FALSE);
    IoGetNextIrpStackLocation(Irp)->MajorFunction = Major;
    IoSetCompletionRoutine(Irp, Keep, &Event, TRUE, TRUE, TRUE);
    return Irp;
}
static __attribute__((unused)) NTSTATUS Send(PDEVICE_OBJECT Device) {
    KEVENT Done;
    IO_STATUS_BLOCK Result;
    KeInitializeEvent(&Done, NotificationEvent, FALSE);
    PIRP Irp = IoBuildDeviceIoControlRequest(CONTROL(METHOD_BUFFERED), Device, NULL, 0, NULL, 0, FALSE, &Done, &Result);
    NTSTATUS Status = IoCallDriver(Device, Irp);
    if (Status == STATUS_PENDING) {
        KeWaitForSingleObject(&Done, Executive, KernelMode, FALSE, NULL);
    }
    return Status;
}
"""


def c9(body, p1, upper="", harmless=False, more="", remove="Remove();", **parameters):
    return Rule("io", f"Prepare(Driver); {body} {remove}", 0xC9, {"p1": p1} | parameters, harmless,
                IO.replace("@UPPER@", upper) + more)


AV = 0xFFFFFFFFC0000005
AGAIN = "IoCopyCurrentIrpStackLocationToNext(Irp); IoCallDriver(Lower, Irp);"
# In a frame that lies deeper in the stack than the thread ever is when the request ends.
LEFT = """
static KEVENT Kept;
static IO_STATUS_BLOCK KeptResult;
static __attribute__((noinline)) VOID Leave(BOOLEAN IsEvent) {
    struct { KEVENT Event; IO_STATUS_BLOCK Result; UCHAR Room[6000]; } volatile Deep;
    PKEVENT Done = IsEvent ? (PKEVENT)&Deep.Event : &Kept;
    KeInitializeEvent(&Kept, NotificationEvent, FALSE);
    KeInitializeEvent(Done, NotificationEvent, FALSE);
    PIRP Irp = IoBuildDeviceIoControlRequest(CONTROL(METHOD_BUFFERED), Lower, NULL, 0, NULL, 0, FALSE, Done,
                                             IsEvent ? &KeptResult : (PIO_STATUS_BLOCK)&Deep.Result);
    IoCallDriver(Lower, Irp);
}
static __attribute__((unused)) VOID LeaveAndWait(BOOLEAN IsEvent) {
    LARGE_INTEGER Due = {.QuadPart = -300000};
    IsSlow = TRUE;
    Leave(IsEvent);
    KeDelayExecutionThread(KernelMode, FALSE, &Due);
}
"""
PAGED = """
static IO_COMPLETION_ROUTINE PagedRoutine;
#pragma alloc_text(PAGE, PagedRoutine)
static NTSTATUS PagedRoutine(PDEVICE_OBJECT Device, PIRP Irp, PVOID Context) {
    return Keep(Device, Irp, Context);
}
"""

IRPS = {
    "freed_that_is_none": c9("PIRP Irp = IoAllocateIrp(1, FALSE); Irp->Type = 0; IoFreeIrp(Irp);", 1, harmless=True, p3=0, p4=0),
    "freed_of_a_thread": c9("IoFreeIrp(IoBuildDeviceIoControlRequest(CONTROL(METHOD_BUFFERED), Lower, NULL, 0, NULL, 0, FALSE,"
                            " &Event, &Result));", 2, harmless=True, p3=0, p4=0, more="static IO_STATUS_BLOCK Result;"),
    "sent_that_is_none": c9("PIRP Irp = Make(IRP_MJ_READ); Irp->Type = 0; IoCallDriver(Upper, Irp);", 3, p3=0, p4=0),
    "sent_to_what_is_no_device": c9("Lower->Type = 0; Send(Lower); Lower->Type = 3;", 4, harmless=True, p3=0, p4=0),
    "sent_to_nothing": c9("IoCallDriver(NULL, Make(IRP_MJ_READ));", 0x204, p4=0),
    "completed_as_pending": c9("Send(Upper);", 6, upper="Complete(Irp, STATUS_PENDING); return STATUS_PENDING;",
                               p2=0x103, p4=0),
    "transfer_of_a_bad_buffer": c9(
        "Lower->Flags |= DO_DIRECT_IO; LARGE_INTEGER At = {.QuadPart = 0};"
        " if (IoBuildSynchronousFsdRequest(IRP_MJ_READ, Lower, NOWHERE, 16, &At, &Event, &Result) != NULL) { KeBugCheck(1); }",
        8, harmless=True, more="static IO_STATUS_BLOCK Result;", p3=3, p4=AV),
    "transfer_of_a_bad_copy": c9(
        "Lower->Flags |= DO_BUFFERED_IO; LARGE_INTEGER At = {.QuadPart = 0};"
        " IoBuildAsynchronousFsdRequest(IRP_MJ_WRITE, Lower, NOWHERE, 16, &At, NULL);", 8, p3=4, p4=AV),
    "control_of_a_bad_buffer": c9(
        "if (IoBuildDeviceIoControlRequest(CONTROL(METHOD_OUT_DIRECT), Lower, NULL, 0, NOWHERE, 16, FALSE, &Event, &Result)"
        " != NULL) { KeBugCheck(1); }", 9, harmless=True, more="static IO_STATUS_BLOCK Result;", p3=0x222002, p4=AV),
    "timer_again": c9("IoInitializeTimer(Lower, Tick, NULL); IoInitializeTimer(Lower, Tick, NULL);", 0xA, harmless=True,
                      more="static IO_TIMER_ROUTINE Tick;"
                           " static VOID Tick(PDEVICE_OBJECT D, PVOID C) { UNREFERENCED_PARAMETER(D); UNREFERENCED_PARAMETER(C); }",
                      p3=0, p4=0),
    "status_block_left_behind": c9("LeaveAndWait(FALSE);", 0xC, more=LEFT, p3=0, p4=0),
    "event_left_behind": c9("LeaveAndWait(TRUE);", 0xD, more=LEFT, p3=0, p4=0),
    "completed_above_dispatch": c9("Send(Upper);", 0xE, upper="KIRQL Old; KeRaiseIrql(12, &Old); Complete(Irp, 0);", p2=12, p4=0),
    "sent_above_dispatch": c9("PIRP Irp = Make(IRP_MJ_READ); " + at(12, "IoCallDriver(Upper, Irp);"), 0x10, p2=12, p3=0, p4=0),
    "device_deleted_above_another": c9("IoDeleteDevice(Upper);", 0x201, p3=0),
    "device_detached_twice": c9("IoDetachDevice(Lower); IoDetachDevice(Lower);", 0x202, harmless=True, p3=0,
                                remove="IoDeleteDevice(Upper); IoDeleteDevice(Lower);"),
    "device_deleted_twice": c9("Remove(); IoDeleteDevice(Lower);", 0x240, p3=0, remove=""),
    "sent_with_a_cancel_routine": c9("Send(Upper);", 0x203, upper="IoSetCancelRoutine(Irp, Cancel);", harmless=True),
    "sent_again_from_above": c9("IsSlow = TRUE; Send(Upper);", 0x205, upper=AGAIN + " return IoCallDriver(Lower, Irp);"),
    "sent_with_old_control": c9("Send(Upper);", 0x206, upper="IoMarkIrpPending(Irp); *IoGetNextIrpStackLocation(Irp) ="
                                " *IoGetCurrentIrpStackLocation(Irp); IoCallDriver(Lower, Irp); return STATUS_PENDING;"),
    "sent_with_anothers_routine": c9("IoSynchronousCallDriver(Upper, Make(IRP_MJ_READ));", 0x207,
                                     upper="*IoGetNextIrpStackLocation(Irp) = *IoGetCurrentIrpStackLocation(Irp);"
                                     " return IoCallDriver(Lower, Irp);"),
    "sent_without_a_location": c9("Upper->StackSize = 1; IoCallDriver(Upper, Make(IRP_MJ_READ));", 0x208,
                                  upper="return IoCallDriver(Lower, Irp);"),
    "completed_from_above": c9("IsSlow = TRUE; Send(Upper);", 0x209, upper=AGAIN + " return Complete(Irp, STATUS_SUCCESS);"),
    "freed_from_above": c9("IsSlow = TRUE; PIRP Irp = Make(IRP_MJ_READ); IoCallDriver(Lower, Irp); IoFreeIrp(Irp);", 0x20B, p4=0),
    "made_again": c9("PIRP Irp = IoAllocateIrp(1, FALSE); IoInitializeIrp(Irp, IoSizeOfIrp(1), 1); IoFreeIrp(Irp);", 0x20D,
                     harmless=True, p4=0),
    "routine_that_is_pageable": c9(
        "PIRP Irp = Make(IRP_MJ_READ); IoSetCompletionRoutine(Irp, PagedRoutine, &Event, TRUE, TRUE, TRUE);"
        " IoCallDriver(Upper, Irp); IoFreeIrp(Irp);", 0x227, harmless=True, more=PAGED),
    "sent_at_a_high_irql": c9("PIRP Irp = Make(IRP_MJ_FLUSH_BUFFERS); " + at(2, "IoCallDriver(Upper, Irp);") + " IoFreeIrp(Irp);",
                              0x23A, harmless=True),
}

RULES = {f"{group}_{name}": rule
         for group, rules in (("irql", IRQL), ("trim", TRIM), ("object", OBJECTS), ("pool", POOL), ("deadlock", DEADLOCK), ("misc", MISC),
                              ("irp", IRPS))
         for name, rule in rules.items()}

# Each way to pass a request on, to keep it, to send it again; each way to make one; a device that comes and goes.
CORRECT_UPPER = """
    switch (Way) {
    case 0:
        break;
    case 1:
        IoCopyCurrentIrpStackLocationToNext(Irp);
        return IoCallDriver(Lower, Irp);
    case 2:
        IoMarkIrpPending(Irp);
        IoCopyCurrentIrpStackLocationToNext(Irp);
        IoSetCompletionRoutine(Irp, Again, NULL, TRUE, TRUE, TRUE);
        IoCallDriver(Lower, Irp);
        return STATUS_PENDING;
    case 3:
        IoForwardIrpSynchronously(Lower, Irp);
        return Complete(Irp, Irp->IoStatus.Status);
    }
"""
SEND_AGAIN = """
static ULONG Way;
static PDEVICE_OBJECT LowerAgain;
static NTSTATUS Again(PDEVICE_OBJECT Device, PIRP Irp, PVOID Context) {
    UNREFERENCED_PARAMETER(Device);
    if (Context == NULL) { /* once more, from its own completion */
        IoCopyCurrentIrpStackLocationToNext(Irp);
        IoSetCompletionRoutine(Irp, Again, &Way, TRUE, TRUE, TRUE);
        IoCallDriver(LowerAgain, Irp);
        return STATUS_MORE_PROCESSING_REQUIRED;
    }
    return STATUS_SUCCESS;
}
"""
CORRECT_IO = """
        UCHAR Buffer[64] = {0};
        IO_STATUS_BLOCK Result;
        LARGE_INTEGER At = {.QuadPart = 0};
        for (ULONG Round = 0; Round < 8; Round++) {
            Prepare(Driver);
            LowerAgain = Lower;
            IsSlow = Round & 1;
            Way = Round >> 1;
            Send(Upper);
            PIRP Own = Make(IRP_MJ_READ);
            for (ULONG i = 0; i < 2; i++) {
                IoCallDriver(Upper, Own);
                KeWaitForSingleObject(&Event, Executive, KernelMode, FALSE, NULL);
                KeClearEvent(&Event);
                IoReuseIrp(Own, STATUS_NOT_SUPPORTED);
                IoGetNextIrpStackLocation(Own)->MajorFunction = IRP_MJ_DEVICE_CONTROL;
                IoSetCompletionRoutine(Own, Keep, &Event, TRUE, TRUE, TRUE);
            }
            IoFreeIrp(Own);
            static ULONG64 Room[100]; /* of an IRP that is no pool */
            PIRP Static = (PIRP)Room;
            IoInitializeIrp(Static, IoSizeOfIrp(2), 2);
            IoGetNextIrpStackLocation(Static)->MajorFunction = IRP_MJ_WRITE;
            IoSetCompletionRoutine(Static, Keep, &Event, TRUE, TRUE, TRUE);
            IoCallDriver(Upper, Static);
            KeWaitForSingleObject(&Event, Executive, KernelMode, FALSE, NULL);
            KeClearEvent(&Event);
            Lower->Flags |= Round & 1 ? DO_DIRECT_IO : DO_BUFFERED_IO;
            PIRP Transfer = IoBuildSynchronousFsdRequest(Round & 1 ? IRP_MJ_READ : IRP_MJ_WRITE, Lower, Buffer, 64, &At, &Event,
                                                         &Result);
            if (IoCallDriver(Lower, Transfer) == STATUS_PENDING) {
                KeWaitForSingleObject(&Event, Executive, KernelMode, FALSE, NULL);
            }
            Remove();
        }"""

# A correct driver's work: all options at once must leave all of it alone.
CORRECT = {
    "locks": """
        KeAcquireSpinLock(&Spin, &Old);
        KeAcquireSpinLockAtDpcLevel(&OtherSpin);
        KeReleaseSpinLockFromDpcLevel(&OtherSpin);
        KeReleaseSpinLock(&Spin, Old);
        KeAcquireInStackQueuedSpinLock(&Spin, &Handle);
        KeReleaseInStackQueuedSpinLock(&Handle);
        Old = ExAcquireSpinLockShared(&ReaderWriter);
        ExAcquireSpinLockSharedAtDpcLevel(&ReaderWriter);
        ExReleaseSpinLockSharedFromDpcLevel(&ReaderWriter);
        ExReleaseSpinLockShared(&ReaderWriter, Old);
        ExAcquireFastMutex(&Fast);
        KeWaitForSingleObject(&Mutex, Executive, KernelMode, FALSE, NULL);
        KeWaitForSingleObject(&Mutex, Executive, KernelMode, FALSE, NULL);
        KeReleaseMutex(&Mutex, FALSE);
        KeReleaseMutex(&Mutex, FALSE);
        ExReleaseFastMutex(&Fast);
        KeEnterCriticalRegion();
        ExAcquireResourceExclusiveLite(&Resource, TRUE);
        ExAcquireResourceExclusiveLite(&Resource, TRUE);
        ExAcquireResourceSharedLite(&Resource, TRUE);
        ExReleaseResourceLite(&Resource);
        ExReleaseResourceLite(&Resource);
        ExReleaseResourceLite(&Resource);
        ExAcquirePushLockShared(&Push);
        ExReleasePushLockShared(&Push);
        KeLeaveCriticalRegion();
        /* A poll does not wait, so the other order is none. */
        KeAcquireSpinLock(&OtherSpin, &Old);
        if (KeTryToAcquireSpinLockAtDpcLevel(&Spin)) {
            KeReleaseSpinLockFromDpcLevel(&Spin);
        }
        KeReleaseSpinLock(&OtherSpin, Old);""",
    "pool": """
        for (ULONG Bytes = 1; Bytes < 6000; Bytes += 123) {
            P = ExAllocatePool2(Bytes & 1 ? POOL_FLAG_PAGED : POOL_FLAG_NON_PAGED, Bytes, TAG);
            if (P != NULL) {
                RtlFillMemory(P, Bytes, 0xA5);
                ExFreePoolWithTag(P, TAG);
            }
            P = ExAllocatePoolWithTag(NonPagedPoolNxCacheAligned, Bytes, TAG);
            if (P != NULL) {
                RtlZeroMemory(P, Bytes);
                ExFreePool(P);
            }
        }""",
    "locks_in_memory_that_comes_back": """
        for (ULONG Round = 0; Round < 3000; Round++) {
            KSPIN_LOCK Local;
            KeInitializeSpinLock(&Local);
            P = ExAllocatePool2(POOL_FLAG_NON_PAGED, 2 * sizeof(KSPIN_LOCK), TAG);
            if (P != NULL) {
                PKSPIN_LOCK First = (PKSPIN_LOCK)P + (Round & 1), Second = (PKSPIN_LOCK)P + !(Round & 1);
                KeInitializeSpinLock(First);
                KeInitializeSpinLock(Second);
                KeAcquireSpinLock(First, &Old);
                KeAcquireSpinLockAtDpcLevel(Second);
                KeAcquireSpinLockAtDpcLevel(&Local);
                KeReleaseSpinLockFromDpcLevel(&Local);
                KeReleaseSpinLockFromDpcLevel(Second);
                KeReleaseSpinLock(First, Old);
                ExFreePool(P);
            }
        }""",
    "waits_and_timers": """
        PVOID Objects[2] = {&Event, &Mutex};
        KeWaitForMultipleObjects(2, Objects, WaitAll, Executive, KernelMode, FALSE, NULL, NULL);
        KeReleaseMutex(&Mutex, FALSE);
        KeSetTimer(&Timer, Millisecond, NULL);
        KeWaitForSingleObject(&Timer, Executive, KernelMode, FALSE, NULL);
        KeRaiseIrql(DISPATCH_LEVEL, &Old);
        KeWaitForSingleObject(&Event, Executive, KernelMode, FALSE, &Zero);
        KeSetEvent(&Event, 0, FALSE);
        KeLowerIrql(Old);
        KeDelayExecutionThread(KernelMode, FALSE, &Millisecond);
        UCHAR Bytes[64] = {0};
        RtlCopyMemory(Bytes + 32, Bytes, 32);
        RtlMoveMemory(Bytes + 8, Bytes, 32);""",
    "release_and_wait_in_one_step": """
        KSEMAPHORE Semaphore;
        KeInitializeSemaphore(&Semaphore, 0, 4);
        for (KIRQL Level = PASSIVE_LEVEL; Level <= APC_LEVEL; Level++) {
            KeRaiseIrql(Level, &Old);
            KeSetEvent(&Event, IO_NO_INCREMENT, TRUE);
            KeWaitForSingleObject(&Event, Executive, KernelMode, FALSE, NULL);
            KeReleaseSemaphore(&Semaphore, IO_NO_INCREMENT, 1, TRUE);
            KeWaitForSingleObject(&Semaphore, Executive, KernelMode, FALSE, &Millisecond);
            KeWaitForSingleObject(&Mutex, Executive, KernelMode, FALSE, NULL);
            PVOID Objects[2] = {&Event, &Mutex};
            KeReleaseMutex(&Mutex, TRUE);
            KeWaitForMultipleObjects(2, Objects, WaitAll, Executive, KernelMode, FALSE, NULL, NULL);
            KeReleaseMutex(&Mutex, FALSE);
            KeLowerIrql(Old);
        }
        KeRaiseIrql(DISPATCH_LEVEL, &Old);
        KeSetEvent(&Event, IO_NO_INCREMENT, TRUE);
        KeWaitForSingleObject(&Event, Executive, KernelMode, FALSE, &Zero);
        KeLowerIrql(Old);""",
    "shared_locks_in_both_orders": """
        ERESOURCE Other;
        EX_PUSH_LOCK Push2;
        EX_SPIN_LOCK ReaderWriter2 = 0;
        ExInitializeResourceLite(&Other);
        ExInitializePushLock(&Push2);
        for (ULONG Round = 0; Round < 2; Round++) {
            PERESOURCE First = Round ? &Other : &Resource, Second = Round ? &Resource : &Other;
            PEX_PUSH_LOCK Push3 = Round ? &Push2 : &Push, Push4 = Round ? &Push : &Push2;
            PEX_SPIN_LOCK Spin3 = Round ? &ReaderWriter : &ReaderWriter2, Spin4 = Round ? &ReaderWriter2 : &ReaderWriter;
            KeEnterCriticalRegion();
            ExAcquireResourceSharedLite(First, TRUE);
            ExAcquireResourceSharedLite(Second, TRUE);
            ExReleaseResourceLite(Second);
            ExReleaseResourceLite(First);
            ExAcquirePushLockShared(Push3);
            ExAcquirePushLockShared(Push4);
            ExReleasePushLockShared(Push4);
            ExReleasePushLockShared(Push3);
            KeLeaveCriticalRegion();
            Old = ExAcquireSpinLockShared(Spin3);
            ExAcquireSpinLockSharedAtDpcLevel(Spin4);
            ExReleaseSpinLockSharedFromDpcLevel(Spin4);
            ExReleaseSpinLockShared(Spin3, Old);
        }
        ExDeleteResourceLite(&Other);""",
    "both_orders_under_a_gate": """
        KeEnterCriticalRegion();
        for (ULONG Round = 0; Round < 2; Round++) {
            ExAcquireResourceExclusiveLite(&Resource, TRUE);
            ExAcquireFastMutexUnsafe(&Fast);
            KeAcquireGuardedMutexUnsafe(&Guarded);
            KeReleaseGuardedMutexUnsafe(&Guarded);
            ExReleaseFastMutexUnsafe(&Fast);
            KeAcquireGuardedMutexUnsafe(&Guarded);
            ExAcquireFastMutexUnsafe(&Fast);
            ExReleaseFastMutexUnsafe(&Fast);
            KeReleaseGuardedMutexUnsafe(&Guarded);
            ExReleaseResourceLite(&Resource);
        }
        KeLeaveCriticalRegion();
        /* A wait that gives up by itself is no part of a circle. */
        ExAcquireFastMutex(&Fast);
        if (KeWaitForSingleObject(&Mutex, Executive, KernelMode, FALSE, &Millisecond) == STATUS_SUCCESS) {
            KeReleaseMutex(&Mutex, FALSE);
        }
        ExReleaseFastMutex(&Fast);
        KeWaitForSingleObject(&Mutex, Executive, KernelMode, FALSE, NULL);
        ExAcquireFastMutex(&Fast);
        ExReleaseFastMutex(&Fast);
        KeReleaseMutex(&Mutex, FALSE);""",
    "requests_and_devices": CORRECT_IO,
    "objects_in_memory_that_comes_back_by_other_ways": """
        static LOOKASIDE_LIST_EX List;
        PHYSICAL_ADDRESS Highest = {.QuadPart = -1};
        ExInitializeLookasideListEx(&List, NULL, NULL, NonPagedPoolNx, 0, 128, TAG, 0);
        for (ULONG Round = 0; Round < 20; Round++) {
            PDEVICE_OBJECT Device = NULL;
            PVOID Place[3] = {NULL, ExAllocateFromLookasideListEx(&List), MmAllocateContiguousMemory(4096, Highest)};
            if (NT_SUCCESS(IoCreateDevice(Driver, 256, NULL, FILE_DEVICE_UNKNOWN, 0, FALSE, &Device))) {
                Place[0] = Device->DeviceExtension;
            }
            for (ULONG i = 0; i < 3; i++) {
                if (Place[i] != NULL) {
                    PKSPIN_LOCK Lock = Place[i];
                    PFAST_MUTEX Sleeping = (PFAST_MUTEX)(Lock + 1);
                    KeInitializeSpinLock(Lock);
                    ExInitializeFastMutex(Sleeping);
                    KeAcquireSpinLock(Lock, &Old);
                    KeReleaseSpinLock(Lock, Old);
                    ExAcquireFastMutex(Sleeping);
                    ExReleaseFastMutex(Sleeping);
                }
            }
            if (Device != NULL) {
                IoDeleteDevice(Device);
            }
            if (NT_SUCCESS(IoCreateDeviceSecure(Driver, 256, NULL, FILE_DEVICE_UNKNOWN, FILE_AUTOGENERATED_DEVICE_NAME,
                                                FALSE, &SDDL_DEVOBJ_SYS_ALL, NULL, &Device))) {
                IoDeleteDevice(Device);
            }
            if (Place[1] != NULL) {
                ExFreeToLookasideListEx(&List, Place[1]);
            }
            if (Place[2] != NULL) {
                MmFreeContiguousMemory(Place[2]);
            }
        }
        ExDeleteLookasideListEx(&List);
        /* A timer that has expired needs no cancelling. */
        PKTIMER Dynamic = ExAllocatePool2(POOL_FLAG_NON_PAGED, sizeof(KTIMER), TAG);
        if (Dynamic != NULL) {
            KeInitializeTimer(Dynamic);
            KeSetTimer(Dynamic, Millisecond, NULL);
            KeWaitForSingleObject(Dynamic, Executive, KernelMode, FALSE, NULL);
            ExFreePool(Dynamic);
        }
        /* A resource may be released in another owner's name. */
        KeEnterCriticalRegion();
        ExAcquireResourceExclusiveLite(&Resource, TRUE);
        ERESOURCE_THREAD Owner = ExGetCurrentResourceThread();
        ExReleaseResourceForThreadLite(&Resource, Owner);
        ExAcquireResourceSharedLite(&Resource, TRUE);
        ExSetResourceOwnerPointer(&Resource, (PVOID)((ULONG_PTR)&Event | 3));
        ExReleaseResourceForThreadLite(&Resource, (ULONG_PTR)&Event | 3);
        ExAcquireResourceExclusiveLite(&Resource, TRUE);
        ExConvertExclusiveToSharedLite(&Resource);
        ExReleaseResourceLite(&Resource);
        KeLeaveCriticalRegion();""",
}


# They do not look whether an allocation has failed.
CORRECT_GLOBALS = {"requests_and_devices": IO.replace("@UPPER@", CORRECT_UPPER)
                   .replace("static NTSTATUS OnUpper(", SEND_AGAIN + "static NTSTATUS OnUpper(")}


@pytest.fixture
def verify(boot, tmp_path):
    """verify(body, options, globals) runs a driver under the judge; beneath: the text of one that is loaded before it."""
    def runner(body, options, globals="", unload=False, beneath=None, **settings):
        ensure_built(BUILD)
        name = "suspect"
        modules = {"beneath": make_driver(tmp_path, "beneath", beneath)} if beneath else {}
        modules[name] = make_driver(tmp_path, name, TEMPLATE.format(body=body, globals=globals))
        archive = make_archive(tmp_path / f"run{len(list(tmp_path.iterdir()))}.cpio", OUT / BUILD, modules)
        words = f"driver={','.join(modules)} " + (f"verifier={options}" if options is not None else "") + " unload" * unload
        return boot(append=words, build=BUILD, cpus=2, seed=1, extra=("-initrd", str(archive)), **settings)
    return runner


@pytest.mark.parametrize("name", RULES)
def test_a_broken_rule_stops_the_machine(verify, name):
    rule = RULES[name]
    outcome = verify(rule.body, rule.option, rule.globals)
    outcome.assert_bugcheck(rule.code, expected=False, **rule.parameters)
    assert "suspect" in outcome.verdict["where"] or name == "deadlock_thread_ends_as_owner", outcome.verdict
    if rule.code in (0xC4, 0xC9):
        assert re.search(r"which rule: \w", outcome.serial), "the report has no words for the rule"


def test_a_cancel_routine_of_a_driver_above_stops_the_machine(verify):
    """Set after the request was passed on: the driver that has it did not expect one."""
    template = TEMPLATE.format(body="""
        Prepare(Driver);
        UNICODE_STRING Name = RTL_CONSTANT_STRING(L"\\\\Device\\\\Beneath");
        IsSlow = TRUE;
        IoCreateDevice(Driver, 0, &Name, FILE_DEVICE_UNKNOWN, 0, FALSE, &Upper);""", globals=IO)
    outcome = verify("""
        UNICODE_STRING Name = RTL_CONSTANT_STRING(L"\\\\Device\\\\Beneath");
        Prepare(Driver);
        ObReferenceObjectByName(&Name, 0, NULL, 0, *IoDeviceObjectType, KernelMode, NULL, (PVOID *)&Lower);
        Lower = Lower->DriverObject->DeviceObject->NextDevice->NextDevice; /* its own Lower */
        IoAttachDeviceToDeviceStack(Upper, Lower);
        Send(Upper);""", "io", """
        extern POBJECT_TYPE *IoDeviceObjectType;
        NTSTATUS ObReferenceObjectByName(PUNICODE_STRING Name, ULONG Attributes, PVOID State, ACCESS_MASK Access,
                                         POBJECT_TYPE Type, KPROCESSOR_MODE Mode, PVOID Context, PVOID *Object);
        """ + IO.replace("@UPPER@", """
            IoMarkIrpPending(Irp);
            IoCopyCurrentIrpStackLocationToNext(Irp);
            IoCallDriver(Lower, Irp);
            IoSetCancelRoutine(Irp, Cancel);
            return STATUS_PENDING;"""), beneath=template.replace("@UPPER@", ""))
    outcome.assert_bugcheck(0xC9, expected=False, p1=0x229, p4=0)
    assert "beneath!Complete" in outcome.verdict["where"], outcome.verdict


def test_the_same_drivers_pass_without_the_verifier(boot, tmp_path):
    """All that do no harm by themselves, one after the other in one machine: each DriverEntry comes to its end."""
    ensure_built(BUILD)
    harmless = [name for name, rule in RULES.items() if rule.harmless]
    modules = {}
    for number, name in enumerate(harmless):
        body = RULES[name].body + f'DbgPrint("passed {name}\\n");'
        modules[f"suspect{number}"] = make_driver(tmp_path, f"suspect{number}",
                                                  TEMPLATE.format(body=body, globals=RULES[name].globals))
    archive = make_archive(tmp_path / "harmless.cpio", OUT / BUILD, modules)
    outcome = boot("resident", append="load=suspect*", build=BUILD, cpus=2, seed=1, extra=("-initrd", str(archive)))
    outcome.assert_completed()
    assert sorted(re.findall(r"passed (\w+)", outcome.serial)) == sorted(harmless)


@pytest.mark.parametrize("name", CORRECT)
def test_a_correct_driver_is_left_alone(verify, name):
    globals = CORRECT_GLOBALS.get(name, "")
    outcome = verify(CORRECT[name], "standard" if globals else "all", globals, unload=True)
    assert outcome.verdict["end"] == "completed", outcome.verdict


def test_a_tail_makes_no_whole_page_of_a_small_block(verify):
    """Blocks of whole pages begin with one, and smaller blocks never do: as without the verifier."""
    outcome = verify("""
        for (ULONG Bytes = 4000; Bytes <= 4096; Bytes++) {
            P = ExAllocatePool2(POOL_FLAG_NON_PAGED, Bytes, TAG);
            if ((BYTE_OFFSET(P) == 0) != (Bytes > 4096 - 32)) {
                DbgPrint("%u bytes at %p\\n", Bytes, P);
                KeBugCheck(1);
            }
            ExFreePool(P);
        }""", "tracking")
    assert outcome.verdict["end"] == "completed", outcome.verdict


def test_low_resources_fail_the_same_calls_for_the_same_seed(verify):
    body = """
        for (ULONG i = 0; i < 1000; i++) {
            P = ExAllocatePool2(POOL_FLAG_NON_PAGED, 16, TAG);
            if (P == NULL) {
                DbgPrint("failed %u\\n", i);
            } else {
                ExFreePool(P);
            }
        }"""
    first, second = (re.findall(r"failed (\d+)", verify(body, "lowres").serial) for _ in range(2))
    assert first == second
    assert 30 <= len(first) <= 100, first


def test_special_pool_that_is_used_up_becomes_normal_pool(verify):
    body = """
        static PVOID Kept[10000];
        ULONG Special = 0, Count = 0;
        while (Count < 10000 && (Kept[Count] = ExAllocatePool2(POOL_FLAG_NON_PAGED, 64, TAG)) != NULL) {
            Special += ((ULONG_PTR)Kept[Count] & 0xFFF) == 0xFC0;
            Count++;
        }
        DbgPrint("special %u of %u\\n", Special, Count);
        while (Count > 0) {
            ExFreePool(Kept[--Count]);
        }"""
    outcome = verify(body, "special-pool")
    assert outcome.verdict["end"] == "completed", outcome.verdict
    special, count = map(int, re.search(r"special (\d+) of (\d+)", outcome.serial).groups())
    assert 200 < special < count == 10000


def test_paged_special_pool_is_pageable_and_keeps_its_contents(verify):
    body = """
        P = ExAllocatePool2(POOL_FLAG_PAGED, 100, TAG);
        RtlFillMemory(P, 100, 0x5A);
        KeRaiseIrql(DISPATCH_LEVEL, &Old);
        BOOLEAN IsResident = MmIsAddressValid(P);
        KeLowerIrql(Old);
        DbgPrint("resident %u, first %x, last %x\\n", IsResident, P[0], P[99]);
        ExFreePool(P);"""
    outcome = verify(body, "special-pool,irql")
    assert "resident 0, first 5a, last 5a" in outcome.serial, outcome.serial


def test_an_unknown_option_is_one_clear_line(verify):
    outcome = verify("", "irql,nonsense")
    assert outcome.serial.count("verifier: no such option: 'nonsense'") == 1
    assert outcome.verdict["end"] == "completed"


def test_a_mask_chooses_as_on_windows(verify):
    outcome = verify(IRQL["raise_down"].body, "0x82")
    assert "bits 0x80 are not built" in outcome.serial
    outcome.assert_bugcheck(0xC4, p1=0x30, expected=False)


def test_a_circle_is_told_with_both_stacks(verify):
    rule = RULES["deadlock_order_of_queued_and_reader_writer"]
    serial = verify(rule.body, rule.option, rule.globals).serial
    assert len(re.findall(r"took (?:reader/writer )?spin lock suspect!", serial)) >= 2
    assert len(re.findall(r"^ +suspect!DriverEntry\+0x[0-9a-f]+ \(suspect\.c:\d+\)", serial, re.MULTILINE)) >= 4


def test_a_leak_is_told_with_who_allocated_it(verify):
    outcome = verify("Driver->DriverUnload = Unload; P = ExAllocatePool2(POOL_FLAG_PAGED, 77, TAG);", "tracking",
                     "static VOID Unload(PDRIVER_OBJECT D) { UNREFERENCED_PARAMETER(D); }", unload=True)
    outcome.assert_bugcheck(0xC4, p1=0x62, p3=0, p4=1, expected=False)
    assert re.search(r"77 bytes of paged pool at [0-9A-F]{16}, tag 'TVer', allocated at", outcome.serial)
    assert "suspect!DriverEntry" in outcome.serial


# Special pool from inside the kernel, where no thunk checks first.
CRASHES = {
    "crash_special_allocation_at_DISPATCH_LEVEL": {"p1": DISPATCH, "p2": 1, "p3": 64, "p4": 0x30},
    "crash_special_allocation_above_DISPATCH_LEVEL": {"p1": 12, "p2": 512, "p3": 64, "p4": 0x30},
    "crash_special_free_at_DISPATCH_LEVEL": {"p1": DISPATCH, "p2": 1, "p4": 0x31},
}


@pytest.mark.parametrize("name", CRASHES)
def test_special_pool_stops_the_machine(boot, name):
    boot(test=name, build=BUILD, cpus=2, seed=1).assert_bugcheck(0xC1, expected=False, **CRASHES[name])


@pytest.mark.parametrize("build", ("checked", "free"))
def test_special_pool_inside(boot, build):
    assert len(boot(test="special", build=build, cpus=2, seed=1).assert_ktap().ktap.results) >= 5
