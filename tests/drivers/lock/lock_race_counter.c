/* lock_race_counter.c: two threads count their requests in one variable, without a lock: some are not counted.
 *
 * expect: race lock_race_counter!CountRequest
 * run: --cpus 2 --races
 */
#include <ntifs.h>

DRIVER_INITIALIZE DriverEntry;

#define REQUESTS 50000

static ULONG Requests;

static VOID CountRequest(VOID) {
    Requests++;
}

/* Both threads are on their CPUs and go on together. */
static VOID Meet(KAFFINITY Processor) {
    static volatile LONG Arrived;
    KeSetSystemAffinityThread(Processor);
    InterlockedIncrement(&Arrived);
    while (Arrived < 2) {
        YieldProcessor();
    }
}

static VOID Serve(PVOID Context) {
    Meet((KAFFINITY)(ULONG_PTR)Context);
    for (ULONG Request = 0; Request < REQUESTS; Request++) {
        CountRequest();
    }
}

static NTSTATUS StartThread(ULONG_PTR Processor) {
    HANDLE Handle;
    NTSTATUS Status = PsCreateSystemThread(&Handle, THREAD_ALL_ACCESS, NULL, NULL, NULL, Serve, (PVOID)Processor);
    if (NT_SUCCESS(Status)) {
        ZwClose(Handle);
    }
    return Status;
}

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING Path) {
    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(Path);
    NTSTATUS Status = StartThread(1);
    return NT_SUCCESS(Status) ? StartThread(2) : Status;
}
