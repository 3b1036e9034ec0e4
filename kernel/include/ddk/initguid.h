/* initguid.h: makes DEFINE_GUID define its name from here on, not just declare it. */
#define INITGUID
#include <ntdef.h>
#undef DEFINE_GUID
#define DEFINE_GUID(Name, l, w1, w2, b1, b2, b3, b4, b5, b6, b7, b8) \
    EXTERN_C const GUID DECLSPEC_SELECTANY Name = {l, w1, w2, {b1, b2, b3, b4, b5, b6, b7, b8}}
