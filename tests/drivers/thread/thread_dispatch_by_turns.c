/* thread_dispatch_by_turns.c: two threads of one CPU take turns, each at DISPATCH_LEVEL from tick to tick. Every tick finds
 * the CPU at DISPATCH_LEVEL, for longer than the watchdog's period, and yet it makes progress: it changes threads.
 *
 * expect: completed
 */
#include <ntddk.h>

#define TURNS 150 /* of a tick each; the period is 128 ticks when a driver is judged */

DRIVER_INITIALIZE DriverEntry;

static KEVENT Turn[2];

static VOID SpinUntilTick(VOID) {
    LARGE_INTEGER Before, Now;
    KIRQL OldIrql;
    KeRaiseIrql(DISPATCH_LEVEL, &OldIrql);
    KeQueryTickCount(&Before);
    do {
        YieldProcessor();
        KeQueryTickCount(&Now);
    } while (Now.QuadPart == Before.QuadPart);
    KeLowerIrql(OldIrql);
}

static VOID Worker(PVOID Context) {
    ULONG Number = (ULONG)(ULONG_PTR)Context;
    KeSetSystemAffinityThread(1);
    for (ULONG i = 0; i < TURNS / 2; i++) {
        KeWaitForSingleObject(&Turn[Number], Executive, KernelMode, FALSE, NULL);
        SpinUntilTick();
        KeSetEvent(&Turn[1 - Number], IO_NO_INCREMENT, FALSE);
    }
    if (Number == 1) {
        DbgPrint("all turns taken\n");
    }
}

NTSTATUS DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath) {
    NTSTATUS Status = STATUS_SUCCESS;
    UNREFERENCED_PARAMETER(DriverObject);
    UNREFERENCED_PARAMETER(RegistryPath);
    for (ULONG i = 0; i < 2 && NT_SUCCESS(Status); i++) {
        HANDLE Handle;
        KeInitializeEvent(&Turn[i], SynchronizationEvent, i == 0);
        Status = PsCreateSystemThread(&Handle, THREAD_ALL_ACCESS, NULL, NULL, NULL, Worker, (PVOID)(ULONG_PTR)i);
        if (NT_SUCCESS(Status)) {
            ZwClose(Handle);
        }
    }
    return Status;
}
