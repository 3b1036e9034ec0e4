/* test_names.c: the name space: directories, symbolic links, paths and their objects, and handles with rights. */
#include <ob.h>
#include "../../kernel/io/iop.h"
#include "iotest.h"

static UNICODE_STRING Text(PCWSTR String) {
    UNICODE_STRING Result;
    RtlInitUnicodeString(&Result, String);
    return Result;
}

static NTSTATUS Find(PCWSTR Path, ULONG Attributes, PVOID *Object) {
    UNICODE_STRING Name = Text(Path);
    return ObReferenceObjectByName(&Name, Attributes, NULL, 0, NULL, KernelMode, NULL, Object);
}

static NTSTATUS Probe(PCWSTR Path, ULONG Attributes) {
    PVOID Object;
    NTSTATUS Status = Find(Path, Attributes, &Object);
    if (NT_SUCCESS(Status)) {
        ObDereferenceObject(Object);
    }
    return Status;
}

KTEST(names_say_what_is_wrong_with_a_path) {
    KT_EXPECT_EQ(Probe(L"\\Device", 0), STATUS_SUCCESS);
    KT_EXPECT_EQ(Probe(L"\\", 0), STATUS_SUCCESS);
    KT_EXPECT_EQ(Probe(L"\\device", 0), STATUS_OBJECT_NAME_NOT_FOUND);
    KT_EXPECT_EQ(Probe(L"\\device", OBJ_CASE_INSENSITIVE), STATUS_SUCCESS);
    KT_EXPECT_EQ(Probe(L"\\Device\\KtNone", 0), STATUS_OBJECT_NAME_NOT_FOUND);
    KT_EXPECT_EQ(Probe(L"\\Nowhere\\KtNone", 0), STATUS_OBJECT_PATH_NOT_FOUND);
    KT_EXPECT_EQ(Probe(L"Device", 0), STATUS_OBJECT_PATH_SYNTAX_BAD);
    KT_EXPECT_EQ(Probe(L"", 0), STATUS_OBJECT_PATH_SYNTAX_BAD);
}

KTEST(names_a_symbolic_link_leads_to_its_target_until_it_is_deleted) {
    PDRIVER_OBJECT Driver = IotCreateDriver();
    PDEVICE_OBJECT Device = IotCreateDevice(Driver, L"\\Device\\KtLinked", 1);
    UNICODE_STRING Link = Text(L"\\DosDevices\\KtLink"), Target = Text(L"\\Device\\KtLinked");
    PVOID Object;
    KT_EXPECT_EQ(IoCreateSymbolicLink(&Link, &Target), STATUS_SUCCESS);
    KT_EXPECT_EQ(IoCreateSymbolicLink(&Link, &Target), STATUS_OBJECT_NAME_COLLISION);
    static const PCWSTR Paths[] = {L"\\??\\KtLink", L"\\DosDevices\\KtLink", L"\\GLOBAL??\\KtLink",
                                   L"\\??\\GLOBALROOT\\Device\\KtLinked", L"\\??\\Global\\KtLink"};
    for (ULONG i = 0; i < RTL_NUMBER_OF(Paths); i++) {
        KT_EXPECT_EQ(Find(Paths[i], OBJ_CASE_INSENSITIVE, &Object), STATUS_SUCCESS);
        KT_EXPECT_EQ(Object, Device);
        ObDereferenceObject(Object);
    }
    KT_EXPECT_EQ(IoDeleteSymbolicLink(&Link), STATUS_SUCCESS);
    KT_EXPECT_EQ(IoDeleteSymbolicLink(&Link), STATUS_OBJECT_NAME_NOT_FOUND);
    KT_EXPECT_EQ(IoDeleteSymbolicLink(&Target), STATUS_OBJECT_TYPE_MISMATCH);
    KT_EXPECT_EQ(Probe(L"\\??\\KtLink", 0), STATUS_OBJECT_NAME_NOT_FOUND);
    IoDeleteDevice(Device);
    IopDeleteDriverObject(Driver);
}

