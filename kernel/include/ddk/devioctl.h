/* devioctl.h: device types and CTL_CODE, which stand in wdmio.h. */
#include <wdm.h>
