/* Ntstatus.h: ntstatus.h, as it is spelled where letter case does not matter. */
#include <ntstatus.h>
