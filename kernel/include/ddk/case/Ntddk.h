/* Ntddk.h: ntddk.h, as it is spelled where letter case does not matter. */
#include <ntddk.h>
