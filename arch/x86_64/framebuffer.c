/* framebuffer.c: the screen as memory: 32-bit pixels set up by the boot loader or the Bochs display ports.
 *
 * GRUB chooses a mode and names its address. A PVH start has no loader, so the mode is set here, through the two
 * ports that QEMU's and Bochs' VGA share ("DISPI": an index and a data register); its memory is BAR 0 of PCI device
 * 1234:1111. */
#include <arch.h>
#include <bootinfo.h>
#include <mm.h>

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

#define PCI_ADDRESS_PORT 0xCF8
#define PCI_DATA_PORT 0xCFC
#define PCI_DISPLAY_DEVICE 0x11111234 /* device 1111 of vendor 1234 */
#define PCI_COMMAND 0x04
#define PCI_COMMAND_MEMORY 0x2
#define PCI_BAR0 0x10

#define DEFAULT_WIDTH 1024
#define DEFAULT_HEIGHT 768
#define MAXIMUM_WIDTH 8192

HAL_FRAMEBUFFER HalFramebuffer;

static VOID SelectPciRegister(ULONG Device, ULONG Register) {
    HalOut32(PCI_ADDRESS_PORT, 0x80000000u | Device << 11 | Register);
}

static ULONG ReadPci(ULONG Device, ULONG Register) {
    SelectPciRegister(Device, Register);
    return HalIn32(PCI_DATA_PORT);
}

/* Physical address of the display's memory on bus 0, 0 when there is no such display. */
static ULONG64 FindDisplayMemory(VOID) {
    for (ULONG Device = 0; Device < 32; Device++) {
        if (ReadPci(Device, 0) != PCI_DISPLAY_DEVICE) {
            continue;
        }
        ULONG Command = ReadPci(Device, PCI_COMMAND);
        SelectPciRegister(Device, PCI_COMMAND);
        HalOut32(PCI_DATA_PORT, (Command & 0xFFFF) | PCI_COMMAND_MEMORY);
        return ReadPci(Device, PCI_BAR0) & ~0xFu;
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

/* The line length is what the device says, not what was asked for. Returns the pitch in bytes, 0 without such a
 * device. */
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
