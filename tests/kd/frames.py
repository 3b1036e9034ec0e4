"""Runs inside kd: the addresses of GDB's own frames, without those of inlined calls."""

import gdb

frame = gdb.newest_frame()
while frame is not None:
    if frame.type() != gdb.INLINE_FRAME and frame.pc():
        print(f"frame at {frame.pc():x}")
    frame = frame.older()