KTEST(names_a_link_to_itself_is_given_up) {
    UNICODE_STRING Link = Text(L"\\??\\KtLoop");
    KT_EXPECT_EQ(IoCreateSymbolicLink(&Link, &Link), STATUS_SUCCESS);
    KT_EXPECT_EQ(Probe(L"\\??\\KtLoop", 0), STATUS_OBJECT_NAME_INVALID);
    KT_EXPECT_EQ(IoDeleteSymbolicLink(&Link), STATUS_SUCCESS);
}

KTEST(names_are_looked_up_at_DISPATCH_LEVEL) {
    KIRQL OldIrql = KeRaiseIrqlToDpcLevel();
    NTSTATUS Status = Probe(L"\\Device", 0);
    KeLowerIrql(OldIrql);
    KT_EXPECT_EQ(Status, STATUS_SUCCESS);
}

KTEST(names_a_temporary_object_loses_its_name_with_its_last_handle) {
    UNICODE_STRING Name = Text(L"\\KernelObjects\\KtEvent");
    OBJECT_ATTRIBUTES Attributes;
    HANDLE First, Second;
    InitializeObjectAttributes(&Attributes, &Name, OBJ_CASE_INSENSITIVE, NULL, NULL);
    KT_REQUIRE(ZwCreateEvent(&First, EVENT_ALL_ACCESS, &Attributes, NotificationEvent, FALSE) == STATUS_SUCCESS);
    KT_EXPECT_EQ(ZwCreateEvent(&Second, EVENT_ALL_ACCESS, &Attributes, NotificationEvent, FALSE),
                 STATUS_OBJECT_NAME_COLLISION);
    Attributes.Attributes |= OBJ_OPENIF;
    KT_EXPECT_EQ(ZwCreateEvent(&Second, EVENT_ALL_ACCESS, &Attributes, NotificationEvent, FALSE),
                 STATUS_OBJECT_NAME_EXISTS);
    KT_EXPECT_EQ(ZwSetEvent(First, NULL), STATUS_SUCCESS);
    LONG Previous = 0;
    KT_EXPECT_EQ(ZwResetEvent(Second, &Previous), STATUS_SUCCESS);
    KT_EXPECT_EQ(Previous, 1); /* one event */
    ZwClose(First);
    KT_EXPECT_EQ(Probe(L"\\KernelObjects\\KtEvent", 0), STATUS_SUCCESS);
    ZwClose(Second);
    KT_EXPECT_EQ(Probe(L"\\KernelObjects\\KtEvent", 0), STATUS_OBJECT_NAME_NOT_FOUND);
}

static HANDLE Reopened;
static BOOLEAN MustReopen;

static NTSTATUS OpenAtClose(PVOID Object) {
    if (MustReopen) {
        MustReopen = FALSE;
        ObInsertHandle(Object, &Reopened);
    }
    return STATUS_SUCCESS;
}

/* As by a thread that opens the object between the close of its last handle and the removal of its name. */
KTEST(names_of_an_object_that_is_opened_again_while_it_is_closed_stay) {
    static OBJECT_TYPE Type = {
        .Name = "KtType", .Close = OpenAtClose, .ValidAccess = STANDARD_RIGHTS_ALL, .WaitOffset = OB_NOT_WAITABLE};
    UNICODE_STRING Name = Text(L"\\KernelObjects\\KtReopened");
    HANDLE First;
    PVOID Object = ObCreateObject(&Type, 16);
    KT_REQUIRE(Object != NULL);
    KT_EXPECT_EQ(ObInsertName(Object, NULL, &Name, 0, FALSE), STATUS_SUCCESS);
    KT_EXPECT_EQ(ObInsertHandle(Object, &First), STATUS_SUCCESS);
    MustReopen = TRUE;
    ZwClose(First);
    KT_EXPECT_EQ(Probe(L"\\KernelObjects\\KtReopened", 0), STATUS_SUCCESS);
    ZwClose(Reopened);
    KT_EXPECT_EQ(Probe(L"\\KernelObjects\\KtReopened", 0), STATUS_OBJECT_NAME_NOT_FOUND);
    ObDereferenceObject(Object);
}

static volatile BOOLEAN GuestMustGo;

