/* stop.c: the one-line reason why the boot cannot go on, printed on COM1 and on the screen. */
#include <arch.h>
#include <bootinfo.h>
#include <kd.h>

#define VGA_TEXT 0xB8000
#define VGA_TEXT_CELLS (80 * 25)
#define WHITE_ON_BLUE 0x1F

static VOID PutOnTextScreen(PCSTR Text) {
    volatile USHORT *Cell = (volatile USHORT *)VGA_TEXT;
    for (ULONG i = 0; i < VGA_TEXT_CELLS && Text[i] != 0; i++) {
        Cell[i] = (USHORT)(WHITE_ON_BLUE << 8 | (UCHAR)Text[i]);
    }
}

/* A boot loader that hands over a framebuffer has left text mode; any other has not. */
static VOID PutOnScreen(const BOOT_INFO *BootInfo, PCSTR Text) {
    ULONG64 Bytes = (ULONG64)BootInfo->FramebufferPitch * BootInfo->FramebufferHeight;
    if (BootInfo->FramebufferBase == 0 || BootInfo->FramebufferBase + Bytes > IDENTITY_MAP_END) {
        PutOnTextScreen(Text);
        return;
    }
    HalFramebuffer = (HAL_FRAMEBUFFER){.Base = (volatile ULONG *)BootInfo->FramebufferBase,
                                       .Width = BootInfo->FramebufferWidth,
                                       .Height = BootInfo->FramebufferHeight,
                                       .PitchBytes = BootInfo->FramebufferPitch};
    KdScreenPut(Text);
}

DECLSPEC_NORETURN VOID BootStop(const BOOT_INFO *BootInfo, PCSTR Text) {
    HalSerialPut(1, Text);
    HalSerialPut(1, "\n");
    PutOnScreen(BootInfo, Text);
    HalLeaveEmulator(FALSE);
    HalHalt();
}

/* entry.asm comes here in place of KiSystemStartup on a CPU that can run C in long mode, but not this kernel. */
DECLSPEC_NORETURN VOID BootRefuseProcessor(ULONG Magic, ULONG64 Info, ULONG Reason) {
    static BOOT_INFO BootInfo;
    HalInitializeSerial();
    BootReadInformation(Magic, Info, &BootInfo);
    BootStop(&BootInfo,
             Reason == BOOT_LACKS_NX
                 ? "Bugcheck needs a CPU with NX (no-execute pages): this one has none, or the firmware disables it."
                 : "Bugcheck needs a local APIC: this CPU has none, or the firmware disables it.");
}
