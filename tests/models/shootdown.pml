/* shootdown.pml: the TLB shoot-down under a trimmer: no CPU reaches a page that was given away, no store is lost.
 *
 * One pageable page and one frame; kernel/ke/ipi.c, kernel/mm/trim.c, pageout.c and pagein.c step by step. CPU 0 trims, writes
 * to the page file, and uses the page too; the others use it, fault it back, take its frame for another owner, and flush
 * addresses of their own, all in any order. The words that they share are changed under MmPfnLock or by locked instructions,
 * so there are no store buffers here: newcpu.pml has the one place that needs a barrier.
 *
 * mutation no_flush: the trimmer sends no shoot-down
 * mutation flush_after_unlock: MmPfnLock is released first, and the TLBs are flushed afterwards
 * mutation go_without_waiting (3 CPUs): the sender does not wait until all others have finished
 * mutation finish_before_flush (3 CPUs): a CPU says that it has finished, and flushes its TLB afterwards
 * mutation spin_without_answer: a CPU that spins for a lock takes no interrupt
 * mutation trim_by_store: the PTE is read, and then stored: no exchange
 * mutation clear_modified_late: IsModified is cleared at the end of a write, not at its start */
#define Valid 0                         /* forms of the PTE */
#define Transition 1
#define PageFile 2

#define Active 0                        /* places of the frame */
#define Modified 1
#define Standby 2
#define InTransit 3
#define Given 4                         /* to another owner */
#define Free 5

#define me _pid

byte Form = Valid;
bool IsDirty;                           /* bit D of the PTE */
byte Location = Active;
bool IsModified, HasWrite, HasRead, HasSlot;
bool IsRead;                            /* by the device that writes to the page file */
bit Contents, Slot;                     /* what the frame and the page-file slot hold */
bit Truth;                              /* what the last store to the page has left */
bool IsInTlb[CPUS], IsDirtyInTlb[CPUS];

bool PfnLock, IpiLock;
byte Arriving, Finishing;               /* KiIpiPacket */
bool IsPage;                            /* its address is this page's */
bool IpiRequest[CPUS], Pending[CPUS];

/* ---- The shoot-down ---- */

#define FLUSH() d_step { IsInTlb[me] = IsInTlb[me] && !IsPage; IsDirtyInTlb[me] = IsDirtyInTlb[me] && !IsPage }

/* KiIpiInterrupt */
inline Answer() {
    Pending[me] = false;
    d_step { Asked = IpiRequest[me]; IpiRequest[me] = false };
    if
    :: Asked ->
       Arriving--;
#ifdef MUTATION_finish_before_flush
       Finishing--;
       FLUSH()
#else
       FLUSH();
       Finishing--
#endif
    :: else
    fi;
    Asked = false                       /* tidy */
}

/* A spin lock below IPI_LEVEL: a CPU that spins answers. */
inline Acquire(Lock) {
    do
    :: d_step { !Lock -> Lock = true }; break
#ifndef MUTATION_spin_without_answer
    :: Lock && Pending[me] -> Answer()
#endif
    od;
    skip                                /* spin: no jump into a d_step */
}

/* KeFlushTb and CallEverywhere */
inline FlushTb(IsThePage) {
    Acquire(IpiLock);
    d_step { Arriving = CPUS - 1; Finishing = CPUS - 1; IsPage = IsThePage };
    Other = 0;                          /* tidy */
    do
    :: Other < CPUS && Other != me ->
       IpiRequest[Other] = true;
       Pending[Other] = true;           /* HalRequestIpi */
       Other++                          /* tidy */
    :: Other == me ->
       Other++                          /* tidy */
    :: Other == CPUS -> break
    od;
    Other = 0;                          /* tidy */
    Arriving == 0;
    FLUSH();
#ifndef MUTATION_go_without_waiting
    Finishing == 0;
#endif
    IpiLock = false
}

/* ---- The memory manager ---- */

/* MiRetirePage */
inline Retire() {
    d_step {
        if
        :: HasWrite -> Location = InTransit
        :: else -> Location = (IsModified || !HasSlot -> Modified : Standby)
        fi
    }
}