static VOID OpenAndClose(PVOID Context) {
    UNICODE_STRING Name = Text(L"\\KernelObjects\\KtVisited");
    OBJECT_ATTRIBUTES Attributes;
    HANDLE Event;
    UNREFERENCED_PARAMETER(Context);
    InitializeObjectAttributes(&Attributes, &Name, 0, NULL, NULL);
    while (!GuestMustGo) {
        if (NT_SUCCESS(ZwOpenEvent(&Event, EVENT_ALL_ACCESS, &Attributes))) {
            ZwClose(Event);
        }
        YieldProcessor();
    }
}

/* A guest may open the object, and close it again, before its maker has a handle. */
KTEST(names_of_a_new_object_outlive_a_guest) {
    UNICODE_STRING Name = Text(L"\\KernelObjects\\KtVisited");
    OBJECT_ATTRIBUTES Attributes;
    KT_THREAD Guest;
    KT_NEEDS_PROCESSORS(2);
    InitializeObjectAttributes(&Attributes, &Name, 0, NULL, NULL);
    GuestMustGo = FALSE;
    KT_REQUIRE(KtCreateThread(&Guest, "guest", 8, KT_ANY_PROCESSOR, OpenAndClose, NULL));
    for (ULONG i = 0; i < KtStress(3000); i++) {
        HANDLE Event;
        NTSTATUS Status = ZwCreateEvent(&Event, EVENT_ALL_ACCESS, &Attributes, NotificationEvent, FALSE);
        if (NT_SUCCESS(Status)) {
            KT_EXPECT_EQ(Probe(L"\\KernelObjects\\KtVisited", 0), STATUS_SUCCESS);
            ZwClose(Event);
        } else {
            KT_EXPECT_EQ(Status, STATUS_OBJECT_NAME_COLLISION); /* the guest's handle keeps the last one */
        }
    }
    GuestMustGo = TRUE;
    KtJoin(&Guest);
}

KTEST(names_are_found_again_from_the_object) {
    struct {
        OBJECT_NAME_INFORMATION Information;
        WCHAR Text[40];
    } Name;
    PDRIVER_OBJECT Driver = IotCreateDriver();
    PDEVICE_OBJECT Device = IotCreateDevice(Driver, L"\\Device\\KtQuery", 1),
                   Nameless = IotCreateDevice(Driver, NULL, 1);
    ULONG Length = 0;
    UNICODE_STRING Expected = Text(L"\\Device\\KtQuery");
    KT_EXPECT_EQ(ObQueryNameString(Device, NULL, 0, &Length), STATUS_INFO_LENGTH_MISMATCH);
    KT_EXPECT_EQ(Length, sizeof(OBJECT_NAME_INFORMATION) + Expected.Length + sizeof(WCHAR));
    KT_EXPECT_EQ(ObQueryNameString(Device, &Name.Information, sizeof(Name), &Length), STATUS_SUCCESS);
    KT_EXPECT(RtlEqualUnicodeString(&Name.Information.Name, &Expected, FALSE));
    KT_EXPECT_EQ(Name.Information.Name.Buffer[Expected.Length / sizeof(WCHAR)], 0);
    KT_EXPECT_EQ(ObQueryNameString(Nameless, &Name.Information, sizeof(Name), &Length), STATUS_SUCCESS);
    KT_EXPECT_EQ(Name.Information.Name.Length, 0);
    IoDeleteDevice(Nameless);
    IoDeleteDevice(Device);
    IopDeleteDriverObject(Driver);
}

KTEST(names_are_made_by_the_system_when_asked) {
    PDRIVER_OBJECT Driver = IotCreateDriver();
    PDEVICE_OBJECT First, Second;
    KT_EXPECT_EQ(IoCreateDevice(Driver, 0, NULL, FILE_DEVICE_UNKNOWN, FILE_AUTOGENERATED_DEVICE_NAME, FALSE, &First),
                 STATUS_SUCCESS);
    KT_EXPECT_EQ(IoCreateDevice(Driver, 0, NULL, FILE_DEVICE_UNKNOWN, FILE_AUTOGENERATED_DEVICE_NAME, FALSE, &Second),
                 STATUS_SUCCESS);
    KT_EXPECT((First->Flags & DO_DEVICE_HAS_NAME) && (Second->Flags & DO_DEVICE_HAS_NAME));
    IoDeleteDevice(First);
    IoDeleteDevice(Second);
    IopDeleteDriverObject(Driver);
}

