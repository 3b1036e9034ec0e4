/* excpt.h: for drivers: the words of structured exception handling stand in compiler.h. */
#include <ntdef.h>
