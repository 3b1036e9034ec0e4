/* slowhost.c: a QEMU plugin that makes the host look busy at the worst moment: the first time that an instruction between
 * two addresses is to be executed, its CPU sleeps.
 *
 *   -plugin slowhost.so,from=ADDRESS,to=ADDRESS,us=MICROSECONDS      (numbers as strtoull reads them) */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "qemuplugin.h"

#define MAXIMUM_INSTRUCTIONS 4096

static uint64_t From, To, Pause;
static bool WasExecuted[MAXIMUM_INSTRUCTIONS];

static void OnExecute(unsigned Processor, void *Executed) {
    (void)Processor;
    if (!*(bool *)Executed) {
        *(bool *)Executed = true;
        usleep((useconds_t)Pause);
    }
}

static void OnTranslate(qemu_plugin_id_t Id, struct qemu_plugin_tb *Block) {
    (void)Id;
    for (size_t i = 0; i < qemu_plugin_tb_n_insns(Block); i++) {
        struct qemu_plugin_insn *Instruction = qemu_plugin_tb_get_insn(Block, i);
        uint64_t Address = qemu_plugin_insn_vaddr(Instruction);
        if (Address >= From && Address < To && Address - From < MAXIMUM_INSTRUCTIONS) {
            qemu_plugin_register_vcpu_insn_exec_cb(Instruction, OnExecute, QEMU_PLUGIN_CB_NO_REGS,
                                                   &WasExecuted[Address - From]);
        }
    }
}

int qemu_plugin_install(qemu_plugin_id_t Id, const void *Information, int Count, char **Arguments) {
    (void)Information;
    for (int i = 0; i < Count; i++) {
        char *Value = strchr(Arguments[i], '=');
        uint64_t Number = Value ? strtoull(Value + 1, NULL, 0) : 0;
        if (strncmp(Arguments[i], "from=", 5) == 0) {
            From = Number;
        } else if (strncmp(Arguments[i], "to=", 3) == 0) {
            To = Number;
        } else if (strncmp(Arguments[i], "us=", 3) == 0) {
            Pause = Number;
        }
    }
    if (From >= To || Pause == 0) {
        fputs("slowhost: from=ADDRESS,to=ADDRESS,us=MICROSECONDS\n", stderr);
        return 1;
    }
    qemu_plugin_register_vcpu_tb_trans_cb(Id, OnTranslate);
    return 0;
}