/* ---- Symbolic links that are asked ---- */

#define FILLING 0x5555

/* Room: of the buffer that is offered. Expected: whether it is enough; Terminator: the character behind the text
 * then. */
static VOID Query(HANDLE Link, PCUNICODE_STRING Target, ULONG Room, PULONG Returned, BOOLEAN Expected,
                  WCHAR Terminator) {
    WCHAR Buffer[64];
    UNICODE_STRING Queried = {0, (USHORT)Room, Buffer};
    memset(Buffer, FILLING & 0xFF, sizeof(Buffer));
    KT_EXPECT_EQ(ZwQuerySymbolicLinkObject(Link, &Queried, Returned),
                 Expected ? STATUS_SUCCESS : STATUS_BUFFER_TOO_SMALL);
    KT_EXPECT_EQ(Queried.Length, Expected ? Target->Length : 0);
    KT_EXPECT_EQ(Queried.MaximumLength, Room);
    KT_EXPECT_EQ((USHORT)Buffer[0], Expected ? '\\' : FILLING);
    KT_EXPECT_EQ((USHORT)Buffer[Target->Length / sizeof(WCHAR)], Expected ? Terminator : FILLING);
    if (Returned != NULL) {
        KT_EXPECT_EQ(*Returned, Target->MaximumLength);
    }
}

KTEST(links_give_back_the_terminator_to_those_who_ask_for_the_length) {
    UNICODE_STRING Name = Text(L"\\KernelObjects\\KtAsked"), Target = Text(L"\\Device\\KtTarget");
    OBJECT_ATTRIBUTES Attributes;
    HANDLE Link;
    InitializeObjectAttributes(&Attributes, &Name, OBJ_CASE_INSENSITIVE | OBJ_KERNEL_HANDLE, NULL, NULL);
    for (ULONG HasTerminator = 0; HasTerminator < 2; HasTerminator++) {
        ULONG Length = Target.Length, Returned;
        Target.MaximumLength = (USHORT)(Length + 2 * HasTerminator);
        KT_REQUIRE(ZwCreateSymbolicLinkObject(&Link, SYMBOLIC_LINK_QUERY, &Attributes, &Target) == STATUS_SUCCESS);
        for (ULONG Room = Length - 1; Room <= Length + 4; Room++) {
            Query(Link, &Target, Room, NULL, Room >= Length, FILLING);
            Query(Link, &Target, Room, &Returned, Room >= Target.MaximumLength, HasTerminator ? 0 : FILLING);
        }
        KT_EXPECT_EQ(ObCloseHandle(Link, UserMode), STATUS_INVALID_HANDLE); /* it is the kernel's */
        KT_EXPECT_EQ(ObCloseHandle(Link, KernelMode), STATUS_SUCCESS);
        KT_EXPECT_EQ(ObCloseHandle(Link, KernelMode), STATUS_INVALID_HANDLE);
    }
    static const USHORT Bad[][2] = {{1, 4}, {4, 2}, {0, 1}, {0, 0}, {4, 3}};
    for (ULONG i = 0; i < RTL_NUMBER_OF(Bad); i++) {
        UNICODE_STRING Broken = {Bad[i][0], Bad[i][1], Target.Buffer};
        Link = (HANDLE)8;
        KT_EXPECT_EQ(ZwCreateSymbolicLinkObject(&Link, SYMBOLIC_LINK_QUERY, &Attributes, &Broken),
                     STATUS_INVALID_PARAMETER);
        KT_EXPECT_EQ(Link, NULL);
        KT_EXPECT_EQ(IoCreateSymbolicLink(&Name, &Broken), STATUS_INVALID_PARAMETER);
    }
}

/* ---- Handles ---- */

#define OLD ((HANDLE)0x77)
#define KT_EXPECT_FAILURE(Call_, Status_) \
    do {                                  \
        Handle = OLD;                     \
        KT_EXPECT_EQ(Call_, Status_);     \
        KT_EXPECT_EQ(Handle, NULL);       \
    } while (0)

