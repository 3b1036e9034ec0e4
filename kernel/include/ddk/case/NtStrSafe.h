/* NtStrSafe.h: ntstrsafe.h, as it is spelled where letter case does not matter. */
#include <ntstrsafe.h>
