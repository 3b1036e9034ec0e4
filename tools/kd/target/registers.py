"""Registers of the selected scope, by WinDbg's names: @rip, @eax, @efl, @cr8."""

import gdb

from kd.target import scope
from kd.target.command import KdError
from kd.target.memory import MASK, structure
from kd.target.processors import current_number, is_dead, processor

NAMES = ("rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rip", "rsp", "rbp", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15")
TRAP_REGISTERS = ("rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rbp", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15")
ALIASES = {"efl": "eflags", "rfl": "eflags", "rflags": "eflags", "ip": "rip", "sp": "rsp"}


def parts():
    """{name: (register, shift, bits)} of the 32-, 16- and 8-bit parts."""
    found = {}
    for name in NAMES:
        if name[1:].isdigit():
            found |= {name + "d": (name, 0, 32), name + "w": (name, 0, 16), name + "b": (name, 0, 8)}
        else:
            found |= {"e" + name[1:]: (name, 0, 32), name[1:]: (name, 0, 16)}
    for letter in "abcd":
        found |= {letter + "l": (f"r{letter}x", 0, 8), letter + "h": (f"r{letter}x", 8, 8)}
    return found | {name[1:] + "l": (name, 0, 8) for name in ("rsi", "rdi", "rbp", "rsp")}


PARTS = parts()


def context_registers():
    """{register: number} of what the commands speak of: a chosen context, the crash, or the selected CPU's registers."""
    if scope.context() is not None:
        return scope.context().registers
    context = processor(current_number()).context if is_dead() else None
    if context is not None and context.trap_frame:
        return trap_registers(context.trap_frame)
    if context is not None:
        return {"rip": context.rip, "rsp": context.rsp, "rbp": context.rbp}
    return {name: of_gdb(name) for name in NAMES + ("eflags",)}


def trap_registers(frame):
    """{register: number} of a KTRAP_FRAME."""
    trap = structure("KTRAP_FRAME", frame)
    registers = {name: int(trap[name.capitalize()]) for name in TRAP_REGISTERS}
    registers |= {"rip": int(trap["Rip"]), "rsp": int(trap["Rsp"]), "eflags": int(trap["EFlags"])}
    return registers


def of_gdb(name):
    """A register of the selected CPU as GDB has it."""
    try:
        value = gdb.newest_frame().read_register(name)
    except (gdb.error, ValueError):
        raise KdError(f"there is no register '{name}' here") from None
    if value.is_optimized_out:
        raise KdError(f"the register {name} is not known here")
    return int(value) & (1 << 8 * value.type.sizeof) - 1 & MASK


def value_of_register(name):
    """The value of a register of what the commands speak of; also of its parts (eax, ax, al, r8d)."""
    name = ALIASES.get(name.lower(), name.lower())
    whole, shift, bits = PARTS.get(name, (name, 0, 64))
    known = context_registers()
    if whole in known:
        return known[whole] >> shift & (1 << bits) - 1
    if whole in NAMES + ("eflags",):
        raise KdError(f"the register {whole} is not known of what .thread or .trap chose, or of a crash without a trap")
    return of_gdb(whole)


def flags_text(flags):
    """The line of flags of the field: iopl=0  nv up ei pl nz na pe nc."""
    names = ((11, "nv", "ov"), (10, "up", "dn"), (9, "di", "ei"), (7, "pl", "ng"), (6, "nz", "zr"), (4, "na", "ac"),
             (2, "po", "pe"), (0, "nc", "cy"))
    words = " ".join(on if flags >> bit & 1 else off for bit, off, on in names)
    return f"iopl={flags >> 12 & 3}         {words}   efl={flags:08x}"