KTEST(handle_is_NULL_after_a_call_that_failed) {
    UNICODE_STRING Name = Text(L"\\KernelObjects\\KtNobody"), Taken = Text(L"\\Device");
    OBJECT_ATTRIBUTES None, Existing, Short;
    IO_STATUS_BLOCK Result;
    HANDLE Handle;
    InitializeObjectAttributes(&None, &Name, OBJ_CASE_INSENSITIVE, NULL, NULL);
    InitializeObjectAttributes(&Existing, &Taken, OBJ_CASE_INSENSITIVE, NULL, NULL);
    Short = None;
    Short.Length--;
    KT_EXPECT_FAILURE(ZwOpenEvent(&Handle, EVENT_ALL_ACCESS, &None), STATUS_OBJECT_NAME_NOT_FOUND);
    KT_EXPECT_FAILURE(ZwOpenSymbolicLinkObject(&Handle, GENERIC_READ, &None), STATUS_OBJECT_NAME_NOT_FOUND);
    KT_EXPECT_FAILURE(ZwOpenDirectoryObject(&Handle, GENERIC_READ, &None), STATUS_OBJECT_NAME_NOT_FOUND);
    KT_EXPECT_FAILURE(ZwOpenFile(&Handle, GENERIC_READ, &None, &Result, 0, 0), STATUS_OBJECT_NAME_NOT_FOUND);
    KT_EXPECT_FAILURE(ZwOpenSymbolicLinkObject(&Handle, GENERIC_READ, &Existing), STATUS_OBJECT_TYPE_MISMATCH);
    KT_EXPECT_FAILURE(ZwOpenEvent(&Handle, EVENT_ALL_ACCESS, &Existing), STATUS_OBJECT_TYPE_MISMATCH);
    KT_EXPECT_FAILURE(ZwCreateDirectoryObject(&Handle, GENERIC_READ, &Existing), STATUS_OBJECT_NAME_COLLISION);
    KT_EXPECT_FAILURE(ZwCreateSymbolicLinkObject(&Handle, GENERIC_READ, &Existing, &Name),
                      STATUS_OBJECT_NAME_COLLISION);
    KT_EXPECT_FAILURE(ZwCreateEvent(&Handle, EVENT_ALL_ACCESS, &Existing, NotificationEvent, FALSE),
                      STATUS_OBJECT_NAME_COLLISION);
    KT_EXPECT_FAILURE(ZwCreateEvent(&Handle, EVENT_ALL_ACCESS, &None, (EVENT_TYPE)2, FALSE), STATUS_INVALID_PARAMETER);
    KT_EXPECT_FAILURE(ZwOpenEvent(&Handle, EVENT_ALL_ACCESS, &Short), STATUS_INVALID_PARAMETER);
    KT_EXPECT_FAILURE(ZwOpenSymbolicLinkObject(&Handle, GENERIC_READ, NULL), STATUS_INVALID_PARAMETER);
    KT_EXPECT_FAILURE(ZwOpenDirectoryObject(&Handle, GENERIC_READ, NULL), STATUS_INVALID_PARAMETER);
    KT_EXPECT_FAILURE(ZwCreateDirectoryObject(&Handle, GENERIC_READ, &Short), STATUS_INVALID_PARAMETER);
    KT_EXPECT_FAILURE(ObOpenObjectByPointer(KeGetCurrentThread(), 0, NULL, 0, *ExEventObjectType, KernelMode, &Handle),
                      STATUS_OBJECT_TYPE_MISMATCH);
    PVOID Object = OLD;
    KT_EXPECT_EQ(ObReferenceObjectByHandle(OLD, 0, NULL, KernelMode, &Object, NULL), STATUS_INVALID_HANDLE);
    KT_EXPECT_EQ(Object, NULL);
}

#define NOWHERE ((PVOID)0x10000)

