/* print_bad_pointer.c: DbgPrint is given pointers to where no memory can be: it prints nothing and says so. What a link's
 * name is copied from is looked at in the same way.
 *
 * expect: completed
 */
#include <ntddk.h>

DRIVER_INITIALIZE DriverEntry;

NTSTATUS DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath) {
    UNICODE_STRING Nowhere = {8, 8, (PWCH)2}, Null = {8, 8, NULL}, Name = RTL_CONSTANT_STRING(L"\\??\\BadPointer"),
                   Good = RTL_CONSTANT_STRING(L"here");
    OBJECT_ATTRIBUTES Attributes;
    HANDLE Link;
    NTSTATUS Seen[6];
    UNREFERENCED_PARAMETER(DriverObject);
    UNREFERENCED_PARAMETER(RegistryPath);
    InitializeObjectAttributes(&Attributes, &Name, OBJ_KERNEL_HANDLE, NULL, NULL);
    Seen[0] = (NTSTATUS)DbgPrint("%s\n", (PCHAR)1);
    Seen[1] = (NTSTATUS)DbgPrint("%wZ\n", &Nowhere);
    Seen[2] = (NTSTATUS)DbgPrintEx(DPFLTR_IHVDRIVER_ID, DPFLTR_ERROR_LEVEL, "%ws\n", (PWCHAR)(ULONG_PTR)0x00FF800000000000);
    Seen[3] = (NTSTATUS)DbgPrint((PCHAR)16);
    Seen[4] = (NTSTATUS)DbgPrint("%wZ, and on it goes\n", &Good);
    Seen[5] = ZwCreateSymbolicLinkObject(&Link, SYMBOLIC_LINK_ALL_ACCESS, &Attributes, &Null);
    for (ULONG i = 0; i < RTL_NUMBER_OF(Seen); i++) {
        if (Seen[i] != (i == 4 ? STATUS_SUCCESS : STATUS_ACCESS_VIOLATION)) {
            DbgPrint("call %u returned %08x\n", i, Seen[i]);
            return STATUS_UNSUCCESSFUL;
        }
    }
    return STATUS_SUCCESS;
}
