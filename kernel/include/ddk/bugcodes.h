/* bugcodes.h: the names of the bugchecks, from bugcodes.def. */
#ifndef _BUGCODES_H_
#define _BUGCODES_H_

#define BUGCODE(Code, Name, ...) Name = (int)(Code),
enum _BUGCHECK_CODE {
#include <bugcodes.def>
};
#undef BUGCODE

#endif
