/* devioctl.h: forwards to wdmio.h, which has the device types and CTL_CODE. */
#include <wdm.h>
