/* group.c: CPUs as drivers ask for them: by number, by mask, by group. There is one group, of at most 64 CPUs. */
#include "ki.h"

static BOOLEAN IsKnownGroup(USHORT Group) {
    return Group == 0 || Group == ALL_PROCESSOR_GROUPS;
}

/* As KeGetCurrentProcessorNumber; ProcNumber may be NULL. wdm.h: KeGetCurrentProcessorNumberEx. */
ULONG KeGetCurrentProcessorNumberEx(PPROCESSOR_NUMBER ProcNumber) {
    ULONG Number = KeGetCurrentPrcb()->Number;
    if (ProcNumber != NULL) {
        *ProcNumber = (PROCESSOR_NUMBER){.Number = (UCHAR)Number};
    }
    return Number;
}

ULONG KeGetCurrentProcessorIndex(VOID) {
    return KeGetCurrentPrcb()->Number;
}

/* Any IRQL. STATUS_INVALID_PARAMETER: there is no such CPU. wdm.h: KeGetProcessorNumberFromIndex. */
NTSTATUS KeGetProcessorNumberFromIndex(ULONG ProcIndex, PPROCESSOR_NUMBER ProcNumber) {
    if (ProcIndex >= KeNumberProcessors) {
        return STATUS_INVALID_PARAMETER;
    }
    *ProcNumber = (PROCESSOR_NUMBER){.Number = (UCHAR)ProcIndex};
    return STATUS_SUCCESS;
}

/* Any IRQL. INVALID_PROCESSOR_INDEX: there is no such CPU. wdm.h: KeGetProcessorIndexFromNumber. */
ULONG KeGetProcessorIndexFromNumber(PPROCESSOR_NUMBER ProcNumber) {
    BOOLEAN IsKnown = ProcNumber->Group == 0 && ProcNumber->Number < KeNumberProcessors && ProcNumber->Reserved == 0;
    return IsKnown ? ProcNumber->Number : INVALID_PROCESSOR_INDEX;
}

KAFFINITY KeQueryActiveProcessors(VOID) {
    return KeActiveProcessors;
}

/* 0: there is no such group. Any IRQL. wdm.h: KeQueryActiveProcessorCountEx. */
ULONG KeQueryActiveProcessorCountEx(USHORT GroupNumber) {
    return IsKnownGroup(GroupNumber) ? KeNumberProcessors : 0;
}

ULONG KeQueryMaximumProcessorCount(VOID) {
    return MAXIMUM_PROCESSORS;
}

ULONG KeQueryMaximumProcessorCountEx(USHORT GroupNumber) {
    return IsKnownGroup(GroupNumber) ? MAXIMUM_PROCESSORS : 0;
}

USHORT KeQueryActiveGroupCount(VOID) {
    return 1;
}

USHORT KeQueryMaximumGroupCount(VOID) {
    return 1;
}

KAFFINITY KeQueryGroupAffinity(USHORT GroupNumber) {
    return GroupNumber == 0 ? KeActiveProcessors : 0;
}

/* As KeSetSystemAffinityThreadEx, which see; PreviousAffinity may be NULL, and gets a mask of 0 when the thread was not
 * bound, or when Affinity names no existing CPU. wdm.h: KeSetSystemGroupAffinityThread. */
VOID KeSetSystemGroupAffinityThread(PGROUP_AFFINITY Affinity, PGROUP_AFFINITY PreviousAffinity) {
    BOOLEAN IsGood = Affinity->Group == 0 && (Affinity->Mask & KeActiveProcessors) != 0;
    KAFFINITY Previous = IsGood ? KeSetSystemAffinityThreadEx(Affinity->Mask) : 0;
    if (PreviousAffinity != NULL) {
        *PreviousAffinity = (GROUP_AFFINITY){.Mask = Previous};
    }
}

/* PreviousAffinity comes from KeSetSystemGroupAffinityThread. wdm.h: KeRevertToUserGroupAffinityThread. */
VOID KeRevertToUserGroupAffinityThread(PGROUP_AFFINITY PreviousAffinity) {
    KeRevertToUserAffinityThreadEx(PreviousAffinity->Mask);
}

/* Any IRQL. STATUS_INVALID_PARAMETER: there is no such CPU, and the DPC keeps its target. wdm.h:
 * KeSetTargetProcessorDpcEx. */
NTSTATUS KeSetTargetProcessorDpcEx(PKDPC Dpc, PPROCESSOR_NUMBER ProcNumber) {
    ULONG Index = KeGetProcessorIndexFromNumber(ProcNumber);
    if (Index == INVALID_PROCESSOR_INDEX) {
        return STATUS_INVALID_PARAMETER;
    }
    KeSetTargetProcessorDpc(Dpc, (CCHAR)Index);
    return STATUS_SUCCESS;
}
