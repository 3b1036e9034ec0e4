/* puppet.c: the hands of the story: load a demo driver, send it a control code, page its memory out. */
#include "story-private.h"
#include <kd.h>
#include <ldr.h>
#include <mm.h>

static NTSTATUS Control(STORY_DRIVER *Driver, ULONG Code, PVOID Input, ULONG InputBytes, PVOID Output,
                        ULONG OutputBytes) {
    KEVENT Event;
    IO_STATUS_BLOCK IoStatus;
    KeInitializeEvent(&Event, NotificationEvent, FALSE);
    PIRP Irp = IoBuildDeviceIoControlRequest(Code, Driver->Object->DeviceObject, Input, InputBytes, Output, OutputBytes,
                                             FALSE, &Event, &IoStatus);
    if (Irp == NULL) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    NTSTATUS Status = IoCallDriver(Driver->Object->DeviceObject, Irp);
    if (Status == STATUS_PENDING) {
        KeWaitForSingleObject(&Event, Executive, KernelMode, FALSE, NULL);
        Status = IoStatus.Status;
    }
    return Status;
}

NTSTATUS StoryLoad(STORY_DRIVER *Driver, PCSTR Name) {
    Driver->Name = Name;
    NTSTATUS Status = LdrLoadDriver(Name, &Driver->Object);
    if (!NT_SUCCESS(Status)) {
        return StoryFail("%s.sys did not load, status 0x%08X", Name, Status);
    }
    return Control(Driver, IOCTL_SECRET_LOCATE, NULL, 0, &Driver->Report, sizeof(Driver->Report));
}

NTSTATUS StoryStore(STORY_DRIVER *Driver, ULONG64 Number) {
    return Control(Driver, IOCTL_SECRET_STORE, &Number, sizeof(Number), NULL, 0);
}

NTSTATUS StoryRead(STORY_DRIVER *Driver, ULONG64 *Number) {
    SECRET_REPORT Report;
    NTSTATUS Status = Control(Driver, IOCTL_SECRET_READ, NULL, 0, &Report, sizeof(Report));
    *Number = NT_SUCCESS(Status) ? Report.Number : 0;
    return Status;
}

/* Does at once what memory pressure does in its own time: the trimmer's step, for this driver's page alone, then the
 * modified-page writer's and the reuse of frames, for all pages that are out of use. */
NTSTATUS StoryPushOut(STORY_DRIVER *Driver) {
    PVOID Address = Driver->Report.Address;
    StoryShowPte("resident:", Address);
    ULONG Trimmed = MmTrimRange(Address, Driver->Report.Bytes);
    StoryShowPte(Trimmed ? "after the trimmer:" : "not pageable:", Address);
    if (Trimmed == 0) {
        return STATUS_SUCCESS;
    }
    MmFlushModifiedPages();
    StoryShowPte("written to the file:", Address);
    MmPurgeStandby();
    StoryShowPte("frame given away:", Address);
    return MmGetPageState((ULONG64)Address, NULL) == PageInFile
               ? STATUS_SUCCESS
               : StoryFail("the page of %p is not in the page file", Address);
}
