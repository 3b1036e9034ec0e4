/* framebuffer.c: the screen as memory: 32-bit pixels set up by the boot loader or the Bochs display ports.
 *
 * GRUB chooses a mode and names its address. A PVH start has no loader, so the mode is set here, through the two
 * ports that QEMU's and Bochs' VGA share ("DISPI": an index and a data register); its memory is BAR 0 of PCI device
 * 1234:1111. */
#include <bootinfo.h>
#include <mm.h>
#include "hal.h"

#define DISPI_INDEX_PORT 0x1CE
#define DISPI_DATA_PORT 0x1CF
#define DISPI_ID 0
#define DISPI_WIDTH 1
#define DISPI_HEIGHT 2
#define DISPI_BITS 3
#define DISPI_ENABLE 4
#define DISPI_VIRTUAL_WIDTH 6
#define DISPI_ID_FIRST 0xB0C0
#define DISPI_ID_LAST 0xB0CF
#define DISPI_ENABLED_LINEAR 0x41
#define VGA_STATUS_PORT 0x3DA    /* a read makes the next byte for the attribute controller an index */
#define VGA_ATTRIBUTE_PORT 0x3C0 /* index */
#define VGA_SCREEN_ON 0x20

#define PCI_ADDRESS_PORT 0xCF8
#define PCI_DATA_PORT 0xCFC
#define PCI_ADDRESS_ENABLE 0x80000000u
#define PCI_DISPLAY_DEVICE 0x11111234 /* device 1111 of vendor 1234 */
#define PCI_COMMAND 0x04
#define PCI_COMMAND_MEMORY 0x2
#define PCI_BAR0 0x10

#define DEFAULT_WIDTH 1024
#define DEFAULT_HEIGHT 768
#define MAXIMUM_WIDTH 8192

HAL_FRAMEBUFFER HalFramebuffer;

ULONG HalpReadPci(ULONG Function, ULONG Register) {
    HalOut32(PCI_ADDRESS_PORT, PCI_ADDRESS_ENABLE | Function << 8 | Register);
    return HalIn32(PCI_DATA_PORT);
}

VOID HalpWritePci(ULONG Function, ULONG Register, ULONG Value) {
    HalOut32(PCI_ADDRESS_PORT, PCI_ADDRESS_ENABLE | Function << 8 | Register);
    HalOut32(PCI_DATA_PORT, Value);
}

/* Physical address of the display's memory on bus 0, 0 when there is no such display. */
static ULONG64 FindDisplayMemory(VOID) {
    for (ULONG Function = 0; Function < 256; Function += 8) {
        if (HalpReadPci(Function, 0) != PCI_DISPLAY_DEVICE) {
            continue;
        }
        ULONG Command = HalpReadPci(Function, PCI_COMMAND) & 0xFFFF;
        HalpWritePci(Function, PCI_COMMAND, Command | PCI_COMMAND_MEMORY);
        return HalpReadPci(Function, PCI_BAR0) & ~0xFu;
    }
    return 0;
}

static VOID WriteDispi(USHORT Index, USHORT Value) {
    HalOut16(DISPI_INDEX_PORT, Index);
    HalOut16(DISPI_DATA_PORT, Value);
}

static USHORT ReadDispi(USHORT Index) {
    HalOut16(DISPI_INDEX_PORT, Index);
    return HalIn16(DISPI_DATA_PORT);
}

/* A VGA shows nothing until its attribute controller is switched on, which the VGA's own BIOS does where it is run. */
static VOID SwitchScreenOn(VOID) {
    HalIn8(VGA_STATUS_PORT);
    HalOut8(VGA_ATTRIBUTE_PORT, VGA_SCREEN_ON);
}

/* The line length comes from the device: it may not be the width asked for. Returns the pitch in bytes, 0 without such
 * a device. */
static ULONG SetDispiMode(USHORT Width, USHORT Height) {
    USHORT Id = ReadDispi(DISPI_ID);
    if (Id < DISPI_ID_FIRST || Id > DISPI_ID_LAST) {
        return 0;
    }
    WriteDispi(DISPI_ENABLE, 0);
    WriteDispi(DISPI_WIDTH, Width);
    WriteDispi(DISPI_HEIGHT, Height);
    WriteDispi(DISPI_BITS, 32);
    WriteDispi(DISPI_ENABLE, DISPI_ENABLED_LINEAR);
    SwitchScreenOn();
    return ReadDispi(DISPI_VIRTUAL_WIDTH) * 4u;
}

static VOID MapFramebuffer(ULONG64 Physical, ULONG Width, ULONG Height, ULONG PitchBytes) {
    PHYSICAL_ADDRESS Address = {.QuadPart = (LONGLONG)Physical};
    PVOID Base = MmMapIoSpace(Address, (SIZE_T)PitchBytes * Height, MmWriteCombined);
    if (Base) {
        HalFramebuffer.Width = Width;
        HalFramebuffer.Height = Height;
        HalFramebuffer.PitchBytes = PitchBytes;
        HalFramebuffer.Base = Base;
    }
}

static BOOLEAN IsPlausible(ULONG64 Base, ULONG Width, ULONG Height, ULONG PitchBytes) {
    return Base != 0 && Width != 0 && Width <= MAXIMUM_WIDTH && Height != 0 && Height <= MAXIMUM_WIDTH &&
           PitchBytes >= Width * 4 && PitchBytes <= MAXIMUM_WIDTH * 4 && PitchBytes % 4 == 0;
}

/* Boot CPU, once, after MmInitializeSystem. Leaves HalFramebuffer.Base NULL when there is no screen. */
VOID HalInitializeFramebuffer(VOID) {
    PBOOT_INFO Boot = KeBootInfo;
    if (IsPlausible(Boot->FramebufferBase, Boot->FramebufferWidth, Boot->FramebufferHeight, Boot->FramebufferPitch)) {
        MapFramebuffer(Boot->FramebufferBase, Boot->FramebufferWidth, Boot->FramebufferHeight, Boot->FramebufferPitch);
        return;
    }
    ULONG64 Physical = FindDisplayMemory();
    if (Physical) {
        ULONG PitchBytes = SetDispiMode(DEFAULT_WIDTH, DEFAULT_HEIGHT);
        if (IsPlausible(Physical, DEFAULT_WIDTH, DEFAULT_HEIGHT, PitchBytes)) {
            MapFramebuffer(Physical, DEFAULT_WIDTH, DEFAULT_HEIGHT, PitchBytes);
        }
    }
}
