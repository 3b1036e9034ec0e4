/* interrupts.c: the routine that each interrupt vector calls. Its level is vector >> 4: a driver asks for a level and
 * gets a vector.
 *
 * An interrupt is acknowledged (EOI) before its routine runs, not after: CR8 alone keeps equal and lower levels out,
 * and the local APIC may remember the next one of the same vector meanwhile. A routine therefore never misses an edge
 * or a message, and is never entered twice on one CPU. A level-triggered line that it has quieted may cost it one call
 * with nothing to do. */
#include "hal.h"
#include <trace.h>

#define VECTORS_PER_LEVEL 16
#define FIRST_DEVICE_LEVEL (VECTOR_FIRST_DEVICE >> 4)
#define LAST_DEVICE_LEVEL (VECTOR_LAST_DEVICE >> 4)
#define DEVICE_VECTORS (VECTOR_LAST_DEVICE - VECTOR_FIRST_DEVICE + 1)
#define APIC_IN_SERVICE 0x100 /* eight registers of 32 vectors, 16 bytes apart */

typedef struct _DEVICE_VECTOR {
    PHAL_INTERRUPT_ROUTINE Routine; /* NULL: free, or being set up */
    PVOID Context;
    volatile LONG IsTaken;
} DEVICE_VECTOR;

static DEVICE_VECTOR DeviceVectors[DEVICE_VECTORS];
static volatile LONG64 UnexpectedInterrupts; /* for a debugger */

UCHAR HalConnectVector(KIRQL Irql, PHAL_INTERRUPT_ROUTINE Routine, PVOID Context) {
    if (Irql < FIRST_DEVICE_LEVEL || Irql > LAST_DEVICE_LEVEL) {
        return 0;
    }
    ULONG First = (ULONG)(Irql - FIRST_DEVICE_LEVEL) * VECTORS_PER_LEVEL;
    for (ULONG Index = First; Index < First + VECTORS_PER_LEVEL; Index++) {
        DEVICE_VECTOR *Device = &DeviceVectors[Index];
        if (InterlockedCompareExchange(&Device->IsTaken, TRUE, FALSE) == FALSE) {
            Device->Context = Context;
            /* Pairs with the acquire in CallDevice: a CPU that sees the routine sees its context. */
            __atomic_store_n(&Device->Routine, Routine, __ATOMIC_RELEASE);
            return (UCHAR)(VECTOR_FIRST_DEVICE + Index);
        }
    }
    return 0;
}

/* PASSIVE_LEVEL, waits. The device must have stopped sending. When this returns, the routine runs on no CPU and will
 * not run again: a CPU that is still in it is above DISPATCH_LEVEL, and each CPU has been below it since. */
VOID HalDisconnectVector(UCHAR Vector) {
    if (Vector < VECTOR_FIRST_DEVICE || Vector > VECTOR_LAST_DEVICE) {
        return;
    }
    DEVICE_VECTOR *Device = &DeviceVectors[Vector - VECTOR_FIRST_DEVICE];
    __atomic_store_n(&Device->Routine, NULL, __ATOMIC_SEQ_CST);
    KeFlushQueuedDpcs();
    __atomic_store_n(&Device->IsTaken, FALSE, __ATOMIC_RELEASE);
}

static VOID CallDevice(ULONG Vector) {
    const DEVICE_VECTOR *Device = &DeviceVectors[Vector - VECTOR_FIRST_DEVICE];
    PHAL_INTERRUPT_ROUTINE Routine = __atomic_load_n(&Device->Routine, __ATOMIC_ACQUIRE);
    if (Routine == NULL) {
        InterlockedIncrement64(&UnexpectedInterrupts);
        return;
    }
    Routine(Device->Context);
    KIRQL Level = (KIRQL)(Vector >> 4), Now = KiCurrentIrql();
    if (Now != Level) {
        KeBugCheckEx(IRQL_UNEXPECTED_VALUE, (ULONG_PTR)Now << 16 | (ULONG_PTR)Level << 8 | 3, (ULONG_PTR)Routine,
                     (ULONG_PTR)Device->Context, 0);
    }
}

