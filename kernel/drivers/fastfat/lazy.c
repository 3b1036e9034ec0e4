/* lazy.c: the lazy writer: files' gathered writes reach the disk within a second.
 *
 *      first dirty page --> timer, LAZY_MS --> DPC --> work item: writes all of them, at PASSIVE_LEVEL
 *
 * The VCB's resource guards the pages, so a close, a deletion or a truncation comes before or after the work item, never
 * during it. IsLazyWriterStarted is set from the first dirty page until the work item has the resource: there is never a
 * second one. A page that cannot be written stays dirty, and starts the timer anew. */
#include "fastfat.h"

#define LAZY_MS 1000
#define UNITS_PER_MS 10000

PAGEABLE VOID FatStartLazyWriter(PVCB Vcb) {
    LARGE_INTEGER Due = {.QuadPart = -LAZY_MS * UNITS_PER_MS};
    if (!Vcb->IsLazyWriterStarted) {
        Vcb->IsLazyWriterStarted = TRUE;
        KeSetTimer(&Vcb->LazyTimer, Due, &Vcb->LazyDpc);
    }
}

PAGEABLE NTSTATUS FatFlushAll(PVCB Vcb) {
    NTSTATUS First = STATUS_SUCCESS;
    for (PLIST_ENTRY Entry = Vcb->Pages.Flink; Entry != &Vcb->Pages; Entry = Entry->Flink) {
        NTSTATUS Status = FatFlush(Vcb, CONTAINING_RECORD(Entry, FCB, Page.ListEntry));
        First = NT_SUCCESS(First) ? Status : First;
    }
    return First;
}

PAGEABLE static VOID WriteLazily(PDEVICE_OBJECT DeviceObject, PVOID Context) {
    PVCB Vcb = Context;
    UNREFERENCED_PARAMETER(DeviceObject);
    FsRtlEnterFileSystem();
    ExAcquireResourceExclusiveLite(&Vcb->Resource, TRUE);
    Vcb->IsLazyWriterStarted = FALSE;
    if (!NT_SUCCESS(FatFlushAll(Vcb))) {
        FatStartLazyWriter(Vcb);
    }
    ExReleaseResourceLite(&Vcb->Resource);
    FsRtlExitFileSystem();
}

/* DISPATCH_LEVEL: the pages are out of reach here. */
static VOID QueueLazyWriter(PKDPC Dpc, PVOID Context, PVOID Argument1, PVOID Argument2) {
    PVCB Vcb = Context;
    UNREFERENCED_PARAMETER(Dpc);
    UNREFERENCED_PARAMETER(Argument1);
    UNREFERENCED_PARAMETER(Argument2);
    IoQueueWorkItem(Vcb->LazyItem, WriteLazily, DelayedWorkQueue, Vcb);
}

PAGEABLE NTSTATUS FatInitializeLazyWriter(PVCB Vcb, PDEVICE_OBJECT Device) {
    KeInitializeTimer(&Vcb->LazyTimer);
    KeInitializeDpc(&Vcb->LazyDpc, QueueLazyWriter, Vcb);
    Vcb->LazyItem = IoAllocateWorkItem(Device);
    return Vcb->LazyItem == NULL ? STATUS_INSUFFICIENT_RESOURCES : STATUS_SUCCESS;
}
