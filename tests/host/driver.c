/* driver.c: a small driver with every kind of section, to be loaded, damaged and refused by loader.c. */
#include <ntddk.h>

DRIVER_INITIALIZE DriverEntry;
VOID PagedFunction(PULONG Value);
VOID Pragmas(PULONG Value);

#pragma alloc_text(INIT, DriverEntry)
/* #pragma alloc_text(PAGE, Pragmas) */
// #pragma alloc_text(PAGE, Pragmas)
#pragma alloc_text(PAGE, PagedFunction, PagedToo)

ULONG Initialised = 42;
ULONG Zeroed[100];
static PCSTR const Names[] = {"one", "two"};
const ULONG *Pointer = &Initialised;

VOID PagedToo(PULONG Value) {
    *Value += Initialised;
}

VOID PagedFunction(PULONG Value) {
    *Value = Zeroed[7] + 1;
    PagedToo(Value);
}

VOID Pragmas(PULONG Value) {
    DbgPrint("%s #pragma alloc_text(PAGE, Pragmas)\n", Names[*Value & 1]);
}

NTSTATUS DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath) {
    ULONG Value;
    UNREFERENCED_PARAMETER(RegistryPath);
    PagedFunction(&Value);
    Pragmas(&Value);
    return DriverObject == NULL ? STATUS_UNSUCCESSFUL : STATUS_SUCCESS;
}
