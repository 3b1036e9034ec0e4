/* bootinfo.h: the facts of the boot, independent of the protocol that started the kernel. */
#ifndef _BOOTINFO_H_
#define _BOOTINFO_H_

#include <ntdef.h>

#define BOOT_MAXIMUM_RANGES 64
#define IDENTITY_MAP_END 0x100000000ULL /* of entry.asm's; gone after MmReleaseBootMemory */
#define BOOT_MINIMUM_RAM (14ULL << 20)  /* usable, above 1 MiB: 16 MiB less the firmware's part */

typedef struct _BOOT_MEMORY_RANGE {
    ULONG64 Base, Bytes; /* usable RAM, page aligned, sorted, not overlapping; all of it above 1 MiB */
} BOOT_MEMORY_RANGE;

typedef struct _BOOT_INFO {
    PCSTR Protocol; /* "multiboot2" or "PVH" */
    CHAR CommandLine[1024];
    ULONG64 Rsdp;                                                /* physical; 0: search the BIOS area */
    ULONG64 ArchiveBase, ArchiveBytes;                           /* physical; 0: none */
    ULONG64 FramebufferBase;                                     /* physical; 0: none */
    ULONG FramebufferWidth, FramebufferHeight, FramebufferPitch; /* pitch in bytes, 32 bits a pixel */
    ULONG64 KernelBase, KernelEnd; /* physical extent of the kernel image, .bss included */
    ULONG64 HighestRam;            /* physical end of the last range */
    ULONG64 TotalRam;
    ULONG64 Trampoline; /* physical, one page below 1 MiB for starting the other CPUs; 0: none */
    ULONG RangeCount;
    BOOT_MEMORY_RANGE Range[BOOT_MAXIMUM_RANGES];
} BOOT_INFO, *PBOOT_INFO;

/* Reads the multiboot2 or PVH information (Magic and physical Info as entry.asm got them; both in the low identity
 * map). Stops the machine with one line when it is neither. */
VOID BootReadInformation(ULONG Magic, ULONG64 Info, PBOOT_INFO BootInfo);

/* Features that the CPU may lack; entry.asm has the same numbers. */
enum { BOOT_LACKS_NX = 1, BOOT_LACKS_APIC = 2 };
DECLSPEC_NORETURN VOID BootRefuseProcessor(ULONG Magic, ULONG64 Info, ULONG Reason);

/* Says on COM1 and the screen why the machine cannot start, and stops it. Only before the identity map is dropped. */
DECLSPEC_NORETURN VOID BootStop(const BOOT_INFO *BootInfo, PCSTR Text);

#endif
