/* schedule.c: a QEMU plugin that preempts CPUs where a list says so, and notes what they share.
 *
 *   -plugin schedule.so,log=FILE,begin=ADDRESS,end=ADDRESS      the window: from the one instruction to the other
 *      ,point=CPU:ADDRESS:N        preempts a CPU behind its N-th access to memory by the instruction at ADDRESS; repeated
 *      ,record=1                   notes each access to memory that several CPUs use and one writes
 *      ,shared=FROM:TO             all of this memory is so: the MMU uses it too, which no plugin sees
 *      ,pct=SEED:DEPTH:EVENTS,events=FILE      preempts by priorities; an event is an access by an instruction in FILE
 *      ,stop=N                     pauses the machine at the N-th preemption; 0: at the end of the window
 *
 * For counted instructions in one thread (-icount, thread=single): there a CPU runs until it waits by `pause` or `hlt`, or
 * until a timer is due, and then the next one has its turn. A preempted CPU gives its turns away until a whole round has
 * passed in which no other CPU ran, or MOST_TURNS rounds (then the others spin, perhaps for this one), or until another one
 * is preempted. So what happens meanwhile is what a real machine does when one CPU is slow.
 *
 * A CPU leaves between two blocks of translated code. Where a page has breakpoints, QEMU makes each instruction a block of its
 * own to look for them; the two that are set here stop nothing, but a preemption comes right behind its access.
 *
 * Lines of FILE, with addresses in hexadecimal and all else in decimal:
 *      access CPU INSTRUCTION N ADDRESS BYTES IS-STORE MEETS       MEETS: another CPU comes to the same word later
 *      stood CPU INSTRUCTION N ROUNDS                              ROUNDS in which others ran; 0: there was no other to run
 *      events COUNT;  ended;  stopped */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "qemupause.h"

#define MAXIMUM_CPUS 64
#define MAXIMUM_MARKS 4
#define MAXIMUM_POINTS 64
#define MAXIMUM_DEPTH 16
#define MAXIMUM_EVENTS 4096
#define MAXIMUM_ACCESSES (1u << 22)
#define PLACE_BUCKETS (1u << 16)
#define MOST_TURNS 256
#define BP_NONE 0 /* neither a debugger's (BP_GDB) nor the guest's (BP_CPU) */
#define PAGE_MASK (~0xFFFULL)
#define NEVER (~0ULL)

/* An instruction. */
typedef struct _PLACE {
    struct _PLACE *Next;
    uint64_t Address;
    bool IsEvent;
    uint32_t Count[MAXIMUM_CPUS]; /* accesses in the window */
} PLACE;

typedef struct _POINT {
    unsigned Cpu;
    uint64_t Address, Count;
} POINT;

typedef struct _ACCESS {
    const PLACE *Place;
    uint64_t Address;
    uint32_t Count;
    uint8_t Cpu, Bytes;
    bool IsStore, Meets, IsShared;
} ACCESS;

/* One aligned word of eight bytes, and a bit for each CPU. */
typedef struct _WORD_USE {
    uint64_t Key; /* 0: unused */
    uint64_t Readers, Writers;
} WORD_USE;

static FILE *Log;
static uint64_t Begin, End[MAXIMUM_MARKS], StopAt = NEVER;
static unsigned EndCount, PointCount, Reached;
static POINT Points[MAXIMUM_POINTS];
static uint64_t Shared[2];
static bool IsOpen, IsRecording;
static PLACE *Places[PLACE_BUCKETS];

static struct {
    bool IsStanding, IsReleased;
    const PLACE *At;
    uint32_t Count;
    uint64_t Seen, Turns; /* the others' progress at our last turn; turns given away */
    uint64_t Progress;    /* blocks run */
    int64_t Priority;
    const PLACE *LastEvent;
} Cpus[MAXIMUM_CPUS];

/* By priorities. */
static struct {
    bool IsUsed;
    uint64_t Seed, Depth, Length, Events;
    uint64_t Change[MAXIMUM_DEPTH];
} Pct;

static uint64_t Events[MAXIMUM_EVENTS]; /* ascending addresses of instructions */
static unsigned EventCount;

