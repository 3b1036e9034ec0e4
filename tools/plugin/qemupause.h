/* qemupause.h: a way for a plugin to pause the machine that it is in.
 *
 * It is not in QEMU's interface for plugins, but QEMU's own symbols are visible to what it loads. For one thread of TCG
 * (thread=single) only. */
#ifndef _QEMUPAUSE_H_
#define _QEMUPAUSE_H_

#include <dlfcn.h>
#include <unistd.h>

#include "qemuplugin.h"

#define RUN_STATE_PAUSED 4
#define POLL_US 500

/* QEMU's own. */
static struct {
    int (*StopMachine)(int State);
    bool (*IsRunning)(void);
    void *(*GetProcessor)(int Number);
    void (*QueueWork)(void *Processor, void (*)(void *, uint64_t), uint64_t Context);
    void (*LockMachine)(const char *File, int Line);
    void (*UnlockMachine)(void);
} Qemu;

/* On the thread of the CPUs, with the machine's lock: no CPU goes on before the main loop has taken the machine down. */
static void WaitForPause(void *Processor, uint64_t Context) {
    (void)Processor;
    (void)Context;
    while (Qemu.IsRunning()) {
        Qemu.UnlockMachine();
        usleep(POLL_US);
        Qemu.LockMachine(__FILE__, __LINE__);
    }
}

/* Work in a CPU's queue is done before its next block of instructions. */
static void PauseMachine(void) {
    void *Processor;
    for (int Number = 0; (Processor = Qemu.GetProcessor(Number)) != NULL; Number++) {
        Qemu.QueueWork(Processor, WaitForPause, 0);
    }
    Qemu.StopMachine(RUN_STATE_PAUSED);
}

/* A function of QEMU by its name since QEMU 9, or by the one before. */
static void *FindEither(const char *Name, const char *OlderName) {
    void *Found = dlsym(RTLD_DEFAULT, Name);
    return Found != NULL ? Found : dlsym(RTLD_DEFAULT, OlderName);
}

/* False: this QEMU keeps to itself how a machine is paused. */
static bool FindQemu(void) {
    *(void **)&Qemu.StopMachine = dlsym(RTLD_DEFAULT, "vm_stop");
    *(void **)&Qemu.IsRunning = dlsym(RTLD_DEFAULT, "runstate_is_running");
    *(void **)&Qemu.GetProcessor = dlsym(RTLD_DEFAULT, "qemu_get_cpu");
    *(void **)&Qemu.QueueWork = dlsym(RTLD_DEFAULT, "async_run_on_cpu");
    *(void **)&Qemu.LockMachine = FindEither("bql_lock_impl", "qemu_mutex_lock_iothread_impl");
    *(void **)&Qemu.UnlockMachine = FindEither("bql_unlock", "qemu_mutex_unlock_iothread");
    return Qemu.StopMachine && Qemu.IsRunning && Qemu.GetProcessor && Qemu.QueueWork && Qemu.LockMachine &&
           Qemu.UnlockMachine;
}

#endif
