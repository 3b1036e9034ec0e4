"""The scope of the stack commands: a CPU, a thread (.thread), or a trap frame (.trap)."""

from collections import namedtuple

import gdb

Scope = namedtuple("Scope", "kind address registers")

chosen = None                               # a Scope; None: the selected CPU
frame_number = 0                            # of .frame, in the stack of k


def context():
    """The chosen Scope, or None for the selected CPU."""
    return chosen


def choose(kind, address, registers):
    """Makes a thread or a trap frame the one that stacks and registers are shown of."""
    global chosen, frame_number
    chosen, frame_number = Scope(kind, address, registers), 0
    refresh()


def reset():
    """Back to the selected CPU."""
    global chosen, frame_number
    was = chosen
    chosen, frame_number = None, 0
    if was is not None:
        refresh()


def refresh():
    """GDB finds its frames anew."""
    gdb.invalidate_cached_frames()
    try:
        if chosen is not None:
            carrier = gdb.newest_frame()
            (carrier.older() or carrier).select()
        else:
            gdb.newest_frame().select()
    except gdb.error:
        pass
