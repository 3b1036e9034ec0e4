/* ring.h: the rows, gathered by the linker, by which the files around the core join it.
 *
 * So the core names no file of the ring, and is a whole kernel alone: `make core` links it with no row at all. A file
 * of the ring takes part by one line:
 *
 *      KE_ATTACH(KiClockHook, CheckWatchdogs);               a pointer of the core's, NULL without the ring
 *      KE_STARTUP_STEP(StartBeforeDisks, MakeDirectories);   a routine that runs at one moment of the start
 *      KE_THREAD_WATCH(2, CancelRequests);                   a routine called at each stage of a thread's life
 *
 * A hook is written before anything else runs and constant then. Testing it costs a load and a branch not taken. */
#ifndef _RING_H_
#define _RING_H_

#include <ke.h>

/* The linker gathers the rows of a kind between two symbols (boot/kernel.ld). */
#define KE_ROW(Section_) __attribute__((used, section(Section_), aligned(8)))

/* ---- Hooks ---- */
typedef struct _KE_ATTACHMENT {
    PVOID *Hook;
    PVOID Value;
} KE_ATTACHMENT;
#define KE_ATTACH(Hook_, Value_)                                                       \
    C_ASSERT(__builtin_types_compatible_p(__typeof__(Hook_), __typeof__(&*(Value_)))); \
    static const KE_ATTACHMENT Hook_##Attachment KE_ROW(".attach") = {(PVOID *)&Hook_, (PVOID)(Value_)}
extern const KE_ATTACHMENT KiAttachments[], KiAttachmentsEnd[];

/* ---- The verifier of drivers; NULL: none. Set before a verified driver is bound, constant then ---- */
struct _KLDR_DATA_TABLE_ENTRY;
typedef struct _KE_VERIFIER {
    const void *(*BindImport)(PCSTR Driver, PCSTR Import); /* in place of the export; NULL: that itself. PASSIVE */
    VOID (*DriverUnloaded)(struct _KLDR_DATA_TABLE_ENTRY *Module); /* no code of it runs any more. PASSIVE */
    NTSTATUS (*CallDispatch)(PDRIVER_DISPATCH Routine, PDEVICE_OBJECT DeviceObject, PIRP Irp); /* calls it */
    VOID (*BlockFreed)(PVOID Block, ULONG Tag); /* before it is; the IRQL of ExFreePoolWithTag */
} KE_VERIFIER;
extern const KE_VERIFIER *KeVerifier;

/* ---- Steps of the start (init/startup.c). Those of one moment run in no promised order ---- */
typedef enum _KE_START {
    StartBeforeScreen, /* the same, but the interrupt controllers are not set up yet */
    StartBeforeClock,  /* boot CPU, interrupts masked; memory and pools work */
    StartFirstThread,  /* PASSIVE_LEVEL, still one CPU */
    StartBeforeDisks,  /* all CPUs run */
    StartAfterDisks,   /* the disks have their roles, nothing is paged yet */
    StartAfterPaging,
    StartLast /* drivers may be loaded */
} KE_START;
typedef struct _KE_STARTUP_ROW {
    KE_START When;
    VOID (*Run)(VOID);
} KE_STARTUP_ROW;
#define KE_STARTUP_STEP(When_, Run_) static const KE_STARTUP_ROW Run_##Step KE_ROW(".startup") = {When_, Run_}
extern const KE_STARTUP_ROW KiStartupRows[], KiStartupRowsEnd[];

/* ---- The life of a thread (ps/create.c, ps/exit.c). Rows of a lower order run first ---- */
typedef enum _KE_THREAD_EVENT {
    ThreadInitialized, /* laid out, nothing of it runs. <= DISPATCH_LEVEL */
    ThreadCreated,     /* about to run for the first time; in its creator. PASSIVE_LEVEL */
    ThreadEnds,        /* the current thread; it holds nothing that it must not. PASSIVE_LEVEL */
    ThreadDeleted      /* the last reference is gone. <= DISPATCH_LEVEL */
} KE_THREAD_EVENT;
typedef VOID KE_THREAD_ROUTINE(PETHREAD Thread, KE_THREAD_EVENT Event);
#define KE_THREAD_WATCH(Order_, Routine_) \
    static KE_THREAD_ROUTINE *const Routine_##Watch KE_ROW(".threadwatch." #Order_) = Routine_
extern KE_THREAD_ROUTINE *const KiThreadWatches[], *const KiThreadWatchesEnd[];

/* ---- Fix-ups: faults that are no mistake (arch/x86_64/trap.c). Asked where a fault would stop the machine ---- */
typedef struct _KFIX_UP {
    const UCHAR *Fault;  /* the instruction that may fault; NULL: any */
    const UCHAR *Resume; /* where it goes on */
    BOOLEAN (*Applies)(
        PKTRAP_FRAME Frame); /* any IRQL; TRUE: Frame has the registers that the code at Resume expects */
} KFIX_UP;
#define KE_FIX_UP(Fault_, Resume_, Applies_) \
    static const KFIX_UP Applies_##FixUp KE_ROW(".fixup") = {Fault_, Resume_, Applies_}
extern const KFIX_UP KiFixUps[], KiFixUpsEnd[];

#endif