/* The local APIC's own complaint (an illegal vector was sent or received): reading clears it. */
static VOID AcknowledgeApicError(VOID) {
    HalpWriteApic(APIC_ERROR_STATUS, 0);
    InterlockedIncrement64(&UnexpectedInterrupts);
}

static VOID CallRoutine(PKTRAP_FRAME Frame) {
    switch (Frame->Vector) {
    case VECTOR_CLOCK:
        HalpClockInterrupt(Frame);
        break;
    case VECTOR_IPI:
        KiIpiInterrupt(Frame);
        break;
    case VECTOR_APIC_ERROR:
        AcknowledgeApicError();
        break;
    default:
        if (Frame->Vector >= VECTOR_FIRST_DEVICE && Frame->Vector <= VECTOR_LAST_DEVICE) {
            CallDevice((ULONG)Frame->Vector);
        } else {
            InterlockedIncrement64(&UnexpectedInterrupts);
        }
    }
}

/* IF = 0 still: Prcb is that of the CPU that the interrupt came to. */
static FORCEINLINE VOID Acknowledge(PKPRCB Prcb, PKTRAP_FRAME Frame) {
    HalpWriteApic(APIC_EOI, 0);
    Prcb->InterruptCount++;
    if (HalpHasJitter && Prcb->CurrentThread == Prcb->IdleThread && Frame->Vector != VECTOR_CLOCK) {
        HalpArmJitter(Prcb); /* it may bring the idle CPU work: clock.c */
    }
}

/* Both run where the thread cannot change its CPU. The clock of a seeded run comes every few thousand instructions:
 * clock.c records only the ticks among its interrupts. */
static FORCEINLINE BOOLEAN IsTraced(const KTRAP_FRAME *Frame) {
    return Frame->Vector != VECTOR_CLOCK || !HalpHasJitter;
}

static FORCEINLINE VOID TraceEntry(const KTRAP_FRAME *Frame) {
    KdTrace(TraceInterrupt, (ULONG)Frame->PreviousIrql, Frame->Vector, Frame->Rip, 0);
}

static FORCEINLINE VOID TraceExit(const KTRAP_FRAME *Frame) {
    KdTrace(TraceInterruptEnd, (ULONG)Frame->PreviousIrql, Frame->Vector, Frame->Rip, 0);
}

/* From trap.asm, for a device, the clock, an IPI, with CR8 = vector >> 4 and IF = 0; returns so, but with IF = 1. No
 * thread switches above DISPATCH_LEVEL, so PRCB.InterruptFrame is a stack. */
VOID KiInterrupt(PKTRAP_FRAME Frame) {
    PKPRCB Prcb = KeGetCurrentPrcb();
    Acknowledge(Prcb, Frame);
    BOOLEAN HasTrace = IsTraced(Frame);
    if (HasTrace) {
        TraceEntry(Frame);
    }
    PKTRAP_FRAME Outer = Prcb->InterruptFrame;
    Prcb->InterruptFrame = Frame;
    _enable();
    CallRoutine(Frame);
    Prcb->InterruptFrame = Outer;
    if (HasTrace) {
        TraceExit(Frame);
    }
}

/* From trap.asm, vector 0x2F at DISPATCH_LEVEL, in the same way. It may switch threads: the call then returns on the
 * CPU that takes the interrupted thread up again. */
VOID KiDpcInterrupt(PKTRAP_FRAME Frame) {
    Acknowledge(KeGetCurrentPrcb(), Frame);
    TraceEntry(Frame);
    _enable();
    KiDispatchInterrupt();
    TraceExit(Frame);
}

/* From trap.asm, vector 0x1F at APC_LEVEL, in the same way. */
VOID KiApcInterrupt(PKTRAP_FRAME Frame) {
    Acknowledge(KeGetCurrentPrcb(), Frame);
    TraceEntry(Frame);
    _enable();
    KiDeliverApc();
    _disable(); /* as trap.asm is about to: at APC_LEVEL the thread could still be moved */
    TraceExit(Frame);
}

/* TRUE when the local APIC is delivering vector 0x1F at this moment: its in-service bit is set, no EOI has been
 * sent. */
BOOLEAN KiIsApcInterrupt(VOID) {
    return HalpReadApic(APIC_IN_SERVICE + VECTOR_APC / 32 * 16) >> (VECTOR_APC % 32) & 1;
}
