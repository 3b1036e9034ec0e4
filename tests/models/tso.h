/* tso.h: the memory of x86: each CPU's stores wait in a buffer, in order, before another CPU sees them.
 *
 * Owens, Sarkar, Sewell: "A Better x86 Memory Model: x86-TSO". A load takes the CPU's own newest store, else memory. A
 * locked instruction and a fence wait until the buffer is empty. That is all: a store passes no store and no load.
 *
 * A model defines WORDS, the number of words that CPUs share, and DEPTH, how many stores a buffer holds, and includes
 * this first: the buffers are the processes 0 to CPUS - 1, the CPUs come behind them. */
#define me (_pid - CPUS)
#define NEWEST Buffer[me].Count

typedef STORES {
    byte Count;
    byte Word[DEPTH];
    byte Value[DEPTH]
}
byte Memory[WORDS];
STORES Buffer[CPUS];

#define IS_OWN(At, Word_) (Buffer[me].Count > At && Buffer[me].Word[At] == (Word_))
#define SEEN_0(Word_) (IS_OWN(0, Word_) -> Buffer[me].Value[0] : Memory[Word_])
#define SEEN_1(Word_) (IS_OWN(1, Word_) -> Buffer[me].Value[1] : SEEN_0(Word_))
#if DEPTH == 2
#define SEEN(Word_) SEEN_1(Word_)
#else
#define SEEN_2(Word_) (IS_OWN(2, Word_) -> Buffer[me].Value[2] : SEEN_1(Word_))
#if DEPTH == 3
#define SEEN(Word_) SEEN_2(Word_)
#else
#define SEEN(Word_) (IS_OWN(3, Word_) -> Buffer[me].Value[3] : SEEN_2(Word_))
#endif
#endif

/* ---- Instructions: each is one step ---- */
#define LOAD(Register, Word_) Register = SEEN(Word_)
#define STORE(Word_, Value_) STORE_AND(Word_, Value_, skip)
#define STORE_AND(Word_, Value_, Note) /* Note: what the model writes down in the same step */ \
    d_step { NEWEST < DEPTH -> Buffer[me].Word[NEWEST] = Word_; Buffer[me].Value[NEWEST] = Value_; NEWEST++; Note }
#define FENCE() (NEWEST == 0)
#define XCHG(Register, Word_, Value_) XCHG_AND(Register, Word_, Value_, skip)
#define XCHG_AND(Register, Word_, Value_, Note) \
    d_step { FENCE() -> Register = Memory[Word_]; Memory[Word_] = Value_; Note }
#define CMPXCHG(Done, Word_, Old, New) \
    d_step { FENCE() -> Done = (Memory[Word_] == Old); if :: Done -> Memory[Word_] = New :: else fi }

/* ---- The store buffers: the oldest store reaches memory, at any time ---- */
active [CPUS] proctype StoreBuffer() {
    byte At;
end:
    do
    :: d_step {
        Buffer[_pid].Count > 0 -> Memory[Buffer[_pid].Word[0]] = Buffer[_pid].Value[0];
        At = 1;
        do
        :: At < DEPTH -> Buffer[_pid].Word[At - 1] = Buffer[_pid].Word[At];
                         Buffer[_pid].Value[At - 1] = Buffer[_pid].Value[At]; At++
        :: else -> break
        od;
        Buffer[_pid].Word[DEPTH - 1] = 0; Buffer[_pid].Value[DEPTH - 1] = 0;
        Buffer[_pid].Count--; At = 0 }
#ifdef MUTATION_store_passes_store
    :: d_step {
        Buffer[_pid].Count == 2 && Buffer[_pid].Word[0] != Buffer[_pid].Word[1] ->
        Memory[Buffer[_pid].Word[1]] = Buffer[_pid].Value[1];
        Buffer[_pid].Word[1] = 0; Buffer[_pid].Value[1] = 0; Buffer[_pid].Count-- }
#endif
    od
}
