/* fastmutex.pml: the slow path of kernel/ke/fastmutex.c: no waiter sleeps beside a free mutex for good.
 *
 * Each CPU runs one thread, which acquires (or tries to) and releases as often as it likes, or ends. All words that the
 * threads share are changed by locked instructions, so there are no store buffers here. KeSetEvent and
 * KeWaitForSingleObject are one step each: wait.pml is about them.
 *
 * mutation keep_woken: a waiter that was woken does not give back the WOKEN bit
 * mutation wake_each_time: a release wakes a waiter even if one is on its way
 * mutation count_after_look: a thread looks at Count, and adds itself to the waiters afterwards
 * mutation wake_before_free: a release wakes a waiter, and sets the mutex free afterwards */
#define FREE 1
#define WOKEN 2
#define WAITER 4

#define me _pid

byte Count = FREE;
bool IsSignalled;                       /* the event */
chan Sleepers = [CPUS] of { byte };     /* its wait list */
bool IsAsleep[CPUS];
byte Inside;                            /* threads that own the mutex */
byte OnTheirWay;                        /* waiters that were woken and have not looked yet */

/* An interlocked compare-exchange: Done says whether Count was Old. */
#define CMPXCHG(Done, Old_, New_) CMPXCHG_AND(Done, Old_, New_, skip)
#define CMPXCHG_AND(Done, Old_, New_, Note) \
    d_step { Done = (Count == Old_); if :: Done -> Count = New_; Note :: else fi }

/* KeWaitForLock */
inline Wait() {
    d_step {
        if
        :: IsSignalled -> IsSignalled = false
        :: else ->
           Sleepers!me;
           IsAsleep[me] = true
        fi
    };
    !IsAsleep[me]
}

/* KeSetEvent, of a synchronization event */
inline SetEvent() {
    d_step {
        assert(OnTheirWay == 0);        /* one waiter at a time is on its way */
        OnTheirWay++;
        if
        :: nempty(Sleepers) ->
           Sleepers?Other;
           IsAsleep[Other] = false;
           Other = 0                    /* tidy */
        :: empty(Sleepers) -> IsSignalled = true
        fi
    }
}

/* TakeOrWait: Won says whether the mutex was free. */
inline TakeOrWait() {
    Won = false;
    do
    :: Old = Count;
       New = Old;
       if
#ifndef MUTATION_keep_woken
       :: IsWaiter -> New = New & (FREE | 4 * 15)
#else
       :: IsWaiter
#endif
       :: else
       fi;
       if
       :: (Old & FREE) && IsWaiter -> New = New - FREE - WAITER
       :: (Old & FREE) && !IsWaiter -> New = New - FREE
       :: !(Old & FREE) && !IsWaiter -> New = New + WAITER
       :: else
       fi;
#ifdef MUTATION_count_after_look
       if
       :: !(Old & FREE) && !IsWaiter -> Count = New; break
       :: else
       fi;
#endif
       CMPXCHG_AND(Won, Old, New, OnTheirWay = (IsWaiter -> 0 : OnTheirWay));
       if
       :: Won -> break
       :: else
       fi
    od;
    Won = Old & FREE
}

/* ExAcquireFastMutex */
inline Acquire() {
    d_step { Old = Count; Count = Count & (WOKEN | 4 * 15) };       /* TryToTake */
    if
    :: Old & FREE
    :: else ->
       IsWaiter = false;
       do
       :: TakeOrWait();
          if
          :: Won -> break
          :: else
          fi;
          Wait();
          IsWaiter = true
       od
    fi;
    Old = 0; New = 0; Won = false; IsWaiter = false     /* tidy */
}

/* WakeOne: Count was Old, which is not 0, before it became free. */
inline WakeOne() {
    Old = Old + FREE;
    if
#ifdef MUTATION_wake_each_time
    :: true ->
#else
    :: !(Old & WOKEN) ->
#endif
       CMPXCHG(Won, Old, (Old | WOKEN));
       if
       :: Won -> SetEvent()
       :: else
       fi
    :: else
    fi;
    Won = false                         /* tidy */
}

/* ExReleaseFastMutex */
inline Release() {
#ifdef MUTATION_wake_before_free
    Old = Count;
    if
    :: Old != 0 && !(Old & WOKEN) ->
       CMPXCHG(Won, Old, (Old | WOKEN));
       if
       :: Won -> SetEvent()
       :: else
       fi
    :: else
    fi;
    Count = Count + FREE;
#else
    d_step { Old = Count; Count = Count + FREE };                   /* GiveBack */
    if
    :: Old != 0 -> WakeOne()
    :: else
    fi;
#endif
    Old = 0; Won = false                /* tidy */
}

inline Use() {
    Inside++;
    assert(Inside == 1);                /* one owner at a time */
    Inside--
}

active [CPUS] proctype Cpu() {
    byte Old, New, Other;
    bool Won, IsWaiter;
    do
    :: Acquire();
       Use();
       Release()
    :: d_step { Old = Count; Count = Count & (WOKEN | 4 * 15) };    /* ExTryToAcquireFastMutex */
       if
       :: Old & FREE ->
          Old = 0;                      /* tidy */
          Use();
          Release()
       :: else -> Old = 0               /* tidy */
       fi
    :: break
    od
}
