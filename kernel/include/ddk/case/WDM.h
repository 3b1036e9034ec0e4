/* WDM.h: wdm.h, as it is spelled where letter case does not matter. */
#include <wdm.h>
