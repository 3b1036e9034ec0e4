/* excpt.h: forwards to compiler.h, which has the words of structured exception handling. */
#include <ntdef.h>