/* Attributes, a name and a text where no memory can be, to each call that takes them. */
static VOID ExpectViolations(POBJECT_ATTRIBUTES Bad) {
    IO_STATUS_BLOCK Result;
    HANDLE Handle;
    PFILE_OBJECT File;
    PDEVICE_OBJECT Device;
    UNICODE_STRING Target = Text(L"\\Device");
    KT_EXPECT_FAILURE(ZwOpenEvent(&Handle, EVENT_ALL_ACCESS, Bad), STATUS_ACCESS_VIOLATION);
    KT_EXPECT_FAILURE(ZwCreateEvent(&Handle, EVENT_ALL_ACCESS, Bad, NotificationEvent, FALSE), STATUS_ACCESS_VIOLATION);
    KT_EXPECT_FAILURE(ZwOpenDirectoryObject(&Handle, GENERIC_READ, Bad), STATUS_ACCESS_VIOLATION);
    KT_EXPECT_FAILURE(ZwCreateDirectoryObject(&Handle, GENERIC_READ, Bad), STATUS_ACCESS_VIOLATION);
    KT_EXPECT_FAILURE(ZwOpenSymbolicLinkObject(&Handle, GENERIC_READ, Bad), STATUS_ACCESS_VIOLATION);
    KT_EXPECT_FAILURE(ZwCreateSymbolicLinkObject(&Handle, GENERIC_READ, Bad, &Target), STATUS_ACCESS_VIOLATION);
    KT_EXPECT_FAILURE(ZwOpenFile(&Handle, GENERIC_READ, Bad, &Result, 0, 0), STATUS_ACCESS_VIOLATION);
    KT_EXPECT_EQ(ZwDeleteFile(Bad), STATUS_ACCESS_VIOLATION);
    if (Bad != NOWHERE && Bad->ObjectName != NOWHERE) {
        KT_EXPECT_EQ(IoGetDeviceObjectPointer(Bad->ObjectName, GENERIC_READ, &File, &Device), STATUS_ACCESS_VIOLATION);
        KT_EXPECT_EQ(IoDeleteSymbolicLink(Bad->ObjectName), STATUS_ACCESS_VIOLATION);
    }
}

KTEST(handle_is_not_opened_by_attributes_that_cannot_be_read) {
    UNICODE_STRING Name = {4, 4, NOWHERE}, Target = {4, 4, NOWHERE}, Good = Text(L"\\KernelObjects\\KtNobody");
    OBJECT_ATTRIBUTES Bad, Fine;
    IO_STATUS_BLOCK Result;
    HANDLE Handle = OLD;
    ExpectViolations(NOWHERE);
    InitializeObjectAttributes(&Bad, NOWHERE, 0, NULL, NULL);
    ExpectViolations(&Bad);
    InitializeObjectAttributes(&Bad, &Name, 0, NULL, NULL);
    ExpectViolations(&Bad);
    KT_EXPECT_FAILURE(ZwOpenFile(&Handle, GENERIC_READ, NULL, &Result, 0, 0), STATUS_INVALID_PARAMETER);
    Handle = OLD;
    InitializeObjectAttributes(&Fine, &Good, 0, NULL, NULL);
    KT_EXPECT_EQ(ZwCreateSymbolicLinkObject(&Handle, GENERIC_READ, &Fine, &Target), STATUS_ACCESS_VIOLATION);
    KT_EXPECT_EQ(Handle, OLD);
}

