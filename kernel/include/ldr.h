/* ldr.h: drivers as modules: relocatable ELF files, bound to the kernel's export table. */
#ifndef _LDR_H_
#define _LDR_H_

#include <ke.h>

#define LDR_MAXIMUM_SECTIONS 24
#define LDR_NAME_BYTES 64 /* of a driver, with the terminator */

typedef struct _LDR_SECTION {
    ULONG64 Start; /* 0: not loaded */
    SIZE_T Bytes;
    ULONG ElfIndex;
    CHAR Name[16]; /* ".text", "PAGE", ".data" */
    BOOLEAN IsPageable, IsExecutable, IsWritable;
    ULONG LockCount; /* MmLockPagableDataSection */
} LDR_SECTION;

#define LDR_INTEGRITY_CHECKED 0x20 /* in Flags; the image's ELF header has it, as /INTEGRITYCHECK would on Windows */

/* A loaded module. The first fields are where NT has them: drivers reach for Flags (+0x68) by offset. */
typedef struct _KLDR_DATA_TABLE_ENTRY {
    LIST_ENTRY InLoadOrderLinks; /* PsLoadedModuleList */
    PVOID Reserved0[4];
    PVOID DllBase;              /* +0x30 */
    PVOID EntryPoint;           /* +0x38 */
    ULONG SizeOfImage;          /* +0x40 */
    UNICODE_STRING FullDllName; /* +0x48 */
    UNICODE_STRING BaseDllName; /* +0x58 */
    ULONG Flags;                /* +0x68 */
    USHORT LoadCount;
    CHAR Name[LDR_NAME_BYTES]; /* "secret", without .sys */
    const void *Symbols;       /* symbols/NAME.sym in the boot archive, or NULL */
    SIZE_T SymbolBytes;
    ULONG SectionCount;
    LDR_SECTION Section[LDR_MAXIMUM_SECTIONS];
    PDRIVER_OBJECT DriverObject;
    WCHAR WideName[LDR_NAME_BYTES + 36]; /* FullDllName */
} KLDR_DATA_TABLE_ENTRY, *PKLDR_DATA_TABLE_ENTRY;

C_ASSERT(offsetof(KLDR_DATA_TABLE_ENTRY, DllBase) == 0x30);
C_ASSERT(offsetof(KLDR_DATA_TABLE_ENTRY, Flags) == 0x68);

/* The kernel itself is the first entry ("nt"). Readable at any IRQL without locks: entries are added fully built. */
extern LIST_ENTRY PsLoadedModuleList;

VOID LdrInitialize(VOID); /* boot CPU, after MmInitializeSystem: the kernel's own entry, the archive */
/* Loads drivers/NAME.sys and runs its DriverEntry on a worker thread; waits for it. PASSIVE.
 * A bad module gets one line on COM1 with its name and the reason, and a status. */
NTSTATUS LdrLoadDriver(PCSTR Name, PDRIVER_OBJECT *DriverObject);
/* Called when a driver is in memory and about to run; NULL: no listener. PASSIVE */
extern VOID (*LdrImageHook)(PUNICODE_STRING Name, PVOID Base, SIZE_T Bytes);
NTSTATUS LdrUnloadDriver(PDRIVER_OBJECT DriverObject); /* PASSIVE; STATUS_INVALID_DEVICE_REQUEST without DriverUnload */
PKLDR_DATA_TABLE_ENTRY LdrFindModule(ULONG64 Address); /* any IRQL */
BOOLEAN LdrIsKernelAddress(ULONG64 Address);           /* in the kernel image: the 0xA / 0xD1 rule */
/* A range that a now unloaded driver had; its name, or NULL. Any IRQL. */
PCSTR LdrFindUnloadedModule(ULONG64 Address);
const LDR_SECTION *LdrFindSection(PKLDR_DATA_TABLE_ENTRY Module, ULONG64 Address);

/* The export table is generated from kernel/ldr/exports.def, sorted by name. */
typedef struct _LDR_EXPORT {
    PCSTR Name;
    const void *Address;
} LDR_EXPORT;
extern const LDR_EXPORT LdrExports[];
extern const ULONG LdrExportCount;

#endif
