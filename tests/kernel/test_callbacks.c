/* test_callbacks.c: notification routines, registry callbacks, handle callbacks, callback objects: limits and statuses. */
#include "ktest.h"
#include <ldr.h>
#include <ob.h>

static VOID OnThread(HANDLE ProcessId, HANDLE ThreadId, BOOLEAN Create) {
    UNREFERENCED_PARAMETER(ProcessId);
    UNREFERENCED_PARAMETER(ThreadId);
    UNREFERENCED_PARAMETER(Create);
}

static VOID OnProcess(HANDLE ParentId, HANDLE ProcessId, BOOLEAN Create) {
    OnThread(ParentId, ProcessId, Create);
}

static VOID OnProcessEx(PEPROCESS Process, HANDLE ProcessId, PPS_CREATE_NOTIFY_INFO CreateInfo) {
    UNREFERENCED_PARAMETER(Process);
    UNREFERENCED_PARAMETER(ProcessId);
    UNREFERENCED_PARAMETER(CreateInfo);
}

KTEST(PsSetCreateThreadNotifyRoutine_takes_64_and_gives_each_back) {
    ULONG Count = 0;
    while (Count < 100 && NT_SUCCESS(PsSetCreateThreadNotifyRoutine(OnThread))) {
        Count++;
    }
    KT_EXPECT_EQ(Count, 64);
    KT_EXPECT_EQ(PsSetCreateThreadNotifyRoutine(OnThread), STATUS_INSUFFICIENT_RESOURCES);
    while (Count-- > 0) {
        KT_EXPECT_EQ(PsRemoveCreateThreadNotifyRoutine(OnThread), STATUS_SUCCESS);
    }
    KT_EXPECT_EQ(PsRemoveCreateThreadNotifyRoutine(OnThread), STATUS_PROCEDURE_NOT_FOUND);
}

KTEST(PsSetCreateProcessNotifyRoutine_takes_each_once) {
    KT_EXPECT_EQ(PsSetCreateProcessNotifyRoutine(OnProcess, TRUE), STATUS_PROCEDURE_NOT_FOUND);
    KT_EXPECT_EQ(PsSetCreateProcessNotifyRoutine(OnProcess, FALSE), STATUS_SUCCESS);
    KT_EXPECT_EQ(PsSetCreateProcessNotifyRoutine(OnProcess, FALSE), STATUS_INVALID_PARAMETER);
    KT_EXPECT_EQ(PsSetCreateProcessNotifyRoutine(OnProcess, TRUE), STATUS_SUCCESS);
    KT_EXPECT_EQ(PsSetCreateProcessNotifyRoutineEx(OnProcessEx, FALSE), STATUS_ACCESS_DENIED);
}

/* Two entries, one after the other: a thread is inside the routine while the other removes it. */
static KEVENT Inside, Go;
static volatile BOOLEAN IsRemoved;

static VOID Slow(HANDLE ProcessId, HANDLE ThreadId, BOOLEAN Create) {
    UNREFERENCED_PARAMETER(ProcessId);
    UNREFERENCED_PARAMETER(ThreadId);
    if (!Create && !KeReadStateEvent(&Inside)) {
        KeSetEvent(&Inside, IO_NO_INCREMENT, FALSE);
        KeWaitForSingleObject(&Go, Executive, KernelMode, FALSE, NULL);
        KT_EXPECT(!IsRemoved);
    }
}

static VOID Nothing(PVOID Context) {
    UNREFERENCED_PARAMETER(Context);
}

static VOID Remove(PVOID Context) {
    UNREFERENCED_PARAMETER(Context);
    KT_EXPECT_EQ(PsRemoveCreateThreadNotifyRoutine(Slow), STATUS_SUCCESS);
    IsRemoved = TRUE;
}

