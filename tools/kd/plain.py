"""What a plain GDB loads (`tools/bugcheck gdb`): our commands without their `!`, printers, the unwinder, modules' symbols.

    gdb -ex "python import sys; sys.path.insert(0, 'tools'); import kd.plain" build/checked/kernel.elf
"""

import os

import gdb

from kd import everything, modules, overlay


def install():
    """The drivers' symbols are looked for beside the kernel's."""
    for objfile in gdb.objfiles():
        modules.folders.append(os.path.join(os.path.dirname(objfile.filename), "drivers"))
    overlay.install()
    everything.load()
    if gdb.selected_inferior().pid:
        overlay.look()


install()
