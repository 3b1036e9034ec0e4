/* routine.c: MmGetSystemRoutineAddress: the look-up of a call that an older kernel may lack. */
#include "ldrp.h"

/* Documented: the address of a routine that the kernel exports, or NULL. PASSIVE_LEVEL; the name may be pageable. */
PVOID MmGetSystemRoutineAddress(PUNICODE_STRING SystemRoutineName) {
    CHAR Name[80];
    ULONG Length = SystemRoutineName->Length / sizeof(WCHAR);
    if (Length >= sizeof(Name)) {
        return NULL;
    }
    for (ULONG i = 0; i < Length; i++) {
        if (SystemRoutineName->Buffer[i] > 0x7E) {
            return NULL;
        }
        Name[i] = (CHAR)SystemRoutineName->Buffer[i];
    }
    Name[Length] = 0;
    return (PVOID)LdrpFindExport(Name);
}