/* And nothing has changed: each of the 64 places can still be had. */
KTEST(a_notify_routine_that_is_not_there_cannot_be_removed) {
    ULONG Count = 0;
    KT_EXPECT_EQ(PsRemoveCreateThreadNotifyRoutine(NULL), STATUS_PROCEDURE_NOT_FOUND);
    KT_EXPECT_EQ(PsRemoveLoadImageNotifyRoutine(NULL), STATUS_PROCEDURE_NOT_FOUND);
    KT_EXPECT_EQ(PsSetCreateProcessNotifyRoutine(NULL, TRUE), STATUS_PROCEDURE_NOT_FOUND);
    KT_EXPECT_EQ(PsSetCreateProcessNotifyRoutineEx(NULL, TRUE), STATUS_PROCEDURE_NOT_FOUND);
    KT_EXPECT_EQ(PsSetCreateProcessNotifyRoutineEx2(PsCreateProcessNotifySubsystems, NULL, TRUE),
                 STATUS_PROCEDURE_NOT_FOUND);
    KT_EXPECT_EQ(PsSetCreateProcessNotifyRoutineEx2(PsCreateProcessNotifySubsystems + 1, NULL, TRUE),
                 STATUS_INVALID_PARAMETER);
    KT_EXPECT_EQ(PsSetCreateProcessNotifyRoutine(OnProcess, FALSE), STATUS_SUCCESS);
    KT_EXPECT_EQ(PsSetCreateProcessNotifyRoutineEx(OnProcessEx, TRUE), STATUS_PROCEDURE_NOT_FOUND);
    KT_EXPECT_EQ(PsSetCreateProcessNotifyRoutine(OnProcess, TRUE), STATUS_SUCCESS);
    while (Count < 100 && NT_SUCCESS(PsSetCreateThreadNotifyRoutine(OnThread))) {
        Count++;
    }
    KT_EXPECT_EQ(Count, 64);
    while (Count-- != 0) {
        KT_EXPECT_EQ(PsRemoveCreateThreadNotifyRoutine(OnThread), STATUS_SUCCESS);
    }
}

KTEST(PsRemoveCreateThreadNotifyRoutine_waits_for_who_is_inside) {
    KT_THREAD Short, Remover;
    KeInitializeEvent(&Inside, NotificationEvent, FALSE);
    KeInitializeEvent(&Go, NotificationEvent, FALSE);
    IsRemoved = FALSE;
    KT_REQUIRE(NT_SUCCESS(PsSetCreateThreadNotifyRoutine(Slow)));
    KT_REQUIRE(KtCreateThread(&Short, "short", 8, KT_ANY_PROCESSOR, Nothing, NULL));
    KeWaitForSingleObject(&Inside, Executive, KernelMode, FALSE, NULL);
    KT_REQUIRE(KtCreateThread(&Remover, "remover", 8, KT_ANY_PROCESSOR, Remove, NULL));
    KtSleep(20);
    KT_EXPECT(!IsRemoved);
    KeSetEvent(&Go, IO_NO_INCREMENT, FALSE);
    KtJoin(&Short);
    KtJoin(&Remover);
    KT_EXPECT(IsRemoved);
}

KTEST(ObCompareAltitudes_compares_numbers) {
    static const struct {
        PCWSTR A, B;
        LONG Sign;
    } Cases[] = {{L"1", L"2", -1},     {L"10", L"9", 1},           {L"007", L"7", 0}, {L"385201.5", L"385201", 1},
                 {L"1.5", L"1.25", 1}, {L"45000", L"385201.5", -1}};
    for (ULONG i = 0; i < RTL_NUMBER_OF(Cases); i++) {
        UNICODE_STRING A, B;
        RtlInitUnicodeString(&A, Cases[i].A);
        RtlInitUnicodeString(&B, Cases[i].B);
        LONG Order = ObCompareAltitudes(&A, &B);
        KT_EXPECT_EQ((Order > 0) - (Order < 0), Cases[i].Sign);
    }
}

KTEST(PsLookup_finds_System_and_this_thread_only) {
    PEPROCESS Process;
    PETHREAD Thread;
    KT_EXPECT_EQ(PsLookupProcessByProcessId(NULL, &Process), STATUS_INVALID_CID);
    KT_REQUIRE(NT_SUCCESS(PsLookupProcessByProcessId(ULongToHandle(4), &Process)));
    KT_EXPECT(Process == PsInitialSystemProcess && Process == PsGetCurrentProcess());
    ObDereferenceObject(Process);
    KT_REQUIRE(NT_SUCCESS(PsLookupThreadByThreadId(PsGetCurrentThreadId(), &Thread)));
    KT_EXPECT(Thread == PsGetCurrentThread());
    ObDereferenceObject(Thread);
    KT_EXPECT_EQ(PsLookupThreadByThreadId(ULongToHandle(2), &Thread), STATUS_INVALID_CID);
}
