/* stop.c: the start that cannot go on says why, in one line, wherever a person may look: COM1 and the screen. */
#include <arch.h>
#include <bootinfo.h>

#define VGA_TEXT 0xB8000
#define VGA_TEXT_BYTES (80 * 25 * 2)
#define WHITE_ON_BLUE 0x1F

static VOID PutOnTextScreen(PCSTR Text) {
    volatile USHORT *Cell = (volatile USHORT *)VGA_TEXT;
    for (ULONG i = 0; i < VGA_TEXT_BYTES / 2 && Text[i] != 0; i++) {
        Cell[i] = (USHORT)(WHITE_ON_BLUE << 8 | (UCHAR)Text[i]);
    }
}

DECLSPEC_NORETURN VOID BootStop(const BOOT_INFO *BootInfo, PCSTR Text) {
    HalSerialPut(1, Text);
    HalSerialPut(1, "\n");
    UNREFERENCED_PARAMETER(BootInfo);
    PutOnTextScreen(Text);
    HalLeaveEmulator(FALSE);
    HalHalt();
}
