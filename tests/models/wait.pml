/* wait.pml: waiting and waking (kernel/ke/wait.c, event.c, scheduler.c): no wake-up is lost, no stack is shared.
 *
 * Three threads on 2 CPUs, or two on 3. Each sets one synchronization event, or waits for it, in any order. Thread 0 is
 * more important than the others, so it displaces them. What is done under the dispatcher lock is a few steps, for the words
 * that are read without it: NextThread, the queue, the interrupt. No clock helps out: a CPU that sleeps beside a ready thread
 * sleeps forever.
 *
 * mutation look_before_lock: a thread looks at the event first, and takes the lock to queue itself afterwards
 * mutation unlock_before_switch: the dispatcher lock is released before the old thread is complete on its stack
 * mutation ipi_before_next: the other CPU is interrupted before its NextThread is set
 * mutation halt_with_interrupts_on: an idle CPU takes its last look at the queues with IF = 1
 * mutation no_look_at_unlock: a CPU that has made a more important thread its own next one goes on with the old one */
#define THREADS (5 - CPUS)
#define NONE 15                         /* no thread; as a current thread, the CPU's idle thread */
#define IMPORTANT 0

#define me _pid

bool IsLocked;                          /* KiDispatcherLock */
bool IsSignalled;                       /* the event */
chan Waiters = [THREADS] of { byte };   /* its wait list */
bool IsSaved[THREADS] = true;           /* all its registers are on its stack */
byte Home[THREADS];                     /* KTHREAD.Processor */
byte Alive = THREADS;                   /* threads that run or want to */
chan Queue[CPUS] = [THREADS] of { byte };
byte Current[CPUS] = NONE, Next[CPUS] = NONE;
bool IsIdle[CPUS];                      /* KiIdleSummary */
bool Ipi[CPUS];                         /* a pending VECTOR_DISPATCH */

/* Under the lock no other CPU looks, so this is a step. */
#ifdef MUTATION_unlock_before_switch
#define STEP
#else
#define STEP atomic
#endif

inline Lock() {
    atomic {
        !IsLocked -> IsLocked = true
    }
}

inline Unlock() {
    atomic {
        assert(!IsSignalled || empty(Waiters)); /* a thread waits for no event that is set */
        IsLocked = false
    }
}

/* ChooseProcessor: the thread's home if that is idle, else the first idle CPU, else its home. */
inline ChooseProcessor(Thread) {
    if
    :: IsIdle[Home[Thread]] -> Cpu_ = Home[Thread]
    :: !IsIdle[Home[Thread]] && IsIdle[0] -> Cpu_ = 0
    :: !IsIdle[Home[Thread]] && !IsIdle[0] && IsIdle[1] -> Cpu_ = 1
#if CPUS == 3
    :: !IsIdle[Home[Thread]] && !IsIdle[0] && !IsIdle[1] && IsIdle[2] -> Cpu_ = 2
#endif
    :: else -> Cpu_ = Home[Thread]
    fi
}

inline SendIpi() {
    if
    :: Cpu_ != me -> Ipi[Cpu_] = true
    :: else
    fi
}

/* KiReadyThread, and SetNextThread in it. A displaced thread goes to its queue: no CPU is idle then. */
inline ReadyThread(Thread) {
    atomic {
        ChooseProcessor(Thread);
        Home[Thread] = Cpu_;
        IsNext = IsIdle[Cpu_] || (Thread == IMPORTANT && Next[Cpu_] != IMPORTANT);
        if
        :: IsNext -> IsIdle[Cpu_] = false; Displaced = Next[Cpu_]
        :: else -> Queue[Cpu_]!Thread
        fi
    };
    if
    :: IsNext ->
#ifdef MUTATION_ipi_before_next
       SendIpi();
       Next[Cpu_] = Thread;
#else
       Next[Cpu_] = Thread;
       SendIpi();
#endif
    :: else
    fi;
    atomic {
        if
        :: Displaced != NONE -> Queue[Cpu_]!Displaced
        :: else
        fi;
        Displaced = NONE; Cpu_ = 0; IsNext = false      /* tidy */
    }
}

/* SelectThread: New is the thread to run, or NONE. */
inline SelectThread() {
    if
    :: Next[me] != NONE -> New = Next[me]; Next[me] = NONE
    :: Next[me] == NONE && nempty(Queue[me]) -> Queue[me]?New
    :: Next[me] == NONE && empty(Queue[me]) ->
       if                               /* StealThread */
       :: nempty(Queue[(me + 1) % CPUS]) -> Queue[(me + 1) % CPUS]?New
#if CPUS == 3
       :: empty(Queue[(me + 1) % CPUS]) && nempty(Queue[(me + 2) % CPUS]) -> Queue[(me + 2) % CPUS]?New
       :: empty(Queue[(me + 1) % CPUS]) && empty(Queue[(me + 2) % CPUS]) -> IsIdle[me] = true
#else
       :: empty(Queue[(me + 1) % CPUS]) -> IsIdle[me] = true
#endif
       fi
    fi
}

