"""The store that faults, and the page tables in which the CPU looks its address up."""

import re

import gdb

from kd.target import modules
from steps.cpus import WORD, Cpu, WalkError, address_of, instructions_of, u64, value
from steps.source import line_at

CPU = Cpu(0)
SELF_MAP = 0x1ED                                # the slot of the top table that maps the tables themselves
FLAGS = (("V", 0), ("W", 1), ("A", 5), ("D", 6), ("NX", 63))
LEVELS = ("PXE", "PPE", "PDE", "PTE")
PTE = LEVELS.index("PTE")
STORE = "Secret->Number = Number"               # the line of secret.c and of passive.c
TEST = "Frame->PreviousIrql > APC_LEVEL"        # the line of kernel/mm/fault.c


class Store:
    """The instruction, and what it is about to do; begin() finds it."""
    instruction = address = written = 0


def begin(drivers):
    """Runs to the store of the driver of the scenario, whose page has been sent away; drivers: where their symbols are."""
    CPU.run_to(address_of("MmPurgeStandby"), alone=False)
    modules.folders[:] = [drivers]
    modules.refresh()
    CPU.run_to(address_of("SecretStore"), alone=False)
    Store.instruction = find()
    CPU.run_to(Store.instruction)
    Store.address, Store.written = operand()


def find():
    """The instruction of SecretStore that writes to the structure."""
    for address, text in instructions_of("SecretStore"):
        if STORE in line_at(address)[2] and re.match(r"mov QWORD PTR \[", text):
            return address
    raise WalkError("SecretStore has no store for the line '" + STORE + "': the driver or its symbols are others")


def operand():
    """(address that the instruction will write to, number that it will write)."""
    place, source = re.match(r"mov QWORD PTR \[(.*?)\],(\w+)", CPU.instruction).groups()
    expression = re.sub(r"\b([a-z]\w+)\b", r"$\1", place)
    return value(expression), value(f"${source}") if source.isalpha() or source[0] == "r" else int(source, 0)


def row():
    """The row of the panel about it."""
    return ("the store", {"to": f"{Store.address:016X}", "of": Store.written, "at RIP": f"{Store.instruction:016X}"})


# ---- Page tables ----

def entry_address(virtual, level):
    """Where the entry of a level (0 PXE ... 3 PTE) for an address lies in the self map."""
    shift = 12 + 9 * (3 - level)
    return (WORD << 48 | SELF_MAP << 39 | recursion(level) | (virtual & (1 << 48) - 1) >> shift << 3) & WORD


def recursion(level):
    """The bits that a level's part of the self map adds: each level above the PTE goes through the slot once more."""
    return sum(SELF_MAP << 30 - 9 * turn for turn in range(3 - level))


def entry_of(level):
    """The entry of the store's address."""
    return u64(entry_address(Store.address, level))


def entry_row(level):
    """The row of the panel about an entry."""
    content = entry_of(level)
    return (LEVELS[level], {"entry": f"{Store.address >> 12 + 9 * (3 - level) & 0x1FF:03X}",
                            "at": f"{entry_address(Store.address, level):016X}", "contains": f"{content:016X}", **described(content)})


def described(entry):
    """The flags of an entry, and what it leads to."""
    flags = " ".join(f"{name}={entry >> bit & 1}" for name, bit in FLAGS)
    if entry & 1:
        return {"flags": flags, "frame": f"{frame_of(entry):#x}"}
    if is_transition(entry):
        return {"flags": "V=0", "transition, frame": f"{frame_of(entry):#x}"}
    return {"flags": "V=0", "page file slot": f"{slot_of(entry):#x}"}


def frame_of(entry):
    return entry >> 12 & (1 << 40) - 1


def is_transition(entry):
    return bool(entry >> 11 & 1)


def slot_of(entry):
    return entry >> 32


# ---- The trap ----

def trap_frame(address):
    """The KTRAP_FRAME at an address."""
    return gdb.Value(address).cast(gdb.lookup_type("KTRAP_FRAME").pointer()).dereference()
