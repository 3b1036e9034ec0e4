"""Registers of the selected CPU, by the names of the field: @rip, @eflags, @cr8, @irql."""

import gdb

from kd.command import KdError
from kd.memory import MASK

NAMES = ("rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rip", "rsp", "rbp", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15")
ALIASES = {"efl": "eflags", "rfl": "eflags", "ip": "rip", "sp": "rsp"}


def value_of_register(name):
    """The value of a register in the selected frame; its 32-, 16- and 8-bit parts too."""
    name = ALIASES.get(name.lower(), name.lower())
    try:
        value = gdb.selected_frame().read_register(name)
    except (gdb.error, ValueError):
        raise KdError(f"there is no register '{name}' here") from None
    if value.is_optimized_out:
        raise KdError(f"the register {name} is not known in this frame")
    return int(value) & (1 << 8 * value.type.sizeof) - 1 & MASK


def flags_text(flags):
    """The line of flags of the field: iopl=0  nv up ei pl nz na pe nc."""
    names = ((11, "nv", "ov"), (10, "up", "dn"), (9, "di", "ei"), (7, "pl", "ng"), (6, "nz", "zr"), (4, "na", "ac"),
             (2, "po", "pe"), (0, "nc", "cy"))
    words = " ".join(on if flags >> bit & 1 else off for bit, off, on in names)
    return f"iopl={flags >> 12 & 3}         {words}   efl={flags:08x}"
