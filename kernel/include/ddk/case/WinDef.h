/* WinDef.h: windef.h, as it is spelled where letter case does not matter. */
#include <windef.h>
