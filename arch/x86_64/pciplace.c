/* pciplace.c: the addresses of PCI devices, given out where no firmware has done it.
 *
 * A PC's BIOS places every device before it looks for something to boot. The small firmware with which QEMU's virtual
 * machines start in no time (qboot.rom) leaves that to the system, as any firmware may. Only memory of ordinary devices
 * on bus 0 is placed: no device here is driven by ports, and nothing lies behind a bridge until firmware has set it up.
 *
 *      ... RAM | configuration space (q35) | WINDOW_BASE --> devices, in bus order ... WINDOW_END | I/O APIC, local APIC
 *
 * It happens before other CPUs start (kernel/io/pcibar.c says why). */
#include <bootinfo.h>
#include <ring.h>
#include "hal.h"

#define CONFIG_ID 0x00
#define CONFIG_COMMAND 0x04
#define CONFIG_CLASS 0x08
#define CONFIG_HEADER 0x0C
#define CONFIG_BAR0 0x10
#define BARS 6
#define COMMAND_MEMORY 0x0002u
#define NO_DEVICE 0xFFFFFFFF
#define CLASS_BRIDGE 6
#define HEADER_TYPE(Register) ((Register) >> 16 & 0x7F)
#define IS_MULTI_FUNCTION(Register) (((Register) & 0x800000) != 0)
#define BAR_IS_PORT 0x1u
#define BAR_TYPE 0x6u
#define BAR_TYPE_64BIT 0x4u
#define BAR_FLAGS 0xFu

#define FUNCTIONS 256 /* of one bus: 32 devices of 8 */
#define WINDOW_BASE 0xC0000000ULL
#define WINDOW_END 0xFEC00000ULL
#define GIB_4 0x100000000ULL

static ULONG64 NextAddress;

/* Behind the RAM below 4 GiB. */
static ULONG64 WindowBase(VOID) {
    ULONG64 Base = WINDOW_BASE;
    for (ULONG i = 0; i < KeBootInfo->RangeCount; i++) {
        ULONG64 End = KeBootInfo->Range[i].Base + KeBootInfo->Range[i].Bytes;
        Base = End <= GIB_4 ? max(Base, End) : Base;
    }
    return Base;
}

static BOOLEAN Is64Bit(ULONG Low) {
    return (Low & (BAR_TYPE | BAR_IS_PORT)) == BAR_TYPE_64BIT;
}

/* A device for us; the other functions of a single-function device are absent, or echoes of it. */
static BOOLEAN IsOurs(ULONG Function) {
    return HalpReadPci(Function, CONFIG_ID) != NO_DEVICE &&
           (Function % 8 == 0 || IS_MULTI_FUNCTION(HalpReadPci(Function & ~7u, CONFIG_HEADER))) &&
           HEADER_TYPE(HalpReadPci(Function, CONFIG_HEADER)) == 0 &&
           HalpReadPci(Function, CONFIG_CLASS) >> 24 != CLASS_BRIDGE;
}

static BOOLEAN IsPlaced(ULONG Function) {
    for (ULONG i = 0; i < BARS; i++) {
        ULONG Low = HalpReadPci(Function, CONFIG_BAR0 + 4 * i);
        ULONG High = Is64Bit(Low) && i + 1 < BARS ? HalpReadPci(Function, CONFIG_BAR0 + 4 * i + 4) : 0;
        if (!(Low & BAR_IS_PORT) && ((Low & ~BAR_FLAGS) != 0 || High != 0)) {
            return TRUE;
        }
        i += Is64Bit(Low);
    }
    return FALSE;
}

/* The device does not decode. Of the ones written to it, a BAR keeps those above its size, of which addresses are
 * multiples. */
static VOID PlaceBar(ULONG Function, ULONG Register) {
    HalpWritePci(Function, Register, 0xFFFFFFFF);
    ULONG Bytes = ~(HalpReadPci(Function, Register) & ~BAR_FLAGS) + 1;
    ULONG64 Address = Bytes == 0 ? 0 : (NextAddress + Bytes - 1) & ~((ULONG64)Bytes - 1);
    if (Address + Bytes > WINDOW_END) { /* larger than the window, or too late */
        Address = Bytes = 0;
    }
    HalpWritePci(Function, Register, (ULONG)Address);
    NextAddress = max(NextAddress, Address + Bytes);
}

static VOID PlaceFunction(ULONG Function) {
    ULONG Command = HalpReadPci(Function, CONFIG_COMMAND) & 0xFFFF; /* above it status bits, which a one clears */
    HalpWritePci(Function, CONFIG_COMMAND, Command & ~COMMAND_MEMORY);
    for (ULONG i = 0; i < BARS; i++) {
        ULONG Low = HalpReadPci(Function, CONFIG_BAR0 + 4 * i);
        if (!(Low & BAR_IS_PORT)) {
            PlaceBar(Function, CONFIG_BAR0 + 4 * i);
        }
        i += Is64Bit(Low); /* its upper half stays 0 */
    }
    HalpWritePci(Function, CONFIG_COMMAND, Command | COMMAND_MEMORY); /* as firmware leaves it: nothing moves later */
}

/* If even one device has an address, firmware has been here: window and unplaced devices are its business. */
static VOID PlacePciDevices(VOID) {
    for (ULONG Function = 0; Function < FUNCTIONS; Function++) {
        if (IsOurs(Function) && IsPlaced(Function)) {
            return;
        }
    }
    NextAddress = WindowBase();
    for (ULONG Function = 0; Function < FUNCTIONS; Function++) {
        if (IsOurs(Function)) {
            PlaceFunction(Function);
        }
    }
}
KE_STARTUP_STEP(StartBeforeScreen, PlacePciDevices);
