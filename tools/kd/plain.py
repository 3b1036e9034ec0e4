"""Our commands in a plain GDB (`tools/bugcheck gdb`), without their `!`.

Printers, the unwinder and modules' symbols come with them.

    gdb -ex "python import sys; sys.path.insert(0, 'tools'); import kd.plain" build/checked/kernel.elf
"""

import os

import gdb

from kd import everything, overlay
from kd.target import modules


def install():
    """The drivers' symbols are looked for beside the kernel's."""
    for objfile in gdb.objfiles():
        modules.folders.append(os.path.join(os.path.dirname(objfile.filename), "drivers"))
    overlay.install()
    modules.let_breakpoints_wait()
    everything.load()
    if gdb.selected_inferior().pid:
        overlay.look()


GREETING = """
Good places to stop; then `continue`, `stepi`, `irql`, `info threads`:

  break SecretStore                    in the driver: waits until it is loaded
  hbreak MmAccessFault if Frame->PreviousIrql >= 2
                                       the fatal page fault, not the legal ones
  hbreak KeAcquireSpinLockRaiseToDpc   the lock: set it in SecretStore, then
                                       `set scheduler-locking on`
  hbreak KiBugCheckFromTrap            the end: it is set
"""
BUILDS = {
    "step": "This is the build for stepping: each statement of C has code of its own, nothing\n"
            "is inlined, and the lock is bare: its fifth instruction is the xchg.\n"
            "--build checked asserts, and knows which CPU has held which lock since when.",
    "free": "This is the free build: the lock is bare, its fifth instruction is the xchg.\n"
            "--build checked asserts, and knows which CPU has held which lock since when.",
    "checked": "This is the checked build: its locks call checks before and after the xchg.\n"
               "--build step, the default, has the bare lock.",
}


class End(gdb.Breakpoint):
    """The machine's last act; behind it no CPU would come to a stop, and GDB would wait forever."""

    def __init__(self, serial):
        super().__init__("KeEndMachine", gdb.BP_HARDWARE_BREAKPOINT, internal=True)
        self.serial = serial

    def stop(self):
        print(f"The machine is at its end; what it said: {self.serial}. `quit` leaves.")
        return True


def greet(build, serial):
    """The commands for a reader at a machine that `tools/bugcheck gdb` has started; its end gets a line."""
    End(serial)
    print(GREETING)
    if build in BUILDS:
        print(BUILDS[build] + "\n")


install()
