/* rewind.c: a QEMU plugin that stops a seeded machine at the N-th store to an address.
 *
 *   -plugin rewind.so,watch=ADDRESS:BYTES:N,...,log=FILE      (N = 0: only logs; numbers as strtoull reads them)
 *
 * A breakpoint that is hit and passed by changes a seeded run: QEMU leaves its loop, and the CPUs' turns shift. A plugin
 * is part of the translated code and changes nothing, so it can count. Each store is a line of FILE:
 *     store WATCH COUNT CPU INSTRUCTION ADDRESS BYTES
 * and when a watch comes to its N, the line `stopped` follows, and the machine is paused: the CPU behind the block of
 * instructions in which the store is, all others where they were. For one thread of TCG (thread=single) only.
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "qemupause.h"

#define MAXIMUM_WATCHES 8

typedef struct _WATCH {
    uint64_t Start, Bytes, StopAt, Count;
} WATCH;

static WATCH Watches[MAXIMUM_WATCHES];
static unsigned WatchCount;
static FILE *Log;

static void Pause(void) {
    PauseMachine();
    fputs("stopped\n", Log);
    fflush(Log);
}

static void OnStore(unsigned Processor, qemu_plugin_meminfo_t Info, uint64_t Address, void *Instruction) {
    if (!qemu_plugin_mem_is_store(Info)) {
        return;
    }
    uint64_t Bytes = 1ULL << qemu_plugin_mem_size_shift(Info);
    for (unsigned i = 0; i < WatchCount; i++) {
        WATCH *Watch = &Watches[i];
        if (Address >= Watch->Start + Watch->Bytes || Address + Bytes <= Watch->Start) {
            continue;
        }
        Watch->Count++;
        if (Watch->StopAt == 0 || Watch->Count == Watch->StopAt) {
            fprintf(Log, "store %u %llu %u %llx %llx %llu\n", i, (unsigned long long)Watch->Count, Processor,
                    (unsigned long long)(uintptr_t)Instruction, (unsigned long long)Address, (unsigned long long)Bytes);
            fflush(Log);
        }
        if (Watch->Count == Watch->StopAt) {
            Pause();
        }
    }
}

static void OnTranslate(qemu_plugin_id_t Id, struct qemu_plugin_tb *Block) {
    (void)Id;
    for (size_t i = 0; i < qemu_plugin_tb_n_insns(Block); i++) {
        struct qemu_plugin_insn *Instruction = qemu_plugin_tb_get_insn(Block, i);
        qemu_plugin_register_vcpu_mem_cb(Instruction, OnStore, QEMU_PLUGIN_CB_NO_REGS, QEMU_PLUGIN_MEM_W,
                                         (void *)(uintptr_t)qemu_plugin_insn_vaddr(Instruction));
    }
}

/* ADDRESS:BYTES:N */
static bool AddWatch(const char *Text) {
    uint64_t Field[3];
    char *Rest = (char *)Text;
    if (WatchCount == MAXIMUM_WATCHES) {
        return false;
    }
    for (int i = 0; i < 3; i++) {
        const char *Start = Rest + (i > 0);
        Field[i] = strtoull(Start, &Rest, 0);
        if (Rest == Start || *Rest != (i < 2 ? ':' : 0)) {
            return false;
        }
    }
    Watches[WatchCount++] = (WATCH){.Start = Field[0], .Bytes = Field[1], .StopAt = Field[2]};
    return true;
}

static bool TakeArgument(const char *Text) {
    if (strncmp(Text, "watch=", 6) == 0) {
        return AddWatch(Text + 6);
    }
    if (strncmp(Text, "log=", 4) == 0) {
        Log = fopen(Text + 4, "w");
        return Log != NULL;
    }
    return false;
}

int qemu_plugin_install(qemu_plugin_id_t Id, const void *Information, int Count, char **Arguments) {
    (void)Information;
    for (int i = 0; i < Count; i++) {
        if (!TakeArgument(Arguments[i])) {
            fprintf(stderr, "rewind: not understood, or not possible: %s\n", Arguments[i]);
            return 1;
        }
    }
    if (Log == NULL || !FindQemu()) {
        fputs("rewind: no log=FILE, or this QEMU keeps to itself how a machine is paused\n", stderr);
        return 1;
    }
    qemu_plugin_register_vcpu_tb_trans_cb(Id, OnTranslate);
    return 0;
}
