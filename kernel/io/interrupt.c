/* interrupt.c: KINTERRUPT: a vector, a service routine, and the spin lock around the data it shares.
 *
 * The service routine runs at the interrupt's own IRQL with the lock held; the rest of the driver touches the shared
 * data inside KeSynchronizeExecution, which raises to that IRQL and takes the same lock. Raising keeps the interrupt
 * off this CPU (it would spin forever on a lock whose holder it has interrupted); the lock keeps other CPUs out. */
#include <arch.h>
#include "iop.h"

volatile LONG64 IoInterruptCount;

/* At the interrupt's IRQL, IF = 1; called by arch/ for the vector. */
static VOID DispatchInterrupt(PVOID Context) {
    PKINTERRUPT Interrupt = Context;
    InterlockedIncrement64(&IoInterruptCount);
    PKPRCB Prcb = KeGetCurrentPrcb();
    KIRQL Irql = KiCurrentIrql();
    KeAcquireSpinLockAtDpcLevel(&Interrupt->SpinLock);
    ULONG Ticks = Prcb->DpcRoutineTicks; /* for the watchdog: the time that passes is this routine's, not a DPC's */
    Prcb->DpcRoutineTicks = 0;
    Prcb->ServiceDepth++;
    Interrupt->ServiceRoutine(Interrupt, Interrupt->ServiceContext);
    Prcb->ServiceDepth--;
    Prcb->DpcRoutineTicks = Ticks;
    KIRQL Now = KiCurrentIrql();
    if (Now != Irql) { /* IRQL_UNEXPECTED_VALUE (current, expected, 3; service routine; interrupt object), as on NT */
        KeBugCheckEx(IRQL_UNEXPECTED_VALUE, (ULONG_PTR)Now << 16 | (ULONG_PTR)Irql << 8 | 3,
                     (ULONG_PTR)Interrupt->ServiceRoutine, (ULONG_PTR)Interrupt, 0);
    }
    KeReleaseSpinLockFromDpcLevel(&Interrupt->SpinLock);
}

/* Interrupts go to the CPUs in turn, so that two disks do not wait for each other's service routines. */
static ULONG ChooseProcessor(VOID) {
    static volatile LONG Next;
    return (ULONG)InterlockedIncrement(&Next) % KeNumberProcessors;
}

PKINTERRUPT IopCreateInterrupt(PKSERVICE_ROUTINE ServiceRoutine, PVOID ServiceContext) {
    PAGED_CODE();
    PKINTERRUPT Interrupt = ExAllocatePoolWithTag(NonPagedPoolNx, sizeof(*Interrupt), TAG_IO);
    if (Interrupt == NULL) {
        return NULL;
    }
    *Interrupt = (struct _KINTERRUPT){.ServiceRoutine = ServiceRoutine,
                                      .ServiceContext = ServiceContext,
                                      .SynchronizeIrql = IOP_DEVICE_IRQL,
                                      .Processor = ChooseProcessor()};
    KeInitializeSpinLock(&Interrupt->SpinLock);
    Interrupt->Vector = HalConnectVector(IOP_DEVICE_IRQL, DispatchInterrupt, Interrupt);
    if (Interrupt->Vector == 0) {
        ExFreePoolWithTag(Interrupt, TAG_IO);
        return NULL;
    }
    return Interrupt;
}

/* A message may have been sent just before the device was silenced. While this thread runs at PASSIVE_LEVEL on the
 * CPU that takes the messages, none is pending there and no service routine is half done. */
VOID IopDeleteInterrupt(PKINTERRUPT Interrupt) {
    PAGED_CODE();
    KAFFINITY Old = KeSetSystemAffinityThreadEx((KAFFINITY)1 << Interrupt->Processor);
    HalDisconnectVector(Interrupt->Vector);
    KeRevertToUserAffinityThreadEx(Old);
    ExFreePoolWithTag(Interrupt, TAG_IO);
}