static ACCESS *Accesses;
static uint32_t AccessCount;

static void (*LeaveLoop)(void *Processor, uintptr_t HostPc);
static void (*RequestExit)(void *Processor);
static int (*InsertBreakpoint)(void *Processor, uint64_t Address, int Flags, void **Breakpoint);

static PLACE *FindPlace(uint64_t Address, bool Creates) {
    PLACE **Link = &Places[(Address ^ Address >> 16) % PLACE_BUCKETS];
    while (*Link != NULL && (*Link)->Address != Address) {
        Link = &(*Link)->Next;
    }
    if (*Link == NULL && Creates) {
        *Link = calloc(1, sizeof(PLACE));
        (*Link)->Address = Address;
    }
    return *Link;
}

static void Stop(void) {
    PauseMachine();
    fputs("stopped\n", Log);
    fflush(Log);
}

/* ---- Standing still ---- */

/* Blocks that the CPUs have run for which this one stands still. */
static uint64_t ProgressOfOthers(unsigned Cpu) {
    uint64_t Sum = 0;
    for (unsigned i = 0; i < MAXIMUM_CPUS; i++) {
        Sum += i != Cpu && Cpus[i].Priority >= Cpus[Cpu].Priority ? Cpus[i].Progress : 0;
    }
    return Sum;
}

/* A CPU that already stands still goes on in return. */
static void StandStill(unsigned Cpu, const PLACE *At) {
    for (unsigned i = 0; i < MAXIMUM_CPUS; i++) {
        Cpus[i].IsReleased |= i != Cpu && Cpus[i].IsStanding && Cpus[i].Priority >= Cpus[Cpu].Priority;
    }
    Cpus[Cpu].IsStanding = true;
    Cpus[Cpu].IsReleased = false;
    Cpus[Cpu].At = At;
    Cpus[Cpu].Count = At->Count[Cpu];
    Cpus[Cpu].Seen = ProgressOfOthers(Cpu);
    Cpus[Cpu].Turns = 0;
    RequestExit(Qemu.GetProcessor((int)Cpu));
}

/* Before a CPU's next block. */
static void OnBlock(unsigned Cpu, void *Context) {
    (void)Context;
    if (Cpus[Cpu].IsStanding) {
        uint64_t Others = ProgressOfOthers(Cpu);
        bool HaveRun = Others != Cpus[Cpu].Seen;
        Cpus[Cpu].Seen = Others;
        Cpus[Cpu].Turns += HaveRun;
        if (HaveRun && !Cpus[Cpu].IsReleased && Cpus[Cpu].Turns <= MOST_TURNS) {
            RequestExit(Qemu.GetProcessor((int)Cpu));
            LeaveLoop(Qemu.GetProcessor((int)Cpu), (uintptr_t)__builtin_return_address(0));
        }
        Cpus[Cpu].IsStanding = false;
        if (!Pct.IsUsed || Cpus[Cpu].Turns != 0) {
            fprintf(Log, "stood %u %llx %u %llu\n", Cpu, (unsigned long long)Cpus[Cpu].At->Address, Cpus[Cpu].Count,
                    (unsigned long long)Cpus[Cpu].Turns);
            fflush(Log);
        }
    }
    Cpus[Cpu].Progress++;
}

/* ---- Priorities: a random order of the CPUs; at each point of change the one that runs gets the lowest so far ---- */

static uint64_t Draw(void) {
    Pct.Seed ^= Pct.Seed >> 12;
    Pct.Seed ^= Pct.Seed << 25;
    Pct.Seed ^= Pct.Seed >> 27;
    return (Pct.Seed * 0x2545F4914F6CDD1DULL) >> 16;
}

static void PreparePct(void) {
    Pct.Seed = Pct.Seed * 0x9E3779B97F4A7C15ULL + 0xD1B54A32D192ED03ULL;
    Pct.Seed += Pct.Seed == 0;
    for (unsigned i = 0; i < MAXIMUM_CPUS; i++) {
        Cpus[i].Priority = (int64_t)Draw() << 8 | i;
    }
    for (unsigned i = 0; i + 1 < Pct.Depth; i++) {
        Pct.Change[i] = 1 + Draw() % Pct.Length;
    }
}

