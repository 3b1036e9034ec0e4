/* qemuplugin.h: the part of QEMU's plugin interface that is used here and in tests/host.
 *
 * QEMU documents it under "TCG plugins". Debian ships QEMU with plugins, but no header. Each plugin is one file, and includes this once.
 *
 * A QEMU takes only plugins whose version lies between its oldest and its own: 1 before QEMU 9, 2 and more since. The part
 * below is the same in both, so one plugin serves: when it is loaded, it looks for a function that came with version 2. */
#ifndef _QEMUPLUGIN_H_
#define _QEMUPLUGIN_H_

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef uint64_t qemu_plugin_id_t;
typedef uint32_t qemu_plugin_meminfo_t;
struct qemu_plugin_tb;
struct qemu_plugin_insn;

#define QEMU_PLUGIN_CB_NO_REGS 0
#define QEMU_PLUGIN_MEM_W 2
#define QEMU_PLUGIN_MEM_RW 3

void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t Id, void (*)(qemu_plugin_id_t, struct qemu_plugin_tb *));
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *Block);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *Block, size_t Index);
uint64_t qemu_plugin_insn_vaddr(const struct qemu_plugin_insn *Instruction);
size_t qemu_plugin_insn_size(const struct qemu_plugin_insn *Instruction);
void qemu_plugin_register_vcpu_tb_exec_cb(struct qemu_plugin_tb *Block, void (*)(unsigned, void *), int Flags,
                                          void *Context);
void qemu_plugin_register_vcpu_insn_exec_cb(struct qemu_plugin_insn *Instruction, void (*)(unsigned, void *), int Flags,
                                            void *Context);
void qemu_plugin_register_vcpu_mem_cb(struct qemu_plugin_insn *Instruction,
                                      void (*)(unsigned, qemu_plugin_meminfo_t, uint64_t, void *), int Flags,
                                      int Direction, void *Context);
void qemu_plugin_register_atexit_cb(qemu_plugin_id_t Id, void (*)(qemu_plugin_id_t, void *), void *Context);
bool qemu_plugin_mem_is_store(qemu_plugin_meminfo_t Info);
unsigned qemu_plugin_mem_size_shift(qemu_plugin_meminfo_t Info);

int qemu_plugin_num_vcpus(void) __attribute__((weak)); /* since version 2; only looked for */

int qemu_plugin_version;

__attribute__((constructor)) static void ChooseVersion(void) {
    qemu_plugin_version = qemu_plugin_num_vcpus != NULL ? 2 : 1;
}

#endif
