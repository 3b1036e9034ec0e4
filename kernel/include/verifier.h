/* verifier.h: Driver Verifier's forced IRQL checking, which makes a latent bug of paging at DISPATCH_LEVEL certain. */
#ifndef _VERIFIER_H_
#define _VERIFIER_H_

#include <ke.h>

/* The driver loaded next under this name ("secret"; NULL: every driver) is verified. PASSIVE. */
VOID VfEnable(PCSTR Driver);
BOOLEAN VfIsVerified(PCSTR Driver);
/* What a verified driver's import is bound to in place of the export of that name; NULL: the export itself. */
const void *VfFindThunk(PCSTR Import);

typedef struct _VF_STATISTICS {
    volatile LONG RaiseIrqls, AcquireSpinLocks, Trims;
} VF_STATISTICS;
extern VF_STATISTICS VfStatistics;

#endif