/* To look again where it has looked last, as in a loop, is no event. */
static void OnPctEvent(unsigned Cpu, const PLACE *Place, bool IsStore) {
    if (Cpus[Cpu].LastEvent == Place && !IsStore) {
        return;
    }
    Cpus[Cpu].LastEvent = Place;
    Pct.Events++;
    for (unsigned i = 0; i + 1 < Pct.Depth; i++) {
        if (Pct.Change[i] == Pct.Events) {
            Cpus[Cpu].Priority = -1 - (int64_t)i;
        }
    }
    StandStill(Cpu, Place); /* goes on at once where no CPU of a higher priority runs */
}

/* ---- The window ---- */

/* Two: an instruction at one of them is not where the other is. */
static void SplitPage(unsigned Cpu, uint64_t Address) {
    void *Processor = Qemu.GetProcessor((int)Cpu);
    InsertBreakpoint(Processor, Address & PAGE_MASK, BP_NONE, NULL);
    InsertBreakpoint(Processor, (Address & PAGE_MASK) + 1, BP_NONE, NULL);
}

static void SplitPagesOfEvents(void) {
    uint64_t Last = 0; /* the places are in order of their addresses */
    for (unsigned i = 0; i < EventCount; i++) {
        for (unsigned Cpu = 0; (Events[i] & PAGE_MASK) != Last && Qemu.GetProcessor((int)Cpu) != NULL; Cpu++) {
            SplitPage(Cpu, Events[i]);
        }
        Last = Events[i] & PAGE_MASK;
    }
}

static void OpenWindow(void) {
    static bool IsPrepared;
    IsOpen = true;
    if (IsPrepared) {
        return; /* it opens again */
    }
    IsPrepared = true;
    for (unsigned i = 0; i < PointCount; i++) {
        SplitPage(Points[i].Cpu, Points[i].Address);
    }
    if (Pct.IsUsed) {
        SplitPagesOfEvents();
        PreparePct();
    }
}

static WORD_USE *FindWord(WORD_USE *Table, uint64_t Mask, uint64_t Address) {
    uint64_t Key = Address >> 3 | 1ULL << 63, Slot = Key * 0x9E3779B97F4A7C15ULL >> 20 & Mask;
    while (Table[Slot].Key != 0 && Table[Slot].Key != Key) {
        Slot = (Slot + 1) & Mask;
    }
    Table[Slot].Key = Key;
    return &Table[Slot];
}

/* From the last access to the first: what of it do other CPUs come to later? */
static void JudgeAccesses(void) {
    uint64_t Slots = 1024;
    while (Slots < 2ULL * AccessCount) {
        Slots *= 2;
    }
    WORD_USE *Table = calloc(Slots, sizeof(WORD_USE));
    for (uint32_t i = AccessCount; i-- > 0;) {
        ACCESS *Access = &Accesses[i];
        WORD_USE *Word = FindWord(Table, Slots - 1, Access->Address);
        uint64_t Own = 1ULL << Access->Cpu;
        Access->Meets = ((Access->IsStore ? Word->Readers | Word->Writers : Word->Writers) & ~Own) != 0;
        *(Access->IsStore ? &Word->Writers : &Word->Readers) |= Own;
    }
    for (uint32_t i = 0; i < AccessCount; i++) {
        WORD_USE *Word = FindWord(Table, Slots - 1, Accesses[i].Address);
        uint64_t Users = Word->Readers | Word->Writers;
        bool IsMmus = Accesses[i].Address >= Shared[0] && Accesses[i].Address < Shared[1];
        Accesses[i].Meets |= IsMmus;
        Accesses[i].IsShared = IsMmus || (Word->Writers != 0 && (Users & (Users - 1)) != 0);
    }
    free(Table);
}

