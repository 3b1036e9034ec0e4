/* halt.c: two ways to end: stop this CPU forever, or have the emulator end the machine. */
#include <arch.h>

#define QEMU_EXIT_PORT 0xF4       /* isa-debug-exit, as the launcher configures it */
#define QEMU_EXIT_EXPECTED 0x10   /* QEMU's status becomes 33 */
#define QEMU_EXIT_UNEXPECTED 0x11 /* 35 */
#define BOCHS_SIGNATURE_PORT 0xE9 /* reads as its own number under Bochs */
#define BOCHS_SHUTDOWN_PORT 0x8900

/* Any IRQL. NMI and #MC may wake the CPU; it halts again. */
DECLSPEC_NORETURN VOID HalHalt(VOID) {
    for (;;) {
        __asm__ volatile("cli; hlt" : : : "memory");
    }
}

/* Any IRQL. Returns when no emulator listens: real hardware, or a machine without the debug-exit device. */
VOID HalLeaveEmulator(BOOLEAN IsExpected) {
    HalSerialDrain();
    if (HalIn8(BOCHS_SIGNATURE_PORT) == BOCHS_SIGNATURE_PORT) {
        for (PCSTR Text = "Shutdown"; *Text != 0; Text++) {
            HalOut8(BOCHS_SHUTDOWN_PORT, (UCHAR)*Text);
        }
    }
    HalOut8(QEMU_EXIT_PORT, IsExpected ? QEMU_EXIT_EXPECTED : QEMU_EXIT_UNEXPECTED);
}
