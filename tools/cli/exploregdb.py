"""Stops a schedule under GDB where its last preemption has just been made.

`tools/bugcheck explore NAME --schedule SCHEDULE --gdb`

The machine is the one that tried the schedule, to the instruction; GDB's side is tools/kd/exploring.py.
"""

import os
import signal
import subprocess
from pathlib import Path

from cli.options import say
from host import toolchain
from host.paths import OUT, CannotRun, shown
from machine.process import Run


def debug(name, schedule, machine_for):
    """Starts the machine and GDB on it; the exit status."""
    gdb, folder = toolchain.debugger(), OUT / "explore"
    if not gdb:
        raise CannotRun("no GDB: Debian package gdb is not installed")
    folder.mkdir(parents=True, exist_ok=True)
    link = Path(os.path.relpath(folder / "gdb.sock"))       # relative: a socket's name has at most 107 bytes
    link.unlink(missing_ok=True)
    machine = machine_for(f"explore_{name}", f"schedule={schedule}")
    machine.extra += ("-S", "-chardev", f"socket,path={link},server=on,wait=off,id=gdb", "-gdb", "chardev:gdb")
    machine.leave = False                                   # the machine's end is not the session's
    line = [gdb, "-q", "-nx", "-iex", "set debuginfod enabled off", "-iex", "set pagination off", "-iex", "set confirm off",
            "-iex", toolchain.debugger_python(), str(shown(machine.files() / "kernel.elf")), "-ex", "python import kd.plain",
            "-ex", f"target remote {link}", "-ex", f"python import kd.exploring; kd.exploring.begin({name!r}, {schedule!r})"]
    with Run(machine, folder) as run:
        run.wait_for_debugger(link)
        say("the machine makes the schedule again; GDB stops where its last preemption has been made")
        signal.signal(signal.SIGINT, signal.SIG_IGN)        # Ctrl-C is GDB's: it stops a machine that runs
        return subprocess.run(line).returncode
