"""The programs that make and read x86-64 code, by their names on this host.

On another machine than an x86-64 they have a prefix (CROSS).
"""

import os
import platform
import shutil

from host.paths import OUT, TOP

HERE = ("x86_64", "amd64")                       # as uname -m says it


def prefix():
    """The prefix of gcc, ld and the rest. The launcher and make set it in CROSS; empty on an x86-64."""
    usual = "" if platform.machine().lower() in HERE else "x86_64-linux-gnu-"
    return os.environ.get("CROSS", usual)


def tool(name):
    """The name of a program of the compiler's or of binutils'."""
    return prefix() + name


def debugger():
    """The path of a GDB that knows x86-64, or None."""
    return prefix() and shutil.which("gdb-multiarch") or shutil.which("gdb")


def debugger_python():
    """GDB's command that lets it import the tools. It keeps them compiled, as Python does, but under build/: to compile them
    takes longer than what most sessions do."""
    return (f"python import sys; sys.path.insert(0, {str(TOP / 'tools')!r}); "
            f"sys.pycache_prefix = {str(OUT.absolute() / 'pycache')!r}; sys.dont_write_bytecode = False")
