/* powerbutton.c: the machine's power button, pressed by a person, or by a tool that has waited long enough.
 *
 * Polled: its interrupt (SCI) stays masked in the I/O APIC. ACPI Specification, "PM1 Event Grouping". */
#include "hal.h"

#define PM1_POWER_BUTTON (1u << 8) /* in the status register, cleared by writing it, and in the enable register */

VOID HalEnablePowerButton(VOID) {
    if (HalpMachine.ButtonPort != 0) {
        HalOut16(HalpMachine.ButtonPort, PM1_POWER_BUTTON);
        HalOut16(HalpMachine.ButtonEnable, PM1_POWER_BUTTON);
    }
}

BOOLEAN HalIsPowerButtonPressed(VOID) {
    return HalpMachine.ButtonPort != 0 && (HalIn16(HalpMachine.ButtonPort) & PM1_POWER_BUTTON) != 0;
}