KTEST(handle_grants_what_it_was_opened_for) {
    HANDLE Handle;
    PVOID Object;
    OBJECT_HANDLE_INFORMATION Information;
    KT_REQUIRE(ZwCreateEvent(&Handle, GENERIC_READ, NULL, NotificationEvent, FALSE) == STATUS_SUCCESS);
    KT_EXPECT_EQ(ZwSetEvent(Handle, NULL), STATUS_ACCESS_DENIED); /* EVENT_MODIFY_STATE is missing */
    KT_EXPECT_EQ(ObReferenceObjectByHandle(Handle, EVENT_MODIFY_STATE, *ExEventObjectType, UserMode, &Object, NULL),
                 STATUS_ACCESS_DENIED);
    KT_EXPECT_EQ(
        ObReferenceObjectByHandle(Handle, EVENT_MODIFY_STATE, *ExEventObjectType, KernelMode, &Object, &Information),
        STATUS_SUCCESS);
    KT_EXPECT_EQ(Information.GrantedAccess, STANDARD_RIGHTS_READ | EVENT_QUERY_STATE);
    KT_EXPECT_EQ(ObReferenceObjectByHandle(Handle, EVENT_QUERY_STATE | EVENT_MODIFY_STATE, *ExEventObjectType, UserMode,
                                           &Object, NULL),
                 STATUS_ACCESS_DENIED); /* a part is not enough */
    KT_EXPECT_EQ(ObReferenceObjectByHandle(Handle, EVENT_QUERY_STATE, *ExEventObjectType, UserMode, &Object, NULL),
                 STATUS_SUCCESS);
    KT_EXPECT_EQ(ObDereferenceObject(Object), 2);
    KT_EXPECT_EQ(ObDereferenceObject(Object), 1); /* what was refused has left no reference */
    KT_EXPECT_EQ(ObReferenceObjectByHandle(Handle, 0, *PsThreadType, KernelMode, &Object, NULL),
                 STATUS_OBJECT_TYPE_MISMATCH);
    ZwClose(Handle);
    KT_EXPECT_EQ(ZwClose(Handle), STATUS_INVALID_HANDLE);
    KT_EXPECT_EQ(ZwClose(NULL), STATUS_INVALID_HANDLE);
    KT_EXPECT_EQ(ObReferenceObjectByHandle(Handle, 0, NULL, KernelMode, &Object, NULL), STATUS_INVALID_HANDLE);
}

KTEST(handle_of_the_kernel_has_the_upper_half) {
    HANDLE Handle;
    OBJECT_ATTRIBUTES Attributes;
    InitializeObjectAttributes(&Attributes, NULL, OBJ_KERNEL_HANDLE, NULL, NULL);
    KT_REQUIRE(ZwCreateEvent(&Handle, EVENT_ALL_ACCESS, &Attributes, SynchronizationEvent, TRUE) == STATUS_SUCCESS);
    KT_EXPECT_EQ((ULONG64)Handle >> 31, 0x1FFFFFFFF);
    KT_EXPECT_EQ(ZwWaitForSingleObject(Handle, FALSE, NULL), STATUS_SUCCESS);
    KT_EXPECT_EQ(ObCloseHandle(Handle, UserMode), STATUS_INVALID_HANDLE);
    KT_EXPECT_EQ(ObCloseHandle(Handle, KernelMode), STATUS_SUCCESS);
    KT_REQUIRE(ZwCreateEvent(&Handle, EVENT_ALL_ACCESS, NULL, SynchronizationEvent, TRUE) == STATUS_SUCCESS);
    KT_EXPECT_EQ(ObCloseHandle(Handle, UserMode), STATUS_SUCCESS);
}

KTEST_CRASH(handle_outlived_by_a_lost_reference) {
    HANDLE Handle;
    PVOID Event;
    ZwCreateEvent(&Handle, EVENT_ALL_ACCESS, NULL, NotificationEvent, FALSE);
    ObReferenceObjectByHandle(Handle, 0, *ExEventObjectType, KernelMode, &Event, NULL);
    ObDereferenceObject(Event);
    ObDereferenceObject(Event); /* this one was the handle's */
}

/* ---- Any handle ---- */