/* SwapThread and KiSwapContext: the dispatcher lock goes along, and the new thread releases it. */
inline SwapThread() {
    STEP {
        Old = Current[me];
#ifdef MUTATION_unlock_before_switch
        Unlock();
#endif
        if
        :: Old != NONE -> IsSaved[Old] = true   /* from here on the old thread is complete on its stack */
        :: Old == NONE && New != NONE -> IsIdle[me] = false
        :: else
        fi;
        if
        :: New != NONE ->
           assert(IsSaved[New]);        /* a thread runs on one CPU at a time, and goes on where it stopped */
           IsSaved[New] = false; Home[New] = me
        :: else
        fi;
        Current[me] = New;
        Old = NONE; New = NONE;         /* tidy */
#ifndef MUTATION_unlock_before_switch
        Unlock()
#endif
    }
}

/* SwitchToNext */
inline SwitchToNext() {
    atomic {
        Mine = Current[me];
        New = Next[me];
        Next[me] = NONE
    };
    if
    :: Mine != NONE -> ReadyThread(Mine)
    :: else
    fi;
    Mine = NONE;                        /* tidy */
    SwapThread()
}

/* KiUnlockDispatcher */
inline UnlockDispatcher() {
    if
#ifndef MUTATION_no_look_at_unlock
    :: Next[me] != NONE -> SwitchToNext()
#endif
    :: else -> Unlock()
    fi
}

/* The interrupt, and KiDispatchThreadSwitch in it. */
inline Interrupt() {
    Ipi[me] = false;
    if
    :: Next[me] == NONE                 /* a NextThread that is set after this look comes with its own interrupt */
    :: else ->
       Lock();
       if
       :: Next[me] != NONE -> SwitchToNext()
       :: else -> Unlock()
       fi
    fi
}

/* KeWaitForSingleObject */
inline Wait() {
#ifdef MUTATION_look_before_lock
    if
    :: IsSignalled -> Lock(); IsSignalled = false; UnlockDispatcher()
    :: else ->
       Lock();
#else
    Lock();
    if
    :: IsSignalled -> IsSignalled = false; UnlockDispatcher()
    :: else ->
#endif
       STEP {
           Alive--;
           Waiters!Current[me];
           SelectThread();
           SwapThread()
       }
    fi
}

/* KeSetEvent, with KiSignalWaiters in it. */
inline Set() {
    atomic {
        Lock();
        if
        :: nempty(Waiters) -> Waiters?Mine; Alive++
        :: empty(Waiters) -> IsSignalled = true
        fi
    };
    if
    :: Mine != NONE ->
       ReadyThread(Mine);
       Mine = NONE                      /* tidy */
    :: else
    fi;
    UnlockDispatcher()
}

inline Start() {
    atomic {
        Queue[0]!0;
        Queue[0]!1;
        if
        :: THREADS > 2 -> Queue[0]!(THREADS - 1)
        :: else
        fi
    }
}

active [CPUS] proctype Cpu() {
    byte Old = NONE, New = NONE, Mine = NONE, Displaced = NONE, Cpu_;
    bool IsNext;
    if                                  /* at the start all threads are queued at CPU 0 */
    :: me == 0 -> Start()
    :: else
    fi;
    do
    :: Current[me] != NONE && Ipi[me] -> Interrupt()
    :: Current[me] != NONE -> Wait()
    :: Current[me] != NONE -> Set()
    :: Current[me] != NONE ->
       assert(Next[me] == NONE || Ipi[me] || IsLocked)  /* a thread that was chosen for a CPU gets it at once */
    :: Current[me] == NONE ->           /* KiIdleLoop: first LeaveIdle */
       atomic { Lock(); SelectThread() };
       if
       :: New != NONE -> SwapThread()
       :: else ->
          Unlock();
          if
          :: Ipi[me] -> Interrupt()
          :: true
          fi;
          if
          :: Current[me] != NONE        /* the interrupt has switched */
          :: Current[me] == NONE && (Next[me] != NONE || nempty(Queue[me]))
          :: Current[me] == NONE && Next[me] == NONE && empty(Queue[me]) ->       /* with IF = 0 */
#ifdef MUTATION_halt_with_interrupts_on
             if
             :: Ipi[me] -> Ipi[me] = false
             :: true
             fi;
#endif
             if                         /* sti; hlt */
             :: Ipi[me] -> Interrupt()
             :: Alive == 0 -> break     /* no thread is left that could wake another */
             fi
          fi
       fi
    od
}