static void CloseWindow(void) {
    if (!IsOpen) {
        return;
    }
    IsOpen = false;
    if (IsRecording) {
        JudgeAccesses();
    }
    for (uint32_t i = 0; i < AccessCount; i++) {
        const ACCESS *Access = &Accesses[i];
        if (Access->IsShared) {
            fprintf(Log, "access %u %llx %u %llx %u %u %u\n", Access->Cpu, (unsigned long long)Access->Place->Address,
                    Access->Count, (unsigned long long)Access->Address, Access->Bytes, Access->IsStore, Access->Meets);
        }
    }
    fprintf(Log, "events %llu\nended\n", (unsigned long long)(Pct.IsUsed ? Pct.Events : AccessCount));
    fflush(Log);
    AccessCount = 0;
    if (StopAt == 0) {
        Stop();
    }
}

static void OnBegin(unsigned Cpu, void *Context) {
    (void)Cpu;
    (void)Context;
    if (!IsOpen) {
        OpenWindow();
    }
}

static void OnEnd(unsigned Cpu, void *Context) {
    (void)Cpu;
    (void)Context;
    CloseWindow();
}

static void OnExit(qemu_plugin_id_t Id, void *Context) {
    (void)Id;
    (void)Context;
    StopAt = NEVER;
    CloseWindow();
}

/* ---- Accesses ---- */

static void Record(unsigned Cpu, qemu_plugin_meminfo_t Info, uint64_t Address, const PLACE *Place) {
    if (AccessCount < MAXIMUM_ACCESSES) {
        Accesses[AccessCount++] = (ACCESS){.Place = Place,
                                           .Address = Address,
                                           .Count = Place->Count[Cpu],
                                           .Cpu = (uint8_t)Cpu,
                                           .Bytes = (uint8_t)(1u << qemu_plugin_mem_size_shift(Info)),
                                           .IsStore = qemu_plugin_mem_is_store(Info)};
    }
}

static void OnAccess(unsigned Cpu, qemu_plugin_meminfo_t Info, uint64_t Address, void *Context) {
    PLACE *Place = Context;
    if (!IsOpen) {
        return;
    }
    Place->Count[Cpu]++;
    if (IsRecording) {
        Record(Cpu, Info, Address, Place);
    }
    if (Place->IsEvent) {
        OnPctEvent(Cpu, Place, qemu_plugin_mem_is_store(Info));
    }
    for (unsigned i = 0; i < PointCount; i++) {
        const POINT *Point = &Points[i];
        if (Point->Cpu == Cpu && Point->Address == Place->Address && Point->Count == Place->Count[Cpu]) {
            StandStill(Cpu, Place);
            if (++Reached == StopAt) {
                Stop();
            }
        }
    }
}

static bool IsMarked(uint64_t Address) {
    for (unsigned i = 0; i < EndCount; i++) {
        if (End[i] == Address) {
            return true;
        }
    }
    return false;
}

static void OnTranslate(qemu_plugin_id_t Id, struct qemu_plugin_tb *Block) {
    (void)Id;
    qemu_plugin_register_vcpu_tb_exec_cb(Block, OnBlock, QEMU_PLUGIN_CB_NO_REGS, NULL);
    for (size_t i = 0; i < qemu_plugin_tb_n_insns(Block); i++) {
        struct qemu_plugin_insn *Instruction = qemu_plugin_tb_get_insn(Block, i);
        uint64_t Address = qemu_plugin_insn_vaddr(Instruction);
        PLACE *Place = FindPlace(Address, IsRecording);
        if (Address == Begin) {
            qemu_plugin_register_vcpu_insn_exec_cb(Instruction, OnBegin, QEMU_PLUGIN_CB_NO_REGS, NULL);
        } else if (IsMarked(Address)) {
            qemu_plugin_register_vcpu_insn_exec_cb(Instruction, OnEnd, QEMU_PLUGIN_CB_NO_REGS, NULL);
        }
        if (Place != NULL) {
            qemu_plugin_register_vcpu_mem_cb(Instruction, OnAccess, QEMU_PLUGIN_CB_NO_REGS, QEMU_PLUGIN_MEM_RW, Place);
        }
    }
}

/* ---- Arguments ---- */