KTEST(handle_is_duplicated_with_rights_and_attributes) {
    HANDLE Event, Copy, None;
    PUBLIC_OBJECT_BASIC_INFORMATION Basic;
    HANDLE System = ZwCurrentProcess();
    KT_REQUIRE(ZwCreateEvent(&Event, EVENT_MODIFY_STATE | SYNCHRONIZE, NULL, NotificationEvent, FALSE) ==
               STATUS_SUCCESS);
    KT_REQUIRE(ZwDuplicateObject(System, Event, System, &Copy, EVENT_QUERY_STATE, OBJ_KERNEL_HANDLE, 0) ==
               STATUS_SUCCESS);
    KT_EXPECT((LONG_PTR)Copy < 0 && Copy != Event);
    KT_EXPECT_EQ(ZwQueryObject(Copy, ObjectBasicInformation, &Basic, sizeof(Basic), NULL), STATUS_SUCCESS);
    KT_EXPECT_EQ(Basic.GrantedAccess, EVENT_QUERY_STATE);
    KT_EXPECT(Basic.HandleCount == 2 && Basic.PointerCount == 2);
    ZwClose(Copy);
    KT_EXPECT_EQ(ZwDuplicateObject(System, Event, System, &Copy, 0, 0, DUPLICATE_SAME_ACCESS | DUPLICATE_CLOSE_SOURCE),
                 STATUS_SUCCESS);
    KT_EXPECT_EQ(ZwQueryObject(Copy, ObjectBasicInformation, &Basic, sizeof(Basic), NULL), STATUS_SUCCESS);
    KT_EXPECT(Basic.GrantedAccess == (EVENT_MODIFY_STATE | SYNCHRONIZE) && Basic.HandleCount == 1);
    KT_EXPECT_EQ(ZwDuplicateObject(System, (HANDLE)0x7770, System, &None, 0, 0, DUPLICATE_SAME_ACCESS),
                 STATUS_INVALID_HANDLE);
    KT_EXPECT(None == NULL);
    KT_EXPECT_EQ(ZwDuplicateObject(Copy, Copy, System, &None, 0, 0, DUPLICATE_SAME_ACCESS),
                 STATUS_OBJECT_TYPE_MISMATCH);
    KT_EXPECT_EQ(ZwDuplicateObject(System, Copy, NULL, NULL, 0, 0, 0), STATUS_INVALID_PARAMETER);
    KT_EXPECT_EQ(ZwDuplicateObject(System, Copy, NULL, NULL, 0, 0, DUPLICATE_CLOSE_SOURCE), STATUS_SUCCESS);
    KT_EXPECT_EQ(ZwQueryObject(Copy, ObjectBasicInformation, &Basic, sizeof(Basic), NULL), STATUS_INVALID_HANDLE);
}

KTEST(handle_tells_its_object_s_type_and_name) {
    struct {
        PUBLIC_OBJECT_TYPE_INFORMATION Information;
        WCHAR Text[6];
    } Type;
    struct {
        OBJECT_NAME_INFORMATION Information;
        WCHAR Text[40];
    } Name;
    UNICODE_STRING Path = Text(L"\\BaseNamedObjects\\KtAsked"), Expected = Text(L"Event");
    OBJECT_ATTRIBUTES Attributes;
    HANDLE Event;
    ULONG Bytes = 0;
    InitializeObjectAttributes(&Attributes, &Path, OBJ_CASE_INSENSITIVE, NULL, NULL);
    KT_REQUIRE(ZwCreateEvent(&Event, EVENT_ALL_ACCESS, &Attributes, NotificationEvent, FALSE) == STATUS_SUCCESS);
    KT_EXPECT_EQ(ZwQueryObject(Event, ObjectTypeInformation, &Type, sizeof(Type), &Bytes), STATUS_SUCCESS);
    KT_EXPECT(RtlEqualUnicodeString(&Type.Information.TypeName, &Expected, FALSE));
    KT_EXPECT_EQ(Bytes, sizeof(PUBLIC_OBJECT_TYPE_INFORMATION) + 6 * sizeof(WCHAR));
    KT_EXPECT_EQ(ZwQueryObject(Event, ObjectTypeInformation, &Type, Bytes - 1, NULL), STATUS_INFO_LENGTH_MISMATCH);
    KT_EXPECT_EQ(
        ZwQueryObject(Event, ObjectBasicInformation, &Type, sizeof(PUBLIC_OBJECT_BASIC_INFORMATION) + 1, &Bytes),
        STATUS_INFO_LENGTH_MISMATCH);
    KT_EXPECT_EQ(Bytes, sizeof(PUBLIC_OBJECT_BASIC_INFORMATION));
    KT_EXPECT_EQ(ZwQueryObject(Event, ObjectNameInformation, &Name, sizeof(Name), &Bytes), STATUS_SUCCESS);
    KT_EXPECT(RtlEqualUnicodeString(&Name.Information.Name, &Path, FALSE));
    KT_EXPECT_EQ(ZwQueryObject(Event, (OBJECT_INFORMATION_CLASS)77, &Name, sizeof(Name), NULL),
                 STATUS_INVALID_INFO_CLASS);
    ZwClose(Event);
}
