/* offsets.c: structure offsets and constants for the assembler. It is compiled, never linked: the Makefile reads the "@OFFSET" lines
 * out of the compiler's assembly. */
#include <arch.h>
#include <ke.h>

#define OFFSET(Name, Value) __asm__ volatile("@OFFSET " #Name " %0" : : "i"((LONG64)(Value)))

void Offsets(void);
void Offsets(void) {
    OFFSET(THREAD_KERNEL_STACK, offsetof(KTHREAD, KernelStack));
    OFFSET(THREAD_GUARD, offsetof(KTHREAD, Guard));
    OFFSET(PCR_SELF, offsetof(KPCR, Self));
    OFFSET(PCR_PRCB, offsetof(KPCR, CurrentPrcb));
    OFFSET(PCR_CURRENT_THREAD, offsetof(KPCR, Prcb) + offsetof(KPRCB, CurrentThread));
    OFFSET(FRAME_LINK_RBP, offsetof(KTRAP_FRAME, LinkRbp));
    OFFSET(FRAME_PREVIOUS_IRQL, offsetof(KTRAP_FRAME, PreviousIrql));
    OFFSET(FRAME_FAULT_ADDRESS, offsetof(KTRAP_FRAME, FaultAddress));
    OFFSET(FRAME_VECTOR, offsetof(KTRAP_FRAME, Vector));
    OFFSET(FRAME_R15, offsetof(KTRAP_FRAME, R15));
    OFFSET(FRAME_EFLAGS, offsetof(KTRAP_FRAME, EFlags));
    OFFSET(FRAME_RIP, offsetof(KTRAP_FRAME, Rip));
    OFFSET(FRAME_RBP, offsetof(KTRAP_FRAME, Rbp));
    OFFSET(FEATURES_SMAP, offsetof(HAL_FEATURES, Smap));
    OFFSET(THREAD_STACK_BASE, offsetof(KTHREAD, StackBase));
    OFFSET(FRAME_SIZE, sizeof(KTRAP_FRAME));
    OFFSET(VECTOR_NMI, VectorNmi);
    OFFSET(VECTOR_DOUBLE_FAULT, VectorDoubleFault);
    OFFSET(VECTOR_PAGE_FAULT, VectorPageFault);
    OFFSET(VECTOR_MACHINE_CHECK, VectorMachineCheck);
    OFFSET(VECTOR_FAST_FAIL, VectorFastFail);
    OFFSET(VECTOR_APC, VECTOR_APC);
    OFFSET(VECTOR_DISPATCH, VECTOR_DISPATCH);
    OFFSET(VECTOR_SPURIOUS, VECTOR_SPURIOUS);
    OFFSET(SELECTOR_KERNEL_CODE, SELECTOR_KERNEL_CODE);
    OFFSET(SELECTOR_KERNEL_DATA, SELECTOR_KERNEL_DATA);
    OFFSET(KERNEL_STACK_SIZE, KERNEL_STACK_SIZE);
    OFFSET(DPC_STACK_SIZE, DPC_STACK_SIZE);
    OFFSET(IST_STACK_SIZE, IST_STACK_SIZE);
    OFFSET(APC_LEVEL, APC_LEVEL);
    OFFSET(DISPATCH_LEVEL, DISPATCH_LEVEL);
    OFFSET(SYNCH_LEVEL, SYNCH_LEVEL);
    OFFSET(LOCK_QUEUE_WAIT, LOCK_QUEUE_WAIT);
    OFFSET(LOCK_QUEUE_OWNER, LOCK_QUEUE_OWNER);
    OFFSET(LOCK_HANDLE_NEXT, offsetof(KLOCK_QUEUE_HANDLE, LockQueue.Next));
    OFFSET(LOCK_HANDLE_LOCK, offsetof(KLOCK_QUEUE_HANDLE, LockQueue.Lock));
    OFFSET(LOCK_HANDLE_OLD_IRQL, offsetof(KLOCK_QUEUE_HANDLE, OldIrql));
    OFFSET(PCR_SPINNING_WORD, offsetof(KPCR, Prcb) + offsetof(KPRCB, SpinningWord));
    OFFSET(PCR_SPINNING_ON, offsetof(KPCR, Prcb) + offsetof(KPRCB, SpinningOn));
}