/* Numbers with colons between; false: it is not so many. */
static bool ReadNumbers(const char *Text, uint64_t *Number, unsigned Count) {
    for (unsigned i = 0; i < Count; i++) {
        char *Rest;
        Number[i] = strtoull(Text, &Rest, 0);
        if (Rest == Text || *Rest != (i + 1 < Count ? ':' : 0)) {
            return false;
        }
        Text = Rest + 1;
    }
    return true;
}

static bool AddPoint(const char *Text) {
    uint64_t Number[3];
    if (PointCount == MAXIMUM_POINTS || !ReadNumbers(Text, Number, 3) || Number[0] >= MAXIMUM_CPUS) {
        return false;
    }
    Points[PointCount++] = (POINT){(unsigned)Number[0], Number[1], Number[2]};
    FindPlace(Number[1], true);
    return true;
}

static bool ReadEvents(const char *Path) {
    FILE *File = fopen(Path, "r");
    unsigned long long Address;
    if (File == NULL) {
        return false;
    }
    while (EventCount < MAXIMUM_EVENTS && fscanf(File, "%llx", &Address) == 1) {
        Events[EventCount++] = Address;
        FindPlace(Address, true)->IsEvent = true;
    }
    fclose(File);
    return true;
}

static bool ReadPct(const char *Text) {
    uint64_t Number[3];
    if (!ReadNumbers(Text, Number, 3) || Number[1] < 1 || Number[1] > MAXIMUM_DEPTH || Number[2] == 0) {
        return false;
    }
    Pct.IsUsed = true;
    Pct.Seed = Number[0];
    Pct.Depth = Number[1];
    Pct.Length = Number[2];
    return true;
}

static bool TakeArgument(const char *Name, const char *Value) {
    if (strcmp(Name, "log") == 0) {
        Log = fopen(Value, "w");
        return Log != NULL;
    }
    if (strcmp(Name, "begin") == 0) {
        return ReadNumbers(Value, &Begin, 1);
    }
    if (strcmp(Name, "end") == 0) {
        return EndCount < MAXIMUM_MARKS && ReadNumbers(Value, &End[EndCount++], 1);
    }
    if (strcmp(Name, "shared") == 0) {
        return ReadNumbers(Value, Shared, 2);
    }
    if (strcmp(Name, "point") == 0) {
        return AddPoint(Value);
    }
    if (strcmp(Name, "record") == 0) {
        IsRecording = true;
        Accesses = malloc(MAXIMUM_ACCESSES * sizeof(ACCESS));
        return Accesses != NULL;
    }
    if (strcmp(Name, "pct") == 0) {
        return ReadPct(Value);
    }
    if (strcmp(Name, "events") == 0) {
        return ReadEvents(Value);
    }
    return strcmp(Name, "stop") == 0 && ReadNumbers(Value, &StopAt, 1);
}

static bool FindMore(void) {
    *(void **)&LeaveLoop = dlsym(RTLD_DEFAULT, "cpu_loop_exit_restore");
    *(void **)&RequestExit = dlsym(RTLD_DEFAULT, "cpu_exit");
    *(void **)&InsertBreakpoint = dlsym(RTLD_DEFAULT, "cpu_breakpoint_insert");
    return LeaveLoop && RequestExit && InsertBreakpoint;
}

int qemu_plugin_install(qemu_plugin_id_t Id, const void *Information, int Count, char **Arguments) {
    (void)Information;
    for (int i = 0; i < Count; i++) {
        char *Value = strchr(Arguments[i], '=');
        if (Value != NULL) {
            *Value++ = 0;
        }
        if (Value == NULL || !TakeArgument(Arguments[i], Value)) {
            fprintf(stderr, "schedule: not understood, or not possible: %s\n", Arguments[i]);
            return 1;
        }
    }
    if (Log == NULL || !FindQemu() || !FindMore()) {
        fputs("schedule: no log=FILE, or this QEMU keeps to itself how a CPU is left\n", stderr);
        return 1;
    }
    qemu_plugin_register_vcpu_tb_trans_cb(Id, OnTranslate);
    qemu_plugin_register_atexit_cb(Id, OnExit, NULL);
    return 0;
}