/* TrimPte and TrimBatch */
inline Trim() {
    Acquire(PfnLock);
    if
    :: Form == Valid ->
#ifdef MUTATION_trim_by_store
       WasDirty = IsDirty;
       d_step { Form = Transition; IsDirty = false };
#else
       d_step { WasDirty = IsDirty; Form = Transition; IsDirty = false };
#endif
       IsModified = IsModified || WasDirty;
       WasDirty = false;                /* tidy */
#ifdef MUTATION_flush_after_unlock
       Retire();
       PfnLock = false;
       FlushTb(true)
#else
#ifndef MUTATION_no_flush
       FlushTb(true);
#endif
       Retire();
       PfnLock = false
#endif
    :: else -> PfnLock = false
    fi
}

/* GatherBatch */
inline StartWrite() {
    Acquire(PfnLock);
    if
    :: Location == Modified ->
#ifdef MUTATION_clear_modified_late
       d_step { Location = InTransit; HasWrite = true; HasSlot = true };
#else
       d_step { Location = InTransit; HasWrite = true; HasSlot = true; IsModified = false };
#endif
    :: else
    fi;
    PfnLock = false
}

/* EndWrite: the device has read the frame, or has failed. */
inline EndWrite() {
    Acquire(PfnLock);
    d_step { HasWrite = false; IsRead = false };
    if
#ifdef MUTATION_clear_modified_late
    :: IsModified = false
#else
    :: true
#endif
    :: d_step { IsModified = true; HasSlot = false; Slot = 0 }
    fi;
    if
    :: Location == InTransit -> Retire()
    :: else
    fi;
    PfnLock = false
}

/* MiTakeFrame for another owner, which uses the frame and gives it back. */
inline Repurpose() {
    Acquire(PfnLock);
    if
    :: Location == Standby ->
       assert(Slot == Truth);           /* the slot has all that was stored */
       d_step { Form = PageFile; Location = Given; Contents = 0; PfnLock = false };
       Contents = 1;
       Acquire(PfnLock);
       d_step { Location = Free; Contents = 0; PfnLock = false }
    :: else -> PfnLock = false
    fi
}

/* MiResolveFault; the instruction is tried again afterwards, or another one. */
inline Fault() {
    Acquire(PfnLock);
    if
    :: Form == Transition && !HasRead ->
       Location = Active;
       d_step { Form = Valid; IsDirty = false; PfnLock = false }
    :: Form == PageFile && Location == Free ->
       d_step { Location = InTransit; HasRead = true; Form = Transition; IsModified = false; PfnLock = false };
       Contents = Slot;                 /* the device writes the frame */
       Acquire(PfnLock);
       d_step { HasRead = false; Location = Active; Form = Valid; IsDirty = false; PfnLock = false }
    :: else -> PfnLock = false          /* another CPU was here first, or is at it */
    fi
}

/* ---- The processor: a load or store by the translation that it has, else a look into the page table ---- */

inline Use() {
    if
    :: IsInTlb[me] ->
       d_step {
           assert(Location == Active);  /* no CPU uses a translation of a page that was given away */
           assert(Contents == Truth)    /* no store is lost */
       }
    :: IsInTlb[me] && IsDirtyInTlb[me] ->
       d_step {
           assert(Location == Active);  /* no CPU uses a translation of a page that was given away */
           Contents = 1 - Contents; Truth = 1 - Truth
       }
    :: IsInTlb[me] && !IsDirtyInTlb[me] ->      /* a store must set D, and walks the tables to do so */
       d_step { IsInTlb[me] = (Form == Valid); IsDirtyInTlb[me] = (Form == Valid); IsDirty = IsDirty || Form == Valid }
    :: !IsInTlb[me] && Form == Valid ->
       d_step { IsInTlb[me] = (Form == Valid); IsDirtyInTlb[me] = (Form == Valid && IsDirty) }
    :: !IsInTlb[me] && Form != Valid -> Fault()
    fi
}

active [CPUS] proctype Cpu() {
    byte Other;
    bool Asked, WasDirty;
    do
    :: Pending[me] -> Answer()
    :: Use()
    :: me == 0 -> Trim()
    :: me == 0 -> StartWrite()
    :: me == 0 && HasWrite && !IsRead -> d_step { Slot = Contents; IsRead = true }      /* the device */
    :: me == 0 && IsRead -> EndWrite()
    :: me == 1 -> Repurpose()
    :: me == 1 -> FlushTb(false)
    :: break
    od;
end:
    do
    :: Pending[me] -> Answer()
    od
}
